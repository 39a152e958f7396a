"""From run records to one row a run, and from those to one row a comparison.

Tables, figures and the report read only what is computed here, so they cannot disagree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stprune.base import atomic
from stprune.base.errors import RecordError
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.records.run import EpochRecord, RunRecord, read_epochs, read_record
from stprune.results.aggregate import aggregate as aggregate
from stprune.results.columns import DATA_IDENTITY
from stprune.results.columns import EPOCH_COLUMNS as EPOCH_COLUMNS
from stprune.results.columns import GROUPS as GROUPS
from stprune.results.columns import KEYS as KEYS
from stprune.results.columns import METRICS as METRICS
from stprune.results.columns import REFERENCE as REFERENCE
from stprune.results.columns import SUMMARY_COLUMNS as SUMMARY_COLUMNS
from stprune.results.kept_tables import KeptTables
from stprune.results.run_records import (
    Environment,
    RunRecords,
    environments_of,
    horizons_of,
    run_keys_of,
)
from stprune.results.run_source import run_source
from stprune.results.table_file import read_table
from stprune.results.time_to_full import times_to_full


@dataclass(frozen=True)
class Results:
    """Everything that a table or figure may show of an experiment.

    Args:
        summary: One row a run, columns ``SUMMARY_COLUMNS``; seconds, real units, percent.
        epochs: One row an epoch of every run, columns ``EPOCH_COLUMNS``.
        aggregate: One row per data set, backbone, pruner and prune ratio; see `aggregate`.
        layout: Where the experiment lies, or compact records of it, for what stands in the files
            of single runs; that is read when it is asked for.
    """

    summary: pd.DataFrame
    epochs: pd.DataFrame
    aggregate: pd.DataFrame
    layout: ExperimentLayout

    @cached_property
    def records(self) -> Mapping[RunKey, RunRecord]:
        """The record of every run of the summary, in its order; each is read when asked for."""
        return RunRecords(run_keys_of(self.summary), run_source(self.layout).record)

    @cached_property
    def kept(self) -> KeptTables:
        """What the archives of kept windows say of the runs; see `KeptTables`."""
        return run_source(self.layout).kept(self.summary)

    @cached_property
    def horizons(self) -> pd.DataFrame:
        """Test errors by step ahead, columns ``HORIZON_COLUMNS``; see `horizons_of`."""
        return horizons_of(self.records)

    @cached_property
    def environments(self) -> list[tuple[Environment, int]]:
        """What the runs ran on, each with its number of runs; see `environments_of`."""
        return environments_of(self.records)

    @cached_property
    def configuration(self) -> str | None:
        """The text of the resolved ``config.yaml``; None where there is none."""
        path = self.layout.config
        return path.read_text(encoding="utf-8") if path.exists() else None


def summarise(metric_files: Sequence[Path], summary: Path, epochs: Path) -> None:
    """Collect finished runs into two tables beside their ``runs`` folder.

    Args:
        metric_files: Every ``metrics.json`` of the experiment, in any order.
        summary: Table to write, one row a run; lies in the folder of the experiment.
        epochs: Table to write, one row an epoch of every run.

    Raises:
        RecordError: If a run is missing, incomplete or recorded twice, or if runs that name the
            same data set saw different data.
    """
    if not metric_files:
        raise RecordError(f"there is no run to summarise in {summary}; run the experiment first")
    frame, every_epoch = collect(metric_files, summary.parent)
    atomic.write_text(epochs, every_epoch.to_csv(index=False))
    atomic.write_text(summary, frame.to_csv(index=False))


def collect(metric_files: Sequence[Path], root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The two tables of :func:`summarise`, without writing them.

    Args:
        metric_files: At least one ``metrics.json`` below ``root``.
        root: The folder of the experiment.

    Raises:
        RecordError: As :func:`summarise`.
    """
    rows, tables = [], []
    for path in metric_files:
        record = read_record(path)
        rows.append(_row(record, path, root))
        tables.append(_epochs_of(record, path.with_name("epochs.csv")))
    frame = pd.DataFrame(rows)
    _refuse_repeats(frame)
    _refuse_mixed_data(frame)
    _refuse_mixed_versions(frame)
    every_epoch = pd.concat(tables, ignore_index=True).sort_values([*KEYS, "epoch"])
    frame = frame.merge(times_to_full(every_epoch, REFERENCE), on=KEYS, validate="one_to_one")
    frame = _with_expected_times(frame).loc[:, list(SUMMARY_COLUMNS)].sort_values(KEYS)
    return frame, every_epoch


def read_summary(path: Path) -> pd.DataFrame:
    """Read a table that `summarise` wrote.

    Returns:
        One row a run; digests and names are text, whatever they look like.

    Raises:
        RecordError: If the file is missing or lacks a column.
    """
    return read_table(path, SUMMARY_COLUMNS)


def load_results(layout: ExperimentLayout) -> Results:
    """Read the summary and the epochs of an experiment and compare its runs.

    Raises:
        RecordError: If a table is missing or lacks a column.
    """
    summary = read_summary(layout.summary)
    every_epoch = run_source(layout).epochs()
    return Results(summary, every_epoch, aggregate(summary), layout)


def _with_expected_times(frame: pd.DataFrame) -> pd.DataFrame:
    """Add what an epoch should have taken: its share of a full one's work, and its own overhead.

    A pruned run that had full epochs itself is held to those: they were timed in the same
    minutes. The others are held to the runs of full training.
    """
    full = frame[frame["pruner"] == REFERENCE]
    work = full.assign(work=full["epoch_seconds"] - full["overhead_seconds"])
    place = pd.MultiIndex.from_frame(frame[["dataset", "backbone"]])
    full_work = work.groupby(["dataset", "backbone"])["work"].mean().reindex(place).to_numpy()
    own = frame["full_epoch_seconds"].astype(float)
    pruned = (frame["realised_keep_ratio"] < 1) & own.notna()
    work_of_full = np.where(pruned & ~np.isnan(full_work), own, full_work)
    expected = frame["realised_keep_ratio"] * work_of_full + frame["overhead_seconds"]
    return frame.assign(
        expected_epoch_seconds=expected, epoch_time_ratio=frame["epoch_seconds"] / expected
    )


def _row(record: RunRecord, path: Path, experiment: Path) -> dict[str, Any]:
    checksum = record.data.get("checksum")
    if not checksum:
        raise RecordError(f"{path} has no `data.checksum`; delete it to run it again")
    scores = {f"test_{metric}": getattr(record.test, metric) for metric in METRICS}
    scores |= {f"test_mae_{group}": record.test_groups.get(group) for group in GROUPS}
    same_name = {
        name: getattr(record, name)
        for name in SUMMARY_COLUMNS
        if name in RunRecord.model_fields and name not in KEYS
    }
    return {
        **{key: getattr(record, key) for key in KEYS},
        # A score that could not be taken is NaN, which no mean hides.
        **{name: np.nan if value is None else value for name, value in scores.items()},
        **same_name,
        **record.cost.model_dump(),
        "target_unit": record.data.get("target_unit"),
        "test_windows": record.test.windows,
        "mape_floor": record.test.mape_floor,
        "threads": record.environment.get("threads"),
        "git_commit": record.environment.get("git_commit"),
        "data_checksum": checksum,
        "record": _relative(path, experiment),
        "data_seen": ", ".join(f"{name} {record.data.get(name)}" for name in DATA_IDENTITY),
        "settings": _settings(record),
    }


def _settings(record: RunRecord) -> str:
    """The run's configuration but for what seeds and prune ratios differ in."""
    kept = {k: v for k, v in record.config.items() if k not in ("seed", "prune_ratio")}
    return json.dumps(kept, sort_keys=True)


def _relative(path: Path, experiment: Path) -> str:
    try:
        return path.resolve().relative_to(experiment.resolve()).as_posix()
    except ValueError:
        raise RecordError(
            f"{path} is not a run of the experiment in {experiment}; summarise it there"
        ) from None


def _epochs_of(record: RunRecord, path: Path) -> pd.DataFrame:
    frame = read_epochs(path)
    if len(frame) != record.cost.epochs:
        raise RecordError(
            f"{path} has {len(frame)} epochs, but its record says {record.cost.epochs};"
            " delete the run's metrics.json to run it again"
        )
    keys = pd.DataFrame({key: [getattr(record, key)] * len(frame) for key in KEYS})
    return pd.concat([keys, frame[list(EpochRecord.model_fields)]], axis="columns")


def _refuse_repeats(frame: pd.DataFrame) -> None:
    repeated = frame[frame.duplicated(KEYS, keep=False)]
    if not repeated.empty:
        paths = ", ".join(repeated["record"])
        raise RecordError(f"these records are of one and the same run, delete all but one: {paths}")


def _refuse_mixed_data(frame: pd.DataFrame) -> None:
    for dataset, runs in frame.groupby("dataset"):
        kinds = runs.drop_duplicates("data_seen")
        if len(kinds) > 1:
            seen = [f"{path} ({data})" for path, data in kinds[["record", "data_seen"]].to_numpy()]
            raise RecordError(
                f"runs of `{dataset}` saw different data, delete the outdated ones to run them"
                f" again: {' and '.join(seen)}"
            )


def _refuse_mixed_versions(frame: pd.DataFrame) -> None:
    """Seeds and prune ratios of one pruner are compared: nothing else may have changed."""
    for name, what in (("source_digest", "source code"), ("settings", "configurations")):
        for place, runs in frame.groupby(KEYS[:3]):
            records = list(runs.drop_duplicates(name)["record"])
            if len(records) > 1:
                raise RecordError(
                    f"runs of {'/'.join(map(str, place))} are of different {what}, such as"
                    f" {records[0]} and {records[1]}; delete the outdated ones to run them again"
                )
