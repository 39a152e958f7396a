"""The finished runs of an experiment, as Weights & Biases is to hold them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stprune.base.errors import RecordError
from stprune.base.layout import ExperimentLayout, RunKey, recorded_runs
from stprune.base.schema import validate
from stprune.records.run import EpochRecord, RunRecord, read_record
from stprune.tracking.told import TrackedRun, history_row, summary_values, whole_summary


@dataclass(frozen=True)
class RecordedRun:
    """One run record in W&B's shape.

    Args:
        tracked: Address and configuration.
        record: ``metrics.json``.
        epochs: ``epochs.csv``, in order.
    """

    tracked: TrackedRun
    record: RunRecord
    epochs: tuple[EpochRecord, ...]

    @property
    def written_summary(self) -> dict[str, Any]:
        """What is written into the summary."""
        return summary_values(self.record)

    @property
    def summary(self) -> dict[str, Any]:
        """What the summary holds in the end."""
        return whole_summary(self.record, self.epochs)

    @property
    def history(self) -> dict[int, dict[str, Any]]:
        """Rows by step."""
        return {epoch.epoch: history_row(epoch) for epoch in self.epochs}


def recorded_experiment(layout: ExperimentLayout) -> list[RecordedRun]:
    """All finished runs, sorted by path.

    Raises:
        RecordError: If there is none, or a record or its epochs cannot be read.
    """
    root = layout.root.resolve()
    files = [path for path in recorded_runs(root.parent) if root in path.parents]
    if not files:
        raise RecordError(f"there is no finished run in {layout.root}; train one first")
    return [recorded_run(path) for path in files]


def recorded_run(metrics: Path) -> RecordedRun:
    """One finished run.

    Raises:
        RecordError: If its record or its epochs cannot be read.
    """
    record = read_record(metrics)
    key = RunKey(record.dataset, record.backbone, record.pruner, record.prune_ratio, record.seed)
    epochs = tuple(_read_epochs(metrics.with_name("epochs.csv")))
    return RecordedRun(TrackedRun(record.experiment, key, record.config), record, epochs)


def _read_epochs(table: Path) -> list[EpochRecord]:
    # Not `records.read_epochs`: pandas rounds the last digit of some numbers, and what was logged
    # while the run trained is the same to the last bit.
    try:
        with table.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordError(f"{table} is not a readable table of epochs: {error}") from None
    return [
        validate(
            EpochRecord,
            {name: None if value == "" else value for name, value in row.items()},
            f"{table}, line {number}",
        )
        for number, row in enumerate(rows, start=2)
    ]
