"""Models that static pruners train to score windows, by the same loop as every run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from lightning_fabric import Fabric
from torch import Tensor

from stprune.data.dataset import ForecastData
from stprune.engine import Engine
from stprune.grid import RunSpec
from stprune.metrics import absolute_errors
from stprune.schema import NoOptions


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

    def _trained(self, epochs: int, seed: int) -> Engine:
        # One epoch more than is trained: so no epoch is the last one, and none is validated.
        training = self.spec.training.model_copy(
            update={"epochs": epochs + 1, "validate_every": epochs + 1, "patience": None}
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
            for _ in range(epochs):
                engine.train_epoch()
        return engine
