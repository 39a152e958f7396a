"""Collects the records of finished runs into the store of their experiment."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from stprune.base.errors import RecordError
from stprune.base.files import write_text
from stprune.base.layout import ExperimentLayout, store_table
from stprune.records.run import RunRecord, read_epochs, read_record
from stprune.records.store import (
    EPOCH_COLUMNS,
    GROUPS,
    KEYS,
    METRICS,
    PLACE,
    REFERENCE,
    SUMMARY_COLUMNS,
    TEXTS,
    read_store,
    write_store,
)
from stprune.records.timing import TimingRecord, read_timing, settings_digest
from stprune.results.costs import SPENT, timed_costs, timed_epochs
from stprune.results.kept_windows import kept_tables

# Fields of a run's cost that its timing replaces.
TIMED = ["preparation_seconds", "epoch_seconds", "full_epoch_seconds", "overhead_seconds"]
TIMED += [*SPENT, "total_seconds"]
# What of a record's `data` must agree between runs that name the same data set.
DATA_IDENTITY = ("checksum", "node_stride", "days", "window_stride", "nodes", "steps")
# Where things lie on one machine is no part of an experiment.
LOCAL_KEYS = ("mirror", "data_directory", "results_directory")


def summarise(
    metric_files: Sequence[Path],
    layout: ExperimentLayout,
    configuration: Mapping[str, Any] | None = None,
) -> None:
    """Collect finished runs into the experiment's store, and one row a run into ``summary.csv``.

    The same records give the same bytes. The resolved ``configuration`` loses paths of a machine.

    Raises:
        RecordError: If a run is missing, incomplete or recorded twice, or if runs that name the
            same data set saw different data.
    """
    if not metric_files:
        raise RecordError(f"{layout.root} has no run to summarise; run the experiment first")
    tables = collect(metric_files, layout)
    kept = kept_tables(layout, tables["summary"])
    text = None
    if configuration is not None:
        values = {key: value for key, value in configuration.items() if key not in LOCAL_KEYS}
        text = yaml.safe_dump(values, sort_keys=False)
    layout.summary.unlink(missing_ok=True)
    write_store(layout.store, tables | kept._asdict(), text)
    write_text(layout.summary, tables["summary"].to_csv(index=False))


def summary_so_far(layout: ExperimentLayout, metric_files: Sequence[Path]) -> pd.DataFrame:
    """The summary of the finished runs: that of the store, if it is of just these records.

    Empty if there is neither a store nor a record. Raises as `summarise` does.
    """
    path = store_table(layout.store, "summary")
    written = path.stat().st_mtime_ns if path.exists() else 0
    summary = read_store(layout.store, "summary") if written else pd.DataFrame()
    # Thousands of records are read in minutes, their summary at once.
    changed = any(file.stat().st_mtime_ns > written for file in metric_files)
    root = layout.root.resolve()
    records = {file.resolve().relative_to(root).as_posix() for file in metric_files}
    if records and (changed or records != set(summary.get("record", ()))):
        return collect(metric_files, layout)["summary"]
    return summary


def collect(metric_files: Sequence[Path], layout: ExperimentLayout) -> dict[str, pd.DataFrame]:
    """The tables ``summary``, ``epochs``, ``records`` and ``timings`` of a store, sorted.

    Of at least one ``metrics.json`` of the experiment. Times are those of its timings (see
    `stprune.results.costs`). Raises as `summarise` does.
    """
    rows, tables, texts = [], [], []
    for path in metric_files:
        record = read_record(path)
        keys = {key: getattr(record, key) for key in KEYS}
        rows.append(_row(record, path, layout.root))
        epochs = read_epochs(path.with_name("epochs.csv"))
        if len(epochs) != record.cost.epochs:
            raise RecordError(
                f"{path.with_name('epochs.csv')} has {len(epochs)} epochs, but its record says"
                f" {record.cost.epochs}; delete the run's metrics.json to run it again"
            )
        tables.append(epochs.assign(**keys))
        values = record.model_dump(mode="json")
        text = json.dumps(values, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        texts.append((*keys.values(), text))
    frame = pd.DataFrame(rows)
    _refuse_what_cannot_be_compared(frame)
    timings = _timings(frame, layout)
    epochs = pd.concat(tables, ignore_index=True).sort_values([*KEYS, "epoch"], ignore_index=True)
    epochs = timed_epochs(epochs, timings)
    frame = frame.merge(timed_costs(epochs, timings), on=KEYS, validate="one_to_one")
    frame = with_expected(frame)
    numbers = [column for column in SUMMARY_COLUMNS if column not in TEXTS]
    # A number that no run has, such as the joules of a machine without a counter, is NaN.
    frame[numbers] = frame[numbers].apply(pd.to_numeric)
    timed = [(*place, timing.model_dump_json()) for place, timing in timings.items()]
    return {
        "summary": frame.loc[:, list(SUMMARY_COLUMNS)].sort_values(KEYS, ignore_index=True),
        "epochs": epochs[list(EPOCH_COLUMNS)],
        "records": pd.DataFrame(texts, columns=[*KEYS, "json"]).sort_values(KEYS),
        "timings": pd.DataFrame(timed, columns=[*PLACE, "json"]),
    }


def _timings(frame: pd.DataFrame, layout: ExperimentLayout) -> dict[tuple[str, str], TimingRecord]:
    """The timings of the runs' data sets and backbones, as far as there are any."""
    timings = dict[tuple[str, str], TimingRecord]()
    for place, runs in frame.groupby(PLACE):
        dataset, backbone = map(str, place)
        path = layout.timing(dataset, backbone)
        if not path.exists():
            continue
        timings[dataset, backbone] = timing = read_timing(path)
        entries = {(entry.pruner, entry.prune_ratio): entry for entry in timing.entries}
        for run in runs.to_dict("records"):
            entry = entries.get((run["pruner"], run["prune_ratio"]))
            seen = (run["data_checksum"], run["settings"], run["source_digest"])
            if entry and seen != (timing.data_checksum, entry.settings, entry.source_digest):
                raise RecordError(
                    f"{path} is of other data, source code or configuration than {run['record']};"
                    " run the workflow, or delete the one that is outdated"
                )
    return timings


def with_expected(frame: pd.DataFrame) -> pd.DataFrame:
    """Add what an epoch should have taken: its share of full training's work, and its overhead."""
    full = frame[frame["pruner"] == REFERENCE]
    work = (full["epoch_seconds"] - full["overhead_seconds"]).groupby([full[n] for n in PLACE])
    full_work = work.mean().reindex(pd.MultiIndex.from_frame(frame[PLACE])).to_numpy()
    expected = frame["realised_keep_ratio"] * full_work + frame["overhead_seconds"]
    ratio = frame["epoch_seconds"] / expected
    return frame.assign(expected_epoch_seconds=expected, epoch_time_ratio=ratio)


def _row(record: RunRecord, path: Path, experiment: Path) -> dict[str, Any]:
    """The columns of the summary, and ``data_seen`` and ``settings``, which runs must share."""
    if not record.data.get("checksum"):
        raise RecordError(f"{path} has no `data.checksum`; delete it to run it again")
    scores = {f"test_{metric}": getattr(record.test, metric) for metric in METRICS}
    scores |= {f"test_mae_{group}": record.test_groups.get(group) for group in GROUPS}
    own = [name for name in (*KEYS, *SUMMARY_COLUMNS) if name in RunRecord.model_fields]
    row = {
        # A score that could not be taken is NaN, which no mean hides.
        **{name: np.nan if value is None else value for name, value in scores.items()},
        **{name: getattr(record, name) for name in own},
        **record.cost.model_dump(exclude=set(TIMED)),
        "own_epoch_seconds": record.cost.epoch_seconds,
        "own_total_seconds": record.cost.total_seconds,
        "target_unit": record.data.get("target_unit"),
        "test_windows": record.test.windows,
        "mape_floor": record.test.mape_floor,
        "threads": record.environment.get("threads"),
        "git_commit": record.environment.get("git_commit"),
        "data_checksum": record.data["checksum"],
        "record": path.resolve().relative_to(experiment.resolve()).as_posix(),
        "data_seen": ", ".join(f"{name} {record.data.get(name)}" for name in DATA_IDENTITY),
        # Seeds and prune ratios of one pruner are compared: nothing else may differ.
        "settings": settings_digest(record.config),
    }
    for name, value in row.items():
        kind = str if name in TEXTS or name not in SUMMARY_COLUMNS else (int, float)
        # Entries of `data` and `environment` have no types of their own.
        if value is not None and not isinstance(value, kind):
            raise RecordError(f"{path}: `{name}` is {value!r}; delete it to run it again")
    return row


def _refuse_what_cannot_be_compared(frame: pd.DataFrame) -> None:
    repeated = frame[frame.duplicated(KEYS)]
    if not repeated.empty:
        raise RecordError(f"this run is recorded twice, delete one: {repeated['record'].iloc[0]}")
    for columns, name, what in (
        (KEYS[:1], "data_seen", "data"),
        (KEYS[:3], "source_digest", "source code"),
        (KEYS[:3], "settings", "configurations"),
    ):
        for place, runs in frame.groupby(columns):
            kinds = runs.drop_duplicates(name)
            if len(kinds) > 1:
                first, second = kinds[["record", name]].to_numpy()[:2]
                raise RecordError(
                    f"runs of `{'/'.join(map(str, place))}` are of different {what}, such as"
                    f" {first[0]} ({first[1]}) and {second[0]} ({second[1]}); delete the outdated"
                    " ones to run them again"
                )
