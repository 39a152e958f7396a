"""The model of a finished run, from its record and the weights kept beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stprune.base.errors import CheckpointError, ConfigError, RecordError
from stprune.base.layout import DataLayout, RunKey, experiment_root
from stprune.config.experiment import load_config
from stprune.config.grid import RunSpec, run_spec
from stprune.data.dataset import ForecastData
from stprune.data.windows import WindowStore
from stprune.records.run import read_record
from stprune.training.checkpoint import load_checkpoint
from stprune.training.devices import fabric_on
from stprune.training.engine import Engine
from stprune.training.run import open_run_data

# Windows times nodes whose errors are kept; of a larger split every k-th window is taken.
KEPT_ERRORS = 2**24
# Other devices and numbers of threads sum in another order.
SAME = 1e-3
SplitName = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class RecordedModel:
    """A trained network and what it was trained on.

    Args:
        spec: The run.
        data: Its windows.
        engine: On one device; its network has the best-validation weights.
    """

    spec: RunSpec
    data: ForecastData
    engine: Engine

    def node_errors(self, split: SplitName) -> tuple[NDArray[np.float64], int]:
        """Mean absolute errors of a split's windows at nodes, real units.

        Returns:
            (n, N), NaN where no target was observed; and k if every k-th window is taken, so that
            memory stays within bounds.
        """
        whole: WindowStore = getattr(self.data, split)
        nodes = self.data.adjacency.shape[0]
        stride = math.ceil(len(whole) * nodes / KEPT_ERRORS)
        store = whole.split(range(0, len(whole), stride))
        sums = torch.zeros(len(store), nodes, device=store.device)
        counts = torch.zeros_like(sums)

        def observe(indices: Tensor, errors: Tensor, mask: Tensor) -> None:
            sums[indices] = errors.float().sum(1)
            counts[indices] = mask.expand_as(errors).sum(1).float()

        self.engine.evaluate(self.spec.dataset, self.data, store, observe)
        means = torch.where(counts > 0, sums / counts.clamp(min=1), math.nan)
        return means.double().cpu().numpy(), stride


def open_recorded_model(
    metrics: Path, config_path: Path | None = None, data_directory: Path | None = None
) -> RecordedModel:
    """Load the model whose record is the file ``metrics``.

    Args:
        metrics: The run's ``metrics.json``, where the run left it.
        config_path: Its configuration; by default the one that the workflow wrote beside the runs.
        data_directory: Where the data are, if not where the configuration says.

    Raises:
        RecordError: If there is no such record, or the weights give another validation error.
        ConfigError: If the configuration is not that of the record, or the run is of a union.
        CheckpointError: If the weights were not kept, or are of another run.
        DataError: If the data set is not prepared.
    """
    record, path = read_record(metrics), config_path or experiment_root(metrics) / "config.yaml"
    if config_path is None and not path.exists():
        raise ConfigError(f"there is no {path}; name the configuration of the run with --config")
    config = load_config(path)
    key = RunKey(record.dataset, record.backbone, record.pruner, record.prune_ratio, record.seed)
    spec = run_spec(config, key)
    if spec.fingerprint != record.fingerprint:
        raise ConfigError(
            f"{path} is not the configuration that {metrics} was trained with;"
            " name that one with --config, or train the run again"
        )
    if spec.subset.union:
        raise ConfigError(f"run {key.path} is of a union; take one of a single data set")
    identity = {
        "configuration": record.fingerprint,
        "source code": record.source_digest,
        "data": record.data["checksum"],
    }
    weights, reason = load_checkpoint(metrics.with_name("weights.pt"), identity)
    if weights is None:
        raise CheckpointError(
            f"the weights of {metrics} are not available ({reason}): set `keep_weights: true` in"
            " the configuration, delete the record, and train the run again"
        )
    fabric = fabric_on(spec.compute.accelerator, precision=spec.compute.precision)
    layout = DataLayout(data_directory or config.data_directory)
    run_data = open_run_data(spec, layout, fabric.device)
    if run_data.description["checksum"] != record.data["checksum"]:
        raise RecordError(
            f"{metrics} was made from other data than lie below {layout.root}; train the run again"
        )
    engine = Engine(spec, run_data, fabric)
    changed = "the code has changed since; delete the record and train the run again"
    try:
        engine.network.load_state_dict(weights)
    except RuntimeError:
        raise RecordError(
            f"the weights beside {metrics} do not fit the present {spec.backbone}: {changed}"
        ) from None
    mae = engine.validation_mae()
    if not math.isclose(mae, record.validation_mae, rel_tol=SAME):
        raise RecordError(
            f"run {key.path}: its weights have a validation MAE of {mae:.6g}, the record says"
            f" {record.validation_mae:.6g}: {changed}"
        )
    ((_, data),) = run_data.members.items()
    return RecordedModel(spec, data, engine)
