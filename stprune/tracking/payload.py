"""What Weights & Biases gets of a run: the same while it trains and from its record."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stprune.base.errors import RecordError
from stprune.base.layout import ExperimentLayout, RunKey, recorded_runs
from stprune.base.schema import validate
from stprune.base.settings import Tracking, TrackingSettings
from stprune.records.run import EpochRecord, RunRecord, read_record

#: Metrics are drawn over it, or over the epoch.
CLOCK = "elapsed_seconds"
#: How long W&B may delay a run: at its start, and at its end until all is sent.
START_SECONDS, END_SECONDS = 30.0, 60.0


@dataclass(frozen=True)
class Payload:
    """A run's address and configuration at W&B.

    Args:
        experiment: Name of the experiment.
        key: Address of the run within it.
        resolved: The resolved configuration of the run.
    """

    experiment: str
    key: RunKey
    resolved: Mapping[str, Any]

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
    def config(self) -> dict[str, Any]:
        """The configuration, with the experiment's name."""
        return {"experiment": self.experiment, **self.resolved}


@dataclass(frozen=True)
class FinishedRun(Payload):
    """A run record in W&B's shape.

    Args:
        record: ``metrics.json``.
        epochs: ``epochs.csv``, in order.
    """

    record: RunRecord
    epochs: Sequence[EpochRecord]

    @property
    def history(self) -> dict[int, dict[str, Any]]:
        """Rows by step."""
        return {epoch.epoch: history_row(epoch) for epoch in self.epochs}

    @property
    def summary(self) -> dict[str, Any]:
        """What the summary holds in the end: the last value of each column, and the results."""
        last = {name: value for row in self.history.values() for name, value in row.items()}
        return last | results(self.record)


def finished_runs(layout: ExperimentLayout) -> list[FinishedRun]:
    """All finished runs of an experiment, sorted by path.

    Raises:
        RecordError: If there is none, or a record or its epochs cannot be read.
    """
    root = layout.root.resolve()
    files = [path for path in recorded_runs(root.parent) if root in path.parents]
    if not files:
        raise RecordError(f"there is no finished run in {layout.root}; train one first")
    return [_finished_run(path) for path in files]


def _finished_run(metrics: Path) -> FinishedRun:
    run = read_record(metrics)
    key = RunKey(run.dataset, run.backbone, run.pruner, run.prune_ratio, run.seed)
    table = metrics.with_name("epochs.csv")
    try:
        # Not by pandas, whose parser may round the last bit of what was logged in training.
        rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordError(f"{table} is not a readable table of epochs: {error}") from None
    epochs = [
        validate(EpochRecord, {k: v or None for k, v in row.items()}, f"{table}, line {line}")
        for line, row in enumerate(rows, start=2)
    ]
    return FinishedRun(run.experiment, key, run.config, run, epochs)


def history_row(epoch: EpochRecord) -> dict[str, Any]:
    """What is logged at step ``epoch.epoch``, without what was not measured."""
    return epoch.model_dump(exclude_none=True)


def results(record: RunRecord) -> dict[str, Any]:
    """What is written into the summary; W&B adds the last value of everything in the history."""
    return {
        "test": record.test.model_dump(include={"mae", "rmse", "mape"}),
        "validation_mae": record.validation_mae,
        "best_epoch": record.best_epoch,
        "parameters": record.parameters,
        "cost": record.cost.model_dump(),
        "data_checksum": record.data["checksum"],
        "git_commit": record.environment["git_commit"],
    }


def permitted_mode(mode: Tracking) -> Tracking:
    """``mode``, unless ``WANDB_MODE`` says that less may leave this machine."""
    limit = os.environ.get("WANDB_MODE", "").replace("dryrun", "offline")
    strictest_first: tuple[Tracking, ...] = ("disabled", "offline", "online")
    return next(kind for kind in strictest_first if kind in (mode, limit))


def run_settings(**more: Any) -> Any:
    """Settings of each run: no output, no system metrics, no longer waits than above."""
    import wandb

    return wandb.Settings(
        console="off",
        silent=True,
        init_timeout=START_SECONDS,
        finish_timeout=END_SECONDS,
        finish_timeout_raises=True,
        x_disable_stats=True,
        **more,
    )


def open_run(
    payload: Payload,
    mode: Tracking,
    place: TrackingSettings,
    directory: Path,
    tags: Iterable[str] = (),
    **settings: Any,
) -> Any:
    """Create or continue one ``wandb.Run``.

    Args:
        payload: Address and configuration.
        mode: ``offline`` writes a file instead.
        place: Project and entity.
        directory: Where W&B may write.
        tags: Those that the run has at W&B, to be kept.
        settings: More of W&B's settings.
    """
    import wandb

    run = wandb.init(
        mode=mode,
        project=place.project,
        entity=place.entity,
        dir=str(directory),
        id=payload.identity,
        resume="allow" if mode == "online" else None,
        name=payload.name,
        group=payload.group,
        job_type="train",
        tags=sorted({*tags, *payload.tags}),
        config=payload.config,
        settings=run_settings(**settings),
    )
    run.define_metric("*", step_metric=CLOCK)
    return run


def log_epoch(run: Any, epoch: EpochRecord) -> None:
    """Log one epoch to an open ``wandb.Run``."""
    # Commit at once. Otherwise W&B holds the last row back until the run is closed, and its values
    # then replace those of the same name in the summary.
    run.log(history_row(epoch), step=epoch.epoch, commit=True)
