"""Models that a run trains beside its own, by the same loop, with the run's backbone and settings.

Static pruners score windows with models of their own. A foundation model is tried on data sets that
it has not seen: as it is, knowing their graph, mean and deviation, and with a new last layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from stprune.base.schema import NoOptions
from stprune.base.settings import LinearProbe
from stprune.config.grid import RunSpec
from stprune.data.dataset import ForecastData, alone
from stprune.data.windows import WindowStore
from stprune.pruning.base import Gradients, Observer, absolute_errors, window_mae
from stprune.pruning.probe import last_layer_gradients, sign_projection
from stprune.records.run import Scores, Transfer
from stprune.training.devices import fabric_on
from stprune.training.engine import Engine


@contextmanager
def full_training(
    spec: RunSpec, data: ForecastData, *, epochs: int, validate_every: int, seed: int
) -> Iterator[Engine]:
    """An engine that trains on all windows of one data set, on each device the same.

    The global random state, and so the dropout of the run itself, is the same afterwards.
    """
    changes = {"epochs": epochs, "validate_every": validate_every, "patience": None}
    # The run's own budget might plan this model's epochs by the clock.
    training = spec.training.model_copy(update=changes | {"budget": "epochs"})
    key = spec.key._replace(seed=seed, prune_ratio=0.0)
    spec = replace(spec, key=key, pruner="full", pruner_options=NoOptions(), training=training)
    device = data.train.device
    index = 1 if device.index is None else [device.index]
    fabric = fabric_on(device.type, index, spec.compute.precision, spec.compute.matmul)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield Engine(spec, alone(data), fabric)


class ModelProbe:
    """The :class:`stprune.pruning.base.Probe` of a run on one data set."""

    def __init__(self, spec: RunSpec, data: ForecastData) -> None:
        self.spec, self.data = spec, data

    def train(self, epochs: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Train ``epochs`` full epochs from the weights of ``seed``, then score every window."""
        engine, store = self._trained(epochs, seed), self.data.train
        model = engine.model.eval()
        for indices in _batches(engine, store):
            with torch.no_grad():
                scored = window_errors(model, store, indices)
            yield indices, *scored

    def watch(self, epochs: int, seed: int, observe: Observer) -> None:
        """Train ``epochs`` full epochs and show ``observe`` the errors of each step."""
        self._trained(epochs, seed, observe)

    def gradients(self, epochs: int, seed: int, width: int | None) -> Gradients:
        """Train ``epochs`` full epochs, then differentiate each window's masked MAE."""
        engine = self._trained(epochs, seed)
        network = engine.network.eval()
        projection: list[Tensor] = []

        def passes(store: WindowStore) -> Iterator[tuple[Tensor, Tensor]]:
            for indices in _batches(engine, store, differentiated=True):
                whole = window_gradients(network, store, indices)
                if width is not None:
                    if not projection:
                        signs = sign_projection(whole.shape[1], width, seed)
                        projection.append(signs.to(whole.device))
                    whole = whole @ projection[0]
                yield indices, whole

        validation = (values for _, values in passes(self.data.validation))
        return Gradients(passes(self.data.train), validation)

    def _trained(self, epochs: int, seed: int, observe: Observer | None = None) -> Engine:
        # One more epoch is planned than trained, so that no epoch is the last and validated.
        planned = {"epochs": epochs + 1, "validate_every": epochs + 1}
        with full_training(self.spec, self.data, **planned, seed=seed) as engine:
            if observe:
                engine.pruner.observe = observe  # type: ignore[assignment, method-assign]
            for _ in range(epochs):
                engine.train_epoch()
        return engine


def _batches(engine: Engine, store: WindowStore, differentiated: bool = False) -> Iterator[Tensor]:
    size = engine.evaluation_batch
    if differentiated and store.device.type == "cuda":
        size = min(size, engine.micro_batch or size)  # gradients take more memory
    yield from torch.arange(len(store), device=store.device).split(size)


def window_errors(
    model: Callable[..., Tensor], store: WindowStore, indices: Tensor
) -> tuple[Tensor, Tensor]:
    """Absolute errors of windows ``indices`` in real units, 0 where masked, and the mask."""
    batch = store.gather(indices)
    forecast = model(batch.inputs, batch.time_of_day, batch.day_of_week)
    return absolute_errors(store.scaler.restore(forecast), batch.targets, batch.mask), batch.mask


def window_gradients(network: nn.Module, store: WindowStore, indices: Tensor) -> Tensor:
    """(B, P) gradients of the masked MAE of windows ``indices``, at the last linear layer."""

    def losses() -> Tensor:
        # `forward` directly: code generated by `compute.compile` skips hooks on layers.
        return window_mae(*window_errors(network.forward, store, indices))

    return last_layer_gradients(network, losses, len(indices))


def held_out_scores(engine: Engine) -> dict[str, Transfer]:
    """Test the engine's network, as it is now, on every data set that the run holds out."""
    probe = engine.spec.subset.linear_probe
    return {
        name: Transfer(
            zero_shot=engine.evaluate(name, data, data.test).scores(),
            linear_probe=None if probe is None else _linear_probe(engine, name, data, probe),
        )
        for name, data in engine.data.held_out.items()
    }


def _linear_probe(engine: Engine, name: str, data: ForecastData, probe: LinearProbe) -> Scores:
    """Train the last layer alone on all windows of ``data``, then test it there.

    Optimiser and batch size are those of the run; the network of the run stays as it is.
    """
    seed, planned = engine.spec.key.seed, {"epochs": probe.epochs, "validate_every": 1}
    with full_training(engine.spec, data, **planned, seed=seed) as trainer:
        trainer.network.load_state_dict(engine.network.state_dict())
        trainer.network.use_graph(name, data.adjacency)
        head = cast(Any, trainer.network).linear_probe_parameters()
        for parameter, values in trainer.network.named_parameters():
            values.requires_grad_(parameter in head)
        while not trainer.finished:
            trainer.train_epoch()
        return trainer.test().scores
