"""Writes the compact records of an experiment: the few files that its tables and figures need."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from stprune.base import atomic
from stprune.base.errors import RecordError
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import run_keys
from stprune.records.compact_layout import CompactLayout
from stprune.records.compact_records import RECORD_COLUMNS, parquet_bytes
from stprune.records.run import read_record
from stprune.results.columns import EPOCH_COLUMNS, KEYS, SUMMARY_COLUMNS
from stprune.results.kept_tables import kept_tables
from stprune.results.run_records import run_keys_of
from stprune.results.summary import collect
from stprune.results.table_file import read_table

# Where things lie on one machine is no part of an experiment.
LOCAL_KEYS = ("mirror", "data_directory", "results_directory")


@dataclass(frozen=True)
class Compacted:
    """What was written.

    Args:
        folder: Where.
        runs: How many runs it holds.
        left_out: Seeds of the experiment that are not complete.
        size: Bytes of all files.
    """

    folder: Path
    runs: int
    left_out: list[int]
    size: int


def compact(
    layout: ExperimentLayout, config: ExperimentConfig, records: Path, partial: bool = False
) -> Compacted:
    """Write the compact records of an experiment, the same bytes for the same records.

    Args:
        layout: The experiment with its runs.
        config: Its configuration, which says what runs there are to be.
        records: Folder of all compact records; the experiment gets one below.
        partial: Whether seeds that are not complete may be left out.

    Raises:
        RecordError: If a run has no record, of every seed if ``partial``; if a file is damaged;
            or if runs that name the same data set saw different data.
    """
    keys, left_out = _whole_seeds(layout, run_keys(config), partial)
    summary, epochs = collect([layout.metrics(key) for key in keys], layout.root)
    target = CompactLayout(records / config.experiment)
    # Through the text, so that both ways to load results give the same numbers to the last bit.
    summary_text = summary.to_csv(index=False)
    read = read_table(layout.summary, SUMMARY_COLUMNS, io.StringIO(summary_text))
    epochs = read_table(layout.epochs, EPOCH_COLUMNS, io.StringIO(epochs.to_csv(index=False)))
    kept = kept_tables(layout, read)
    files = {
        target.records: parquet_bytes(_records(layout, run_keys_of(read))),
        target.epochs: parquet_bytes(epochs),
        target.calendars: parquet_bytes(kept.calendars),
        target.overlaps: parquet_bytes(kept.overlaps),
        target.deciles: parquet_bytes(kept.deciles),
        target.config: _configuration(config, left_out).encode(),
        # Last, for without it there are no results.
        target.summary: summary_text.encode(),
    }
    _write(files, target)
    return Compacted(target.root, len(keys), left_out, sum(map(len, files.values())))


def _whole_seeds(
    layout: ExperimentLayout, keys: Sequence[RunKey], partial: bool
) -> tuple[list[RunKey], list[int]]:
    """The runs of all complete seeds, and the seeds that are not."""
    missing = [key for key in keys if not layout.metrics(key).exists()]
    seeds = sorted({key.seed for key in missing})
    if missing and not partial:
        raise RecordError(
            f"{layout.root} lacks the records of {len(missing)} of {len(keys)} runs, such as"
            f" {missing[0].path}; run them, or leave seeds that are not complete out by --partial"
        )
    whole = [key for key in keys if key.seed not in seeds]
    if not whole:
        raise RecordError(
            f"{layout.root} has no seed with the records of all its runs; lacking are"
            f" {len(missing)} of {len(keys)}, such as {missing[0].path}"
        )
    return whole, seeds


def _records(layout: ExperimentLayout, keys: Sequence[RunKey]) -> pd.DataFrame:
    rows = []
    for key in keys:
        values = read_record(layout.metrics(key)).model_dump(mode="json")
        text = json.dumps(values, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        rows.append((*key, text))
    frame = pd.DataFrame(rows, columns=list(RECORD_COLUMNS))
    return frame.astype({"prune_ratio": "float64", "seed": "int64"}).sort_values(KEYS)


def _configuration(config: ExperimentConfig, left_out: Sequence[int]) -> str:
    values = config.model_dump(mode="json", exclude=set(LOCAL_KEYS))
    values["seeds"] = [seed for seed in config.seeds if seed not in left_out]
    return yaml.safe_dump(values, sort_keys=False)


def _write(files: dict[Path, bytes], target: CompactLayout) -> None:
    target.summary.unlink(missing_ok=True)
    for path, content in files.items():
        with atomic.atomic_path(path) as temporary:
            temporary.write_bytes(content)
