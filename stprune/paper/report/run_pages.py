"""What the page needs to show any single run: its numbers by column, and its learning curves."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.base.layout import RunKey
from stprune.paper.report.configuration import configured, entries_as_text
from stprune.paper.report.ledger import EPOCH_PARTS
from stprune.paper.report.tradeoff_chart import place_name
from stprune.paper.tables import Column, Table
from stprune.results.labels import label
from stprune.results.summary import KEYS, REFERENCE, Results

# Of what is embedded: errors and seconds are not known to more.
DIGITS = 5
# Learning curves beyond so many epochs would make the page too heavy to open.
MOST_EPOCHS = 100_000
# Enough of a digest to tell two apart.
DIGEST_LENGTH = 12

TEXTS = ("dataset", "backbone", "pruner", "target_unit", "budget", "started", "finished")
DIGESTS = ("fingerprint", "source_digest", "data_checksum", "git_commit")
NUMBERS = (
    *("prune_ratio", "seed", "test_mae", "test_rmse", "test_mape"),
    *("test_mae_incident", "test_mae_least_stationary", "test_mae_worst_node"),
    *("validation_mae", "best_epoch", "epochs", "gradient_steps", "windows_visited"),
    *("training_windows", "test_windows", "realised_keep_ratio", "parameters"),
    *("epoch_seconds", "expected_epoch_seconds", "preparation_seconds", "train_seconds"),
    *("total_seconds", "test_seconds", "time_to_full_seconds", "peak_memory_bytes"),
    *("processor_joules", "device_joules", "threads", "resumed"),
)
CURVES = ("elapsed_seconds", "validation_mae", "train_loss")
PLACE = ["dataset", "backbone"]

RUN_COLUMNS = (
    Column("run", "Run"),
    Column("pruner", "Pruner", named=True),
    Column("prune_ratio", "Prune ratio"),
    Column("seed", "Seed", 0),
    Column("test_mae", "Test MAE", 3),
    Column("test_rmse", "Test RMSE", 3),
    Column("test_mape", "Test MAPE (%)", 2),
    Column("validation_mae", "Validation MAE", 3),
    Column("best_epoch", "Best epoch", 0),
    Column("epochs", "Epochs", 0),
    Column("epoch_seconds", "Per epoch (s)", 2),
    Column("total_seconds", "Total (s)", 1),
    Column("resumed", "Resumed", 0),
)
RUN_CAPTION = (
    "Every seed of every run, as recorded; the link shows the run's learning curves, where its time"
    " went, and its configuration."
)

Embedded = list[Any] | dict[str, list[Any]]


def run_table(results: Results) -> Table:
    """One row a run; its first column is the address, which the page links to the run."""
    frame = results.summary.assign(run=run_ids(results.summary))
    return Table("Every run", RUN_CAPTION, frame, RUN_COLUMNS)


def embedded_runs(results: Results, folder: Path) -> dict[str, Any]:
    """All that the page's scripts know of the experiment, for JSON.

    Args:
        results: The experiment.
        folder: Where the page will lie.
    """
    return {
        "runs": run_columns(results, folder),
        "curves": learning_curves(results),
        "means": mean_columns(results.aggregate),
        "entries": entries_as_text(configured(results)),
        "labels": readable_names(results.summary),
        "parts": ["preparation", *EPOCH_PARTS],
    }


def run_ids(summary: pd.DataFrame) -> list[str]:
    """The address of each run, such as ``los_loop/stid/st_prune/p0.5/s0``, in order."""
    keys = summary[KEYS].itertuples(index=False, name=None)
    return [RunKey(*key).path for key in keys]


def run_columns(results: Results, folder: Path) -> dict[str, Embedded]:
    """One entry a run in every column, in the order of the summary.

    Args:
        results: The experiment.
        folder: Where the page will lie; records that are there are named relative to it.

    Returns:
        Numbers to ``DIGITS`` significant digits and None for what is not known; words that repeat
        as ``{"values": [...], "codes": [...]}``. Besides columns of the summary ``id``,
        ``place``, ``record`` (None where the file is not there), ``<part>_seconds`` over all
        epochs, and, each None without full training, ``change`` (of the test MAE, % against its
        mean), ``epoch_percent`` and ``total_percent`` (of its mean).
    """
    runs = results.summary
    columns: dict[str, Embedded] = {"id": run_ids(runs)}
    columns["place"] = coded(_places(runs))
    columns |= {name: coded(runs[name]) for name in TEXTS}
    columns |= {name: coded(runs[name].str.slice(0, DIGEST_LENGTH)) for name in DIGESTS}
    columns |= {name: numbers(runs[name]) for name in NUMBERS}
    columns["record"] = [path if (folder / path).is_file() else None for path in runs["record"]]
    parts = [f"{part}_seconds" for part in EPOCH_PARTS]
    spent = results.epochs.groupby(KEYS)[parts].sum()
    spent = spent.reindex(pd.MultiIndex.from_frame(runs[KEYS]))
    columns |= {name: numbers(spent[name]) for name in parts}
    columns["change"] = numbers(_of_full(runs, "test_mae") - 100)
    for time in ("epoch", "total"):
        columns[f"{time}_percent"] = numbers(_of_full(runs, f"{time}_seconds"))
    return columns


def mean_columns(aggregate: pd.DataFrame) -> dict[str, Embedded]:
    """One entry a mean over seeds in every column, as in `run_columns`, and its ``spread``."""
    words = {"place": _places(aggregate), "pruner": aggregate["pruner"]}
    words["target_unit"] = aggregate["target_unit"]
    named = {"test_mae_sd": "spread", "test_mae_change": "change"}
    same = ("prune_ratio", "seeds", "test_mae", "epoch_seconds", "total_seconds")
    values = aggregate.rename(columns=named)
    columns: dict[str, Embedded] = {name: coded(word) for name, word in words.items()}
    for name in (*same, *named.values(), "epoch_percent", "total_percent"):
        columns[name] = numbers(values[name])
    return columns


def learning_curves(results: Results, most: int = MOST_EPOCHS) -> dict[str, list[Any]]:
    """Time, validation MAE and training loss of every epoch, one list a run.

    Args:
        results: The experiment.
        most: Epochs that there is room for. Runs beyond are left out whole, last seeds first.

    Returns:
        By the names of ``CURVES``, in the order of the summary; None for a run that was left out.
    """
    runs = results.summary
    by_run = dict(iter(results.epochs.groupby(KEYS, sort=False)))
    keys = list(runs[KEYS].itertuples(index=False, name=None))
    order = sorted(range(len(keys)), key=lambda at: (keys[at][-1], at))
    curves: dict[str, list[Any]] = {name: [None] * len(keys) for name in CURVES}
    room = most
    for at in order:
        part = by_run.get(keys[at])
        if part is None:
            continue
        room -= len(part)
        if room < 0:
            break
        part = part.sort_values("epoch")
        for name in CURVES:
            curves[name][at] = numbers(part[name])
    return curves


def readable_names(summary: pd.DataFrame) -> dict[str, str]:
    """The readable name of each pruner and backbone, by id."""
    names = sorted({*summary["pruner"], *summary["backbone"]})
    return {name: label(name) for name in names}


def numbers(values: Iterable[float]) -> list[float | int | None]:
    """Numbers of few digits that JSON has: None for NaN and the infinite."""
    return [_short(float(value)) for value in values]


def coded(values: pd.Series[Any]) -> dict[str, list[Any]]:
    """Words that repeat, each written once."""
    words = [None if pd.isna(word) else str(word) for word in values]
    distinct = list(dict.fromkeys(words))
    place = {word: at for at, word in enumerate(distinct)}
    return {"values": distinct, "codes": [place[word] for word in words]}


def _short(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    rounded = float(f"{value:.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded


def _of_full(runs: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """A column of each run in percent of full training's mean at the same place."""
    full = runs[runs["pruner"] == REFERENCE].groupby(PLACE)[column].mean()
    own = full.reindex(pd.MultiIndex.from_frame(runs[PLACE])).to_numpy(dtype=np.float64)
    percent: NDArray[np.float64] = 100 * runs[column].to_numpy(dtype=np.float64) / own
    return percent


def _places(frame: pd.DataFrame) -> pd.Series[Any]:
    pairs = frame[PLACE].itertuples(index=False, name=None)
    return pd.Series([place_name(*pair) for pair in pairs], frame.index, dtype="object")
