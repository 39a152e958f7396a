"""From run records to one row a run, and from those to one row a comparison.

Tables, figures and the report read only what is computed here, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stprune import atomic
from stprune.errors import RecordError
from stprune.layout import ExperimentLayout
from stprune.records import Cost, EpochRecord, RunRecord, read_epochs, read_record
from stprune.time_to_full import times_to_full

REFERENCE = "full"
KEYS = ["dataset", "backbone", "pruner", "prune_ratio", "seed"]
METRICS = ("mae", "rmse", "mape")
# Parts of the test windows, or of the nodes, whose MAE a mean over all would hide.
GROUPS = ("incident", "least_stationary", "worst_node")
# Read as text: a digest of digits only must not turn into a number.
TEXT_COLUMNS = (
    *("experiment", "dataset", "backbone", "pruner", "target_unit", "budget", "fingerprint"),
    *("source_digest", "data_checksum", "git_commit", "started", "finished", "record"),
)
SUMMARY_COLUMNS = (
    *KEYS,
    *(f"test_{metric}" for metric in METRICS),
    *(f"test_mae_{group}" for group in GROUPS),
    *("target_unit", "test_windows", "mape_floor", "validation_mae", "best_epoch", "parameters"),
    *Cost.model_fields,
    *("time_to_full_seconds", "time_to_full_percent"),
    *("expected_epoch_seconds", "epoch_time_ratio", "threads", "experiment", "fingerprint"),
    *("source_digest", "data_checksum", "git_commit", "started", "finished", "resumed", "record"),
)
# Not counted on every machine; tables that older versions wrote have no such columns.
OPTIONAL_COLUMNS = ("processor_joules", "device_joules")
# What of a record's `data` must agree between runs that name the same data set.
DATA_IDENTITY = ("checksum", "node_stride", "days", "window_stride", "nodes", "steps")
EPOCH_COLUMNS = (*KEYS, *EpochRecord.model_fields)


@dataclass(frozen=True)
class Results:
    """Everything that a table or figure may show of an experiment.

    Args:
        summary: One row a run, columns ``SUMMARY_COLUMNS``; seconds, real units, percent.
        epochs: One row an epoch of every run, columns ``EPOCH_COLUMNS``.
        aggregate: One row per data set, backbone, pruner and prune ratio; see `aggregate`.
        layout: Where the experiment lies, for what stands in the files of single runs.
    """

    summary: pd.DataFrame
    epochs: pd.DataFrame
    aggregate: pd.DataFrame
    layout: ExperimentLayout


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
    return _read_table(path, SUMMARY_COLUMNS)


def load_results(layout: ExperimentLayout) -> Results:
    """Read the summary and the epochs of an experiment and compare its runs.

    Raises:
        RecordError: If a table is missing or lacks a column.
    """
    summary = read_summary(layout.summary)
    every_epoch = _read_table(layout.epochs, EPOCH_COLUMNS)
    return Results(summary, every_epoch, aggregate(summary), layout)


def aggregate(summary: pd.DataFrame) -> pd.DataFrame:
    """Compare the seeds' means with full training of the same data set and backbone.

    Standard deviations are those of a sample (ddof = 1), so NaN for one seed. A score that one
    seed lacks makes the mean NaN. Without a run of `full` all relative columns are NaN.

    Args:
        summary: One row a run.

    Returns:
        One row per data set, backbone, pruner and prune ratio, sorted, with ``seeds`` (count),
        ``target_unit`` and ``budget``; ``test_<metric>`` and ``test_mae_<group>``, each with
        ``_sd`` and ``_change`` (% against full); ``epoch_seconds``, ``total_seconds``,
        ``train_seconds`` (means) with ``epoch_percent``, ``total_percent``, ``train_percent`` (of
        full's mean) and their ``_sd``; the means ``gradient_steps``, ``realised_keep_ratio``,
        ``overhead_seconds`` and ``expected_epoch_seconds``; ``epoch_time_ratio``, measured over
        expected per-epoch time; ``time_to_full_seconds`` and ``time_to_full_percent`` (see
        `times_to_full`) with ``_sd``, and ``reached``, how many of the seeds reached full's
        accuracy at all.
    """
    cells = summary.groupby(KEYS[:-1], sort=True)
    scores = [*(f"test_{name}" for name in METRICS), *(f"test_mae_{name}" for name in GROUPS)]
    times = ["epoch_seconds", "total_seconds", "train_seconds"]
    reaching = ["time_to_full_seconds", "time_to_full_percent"]
    costs = ["gradient_steps", "realised_keep_ratio", "overhead_seconds", "expected_epoch_seconds"]
    mean = cells[[*scores, *times, *costs, *reaching]].mean(skipna=False)
    spread = cells[[*scores, *times, *reaching]].std(ddof=1, skipna=False)
    full = _full_means(mean)
    table = mean.copy()
    table.insert(0, "seeds", cells.size())
    table.insert(1, "target_unit", cells["target_unit"].first())
    table.insert(2, "budget", cells["budget"].first())
    for score in scores:
        table[f"{score}_sd"] = spread[score]
        table[f"{score}_change"] = 100 * (mean[score] / full[score] - 1)
    for time in times:
        percent = time.replace("_seconds", "_percent")
        table[percent] = 100 * mean[time] / full[time]
        table[f"{percent}_sd"] = 100 * spread[time] / full[time]
    for column in reaching:
        table[f"{column}_sd"] = spread[column]
    table["reached"] = cells["time_to_full_seconds"].count()
    table["epoch_time_ratio"] = mean["epoch_seconds"] / mean["expected_epoch_seconds"]
    return table.reset_index()


def _full_means(mean: pd.DataFrame) -> pd.DataFrame:
    """The means of `full`, repeated on each row of the same data set and backbone."""
    rows = mean.index.get_level_values("pruner") == REFERENCE
    by_place = mean.droplevel(["pruner", "prune_ratio"])
    return by_place[rows].reindex(by_place.index).set_axis(mean.index)


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
    }


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


def _read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        frame = pd.read_csv(
            path,
            dtype=dict.fromkeys(TEXT_COLUMNS, "str"),
            # Only an empty field is missing: `NA` may well be somebody's name.
            keep_default_na=False,
            na_values=[""],
        )
    except FileNotFoundError:
        raise RecordError(f"there is no table {path}; summarise the experiment first") from None
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RecordError(f"{path} is not a readable table: {reason}") from None
    for column in set(OPTIONAL_COLUMNS) & set(columns) - set(frame.columns):
        frame[column] = np.nan
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise RecordError(f"{path} lacks the columns {missing}; summarise the experiment again")
    return frame
