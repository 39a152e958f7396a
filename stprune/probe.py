"""Models that static pruners train to score windows, by the same loop as every run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from stprune.data.dataset import ForecastData
from stprune.data.windows import WindowStore
from stprune.engine import Engine
from stprune.grid import RunSpec
from stprune.last_layer import last_layer_gradients, sign_projection
from stprune.metrics import absolute_errors, window_mae
from stprune.pruners.base import (
    Gradients,
    Observer,
    Pruner,
    PruningContext,
    Selection,
    everything,
)
from stprune.schema import NoOptions


class Watcher(Pruner):
    """Selects all windows and passes the errors of each step on.

    Args:
        context: Of the run that is watched.
        observer: Told of each step.
    """

    def __init__(self, context: PruningContext, observer: Observer) -> None:
        super().__init__(context, NoOptions())
        self.observer = observer

    def select(self, epoch: int) -> Selection:
        """All windows."""
        return everything(self.context.windows)

    def observe(self, indices: Tensor, errors: Tensor, mask: Tensor) -> None:
        """Pass them on."""
        self.observer(indices, errors, mask)


def window_gradients(network: nn.Module, store: WindowStore, indices: Tensor) -> Tensor:
    """(B, P) gradients of the masked MAE of windows ``indices``, at the last linear layer."""
    batch = store.gather(indices)

    def losses() -> Tensor:
        forecast = network(batch.inputs, batch.time_of_day, batch.day_of_week)
        errors = absolute_errors(store.scaler.restore(forecast), batch.targets, batch.mask)
        return window_mae(errors, batch.mask)

    return last_layer_gradients(network, losses, len(indices))[1]


class ModelProbe:
    """Trains fresh models of the run's kind on all windows.

    With several devices each trains the same model by itself, so that all agree on the scores.

    Args:
        spec: The run whose backbone and settings are used.
        data: Its window stores.
    """

    def __init__(self, spec: RunSpec, data: ForecastData) -> None:
        self.spec, self.data = spec, data

    def train(self, epochs: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Train ``epochs`` full epochs from the weights of ``seed``, then score every window.

        Yields:
            (B,) window numbers, (B, H, N) absolute errors in real units (0 where masked), and
            the (B, H, N) mask, in evaluation mode.
        """
        engine = self._trained(epochs, seed)
        store = self.data.train
        engine.model.eval()
        everything = torch.arange(len(store), device=store.device)
        for indices in torch.split(everything, self.spec.training.evaluation_batch_size):
            batch = store.gather(indices)
            with torch.no_grad():
                forecast = engine.model(batch.inputs, batch.time_of_day, batch.day_of_week)
                restored = store.scaler.restore(forecast)
                errors = absolute_errors(restored, batch.targets, batch.mask)
            yield indices, errors, batch.mask

    def watch(self, epochs: int, seed: int, observe: Observer) -> None:
        """Train ``epochs`` full epochs and show ``observe`` the errors of each step."""
        self._trained(epochs, seed, observe)

    def gradients(self, epochs: int, seed: int, width: int | None) -> Gradients:
        """Train ``epochs`` full epochs, then differentiate each window's masked MAE.

        Gradients are those of the loss in real units, at the last linear layer's weights.
        """
        network = self._trained(epochs, seed).network.eval()
        projection: list[Tensor] = []

        def project(whole: Tensor) -> Tensor:
            if width is None:
                return whole
            if not projection:
                projection.append(sign_projection(whole.shape[1], width, seed).to(whole.device))
            return whole @ projection[0]

        def passes(store: WindowStore) -> Iterator[tuple[Tensor, Tensor]]:
            everything = torch.arange(len(store), device=store.device)
            for indices in torch.split(everything, self.spec.training.evaluation_batch_size):
                yield indices, project(window_gradients(network, store, indices))

        validation = (values for _, values in passes(self.data.validation))
        return Gradients(passes(self.data.train), validation)

    def _trained(self, epochs: int, seed: int, observe: Observer | None = None) -> Engine:
        # One epoch more than is trained: so no epoch is the last one, and none is validated.
        training = self.spec.training.model_copy(
            update={
                "epochs": epochs + 1,
                "validate_every": epochs + 1,
                "patience": None,
                # The run's own budget would plan this model's epochs by the clock.
                "budget": "epochs",
            }
        )
        spec = replace(
            self.spec,
            key=self.spec.key._replace(seed=seed, prune_ratio=0.0),
            pruner="full",
            pruner_options=NoOptions(),
            training=training,
        )
        device = self.data.train.device
        fabric = Fabric(
            accelerator=device.type,
            devices=[device.index] if device.index is not None else 1,
            precision=self.spec.compute.precision,
        )
        devices = [device] if device.type == "cuda" else []
        # The run's own dropout must not depend on how many models were scored before.
        with torch.random.fork_rng(devices):
            engine = Engine(spec, self.data, fabric)
            if observe:
                engine.pruner = Watcher(engine.pruner.context, observe)
            for _ in range(epochs):
                engine.train_epoch()
        return engine
