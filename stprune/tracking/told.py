"""What Weights & Biases is told of a run: the same while it trains and from its record."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stprune.base.layout import RunKey
from stprune.base.settings import Tracking
from stprune.records.run import EpochRecord, RunRecord

#: What to draw metrics over, besides the epoch.
CLOCK = "elapsed_seconds"
#: How long W&B may hold a run up: at its start, and at its end until all has been sent.
START_SECONDS, END_SECONDS = 30.0, 60.0
# Of the modes of W&B, those that keep it from sending anything, and what we call them.
KEPT_HERE: dict[str, Tracking] = {
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}


@dataclass(frozen=True)
class TrackedRun:
    """A run's address and configuration at W&B.

    Args:
        experiment: Name of the experiment.
        key: Address of the run within it.
        config: The resolved configuration of the run.
    """

    experiment: str
    key: RunKey
    config: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """The same for the same run, however often it is trained or sent: 16 hex digits."""
        return hashlib.sha256(f"{self.experiment}/{self.key.path}".encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """Its path within the experiment."""
        return self.key.path

    @property
    def group(self) -> str:
        """Its cell: everything but the seed."""
        return f"{self.experiment}/{self.key.path.rpartition('/')[0]}"

    @property
    def tags(self) -> list[str]:
        """Experiment, data set, backbone, pruner and prune ratio; each once."""
        key = self.key
        ratio = f"p{key.prune_ratio:g}"
        return list(dict.fromkeys([self.experiment, key.dataset, key.backbone, key.pruner, ratio]))

    @property
    def values(self) -> dict[str, Any]:
        """The configuration, with the experiment's name."""
        return {"experiment": self.experiment, **self.config}


def history_row(record: EpochRecord) -> dict[str, Any]:
    """What is logged at step ``record.epoch``; what was not measured is left out."""
    return {name: value for name, value in record.model_dump().items() if value is not None}


def run_settings(**further: Any) -> Any:
    """Settings of any run of ours: says nothing, watches no machine, waits no longer than above."""
    import wandb

    return wandb.Settings(
        console="off",
        silent=True,
        init_timeout=START_SECONDS,
        finish_timeout=END_SECONDS,
        finish_timeout_raises=True,
        x_disable_stats=True,
        **further,
    )


def log_epoch(run: Any, record: EpochRecord) -> None:
    """Log one epoch to an open ``wandb.Run``, at step ``record.epoch``."""
    # Committed at once: else W&B keeps the last row back until the run is closed, and its values
    # then replace those of the same name in the finished run's summary.
    run.log(history_row(record), step=record.epoch, commit=True)


def summary_values(record: RunRecord) -> dict[str, Any]:
    """What a finished run's summary gets, besides the last value of everything in its history."""
    return {
        "test": record.test.model_dump(include={"mae", "rmse", "mape"}),
        "validation_mae": record.validation_mae,
        "best_epoch": record.best_epoch,
        "parameters": record.parameters,
        "cost": record.cost.model_dump(),
        "data_checksum": record.data["checksum"],
        "git_commit": record.environment["git_commit"],
    }


def whole_summary(record: RunRecord, epochs: Iterable[EpochRecord]) -> dict[str, Any]:
    """The summary that a run has at W&B after all its epochs, without W&B's own keys."""
    summary: dict[str, Any] = {}
    for epoch in epochs:
        summary |= history_row(epoch)
    return summary | summary_values(record)


def permitted_mode(mode: Tracking) -> Tracking:
    """``mode``, unless ``WANDB_MODE`` says that less may leave this machine."""
    told = KEPT_HERE.get(os.environ.get("WANDB_MODE", ""), "online")
    strictness: tuple[Tracking, ...] = ("online", "offline", "disabled")
    return max(mode, told, key=strictness.index)
