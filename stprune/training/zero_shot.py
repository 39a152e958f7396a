"""A trained model on data sets that it has not seen: as it is, and with a new last layer.

Held-out data are scaled by the mean and deviation of their own training inputs, which is all that
zero-shot forecasts know of them beside the graph and the window itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch

from stprune.base.schema import NoOptions
from stprune.base.settings import LinearProbe
from stprune.data.dataset import ForecastData
from stprune.records.run import Scores, Transfer
from stprune.training.devices import fabric_on
from stprune.training.engine import Engine
from stprune.training.evaluation import evaluate
from stprune.training.union_engine import UnionEngine


def held_out_scores(engine: UnionEngine) -> dict[str, Transfer]:
    """Test the engine's network, as it is now, on every data set that the run holds out.

    Returns:
        By data set; real units.
    """
    probe = engine.spec.subset.linear_probe
    return {
        name: Transfer(
            zero_shot=_zero_shot(engine, name, data),
            linear_probe=None if probe is None else _linear_probe(engine, name, data, probe),
        )
        for name, data in engine.union.held_out.items()
    }


def _zero_shot(engine: UnionEngine, name: str, data: ForecastData) -> Scores:
    engine.network.use_graph(name, data.adjacency)
    size = engine.spec.training.evaluation_batch_size
    return evaluate(engine.network, data.test, size, data.mape_floor, engine.fabric).scores()


def _linear_probe(engine: UnionEngine, name: str, data: ForecastData, probe: LinearProbe) -> Scores:
    """Train the last layer alone on all windows of ``data``, then test it there.

    Optimiser and batch size are those of the run; the network of the run is left alone. With
    several devices each does the same by itself.
    """
    spec = engine.spec
    training = spec.training.model_copy(
        update={"epochs": probe.epochs, "validate_every": 1, "patience": None, "budget": "epochs"}
    )
    spec = replace(
        spec,
        key=spec.key._replace(prune_ratio=0.0),
        pruner="full",
        pruner_options=NoOptions(),
        training=training,
    )
    device = data.train.device
    index = 1 if device.index is None else [device.index]
    fabric = fabric_on(device.type, index, spec.compute.precision)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        trainer = Engine(spec, data, fabric)
        trainer.network.load_state_dict(engine.network.state_dict())
        trainer.network.use_graph(name, data.adjacency)
        head = cast(Any, trainer.network).linear_probe_parameters()
        for parameter, values in trainer.network.named_parameters():
            values.requires_grad_(parameter in head)
        while not trainer.finished:
            trainer.train_epoch()
        return trainer.test().scores
