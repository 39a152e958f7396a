"""Does pruning do as well on other tasks? Long forecasts, imputation, few shots, transfer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd

from paper_figures.pairing import SIGNIFICANT, change_from, spelled_change
from paper_figures.rows import absent, budgets, units
from stprune.base.layout import format_ratio
from stprune.paper.tables import Column, Table
from stprune.results.labels import label
from stprune.results.summary import REFERENCE, Results, run_keys_of
from stprune.statistics.paired import CONTROLS, holm

TITLE = "Pruning under every task"
EVERYWHERE = "all"
OTHERS = (REFERENCE, *CONTROLS)

CAPTION = (
    "MAE: test MAE by the rule of the task, mean ± standard deviation over the seeds; bold: lowest"
    " mean of its task, data set and prune ratio, full training aside; underlined: second. Δ:"
    " 100 (pruner / the other - 1) in %, mean over the pairs of runs of the same data set, prune"
    f" ratio and seed; below 0 the pruner is better. {SIGNIFICANT}: p below 0.05 in a paired t test"
    " over those pairs, corrected by Holm's method for all pruners and prune ratios that the task"
    " and data set (or all of the task) compare with the same other; pairs of one data set depend"
    " on each other, so it does not speak for other data sets. Time: per-epoch time in % of full"
    " training's, scoring and selection included; on all data sets, the mean of theirs. Steps: of"
    " input and of target; an imputation's targets are hidden values of its inputs. A dash: not"
    " run, or nothing to compare with."
)

COLUMNS = (
    Column("task", "Task", named=True),
    Column("dataset", "Data set"),
    Column("steps", "Steps"),
    Column("ratio", "Prune ratio"),
    Column("pruner", "Pruner", named=True),
    Column("mae", "MAE", 2, "mae_sd", True),
    *(Column(f"{other}_delta", f"Δ from {label(other)} (%)") for other in OTHERS),
    Column("time", "Time (%)", 0),
)


class Entry(NamedTuple):
    """What the records say of a data set entry: its task, data set, and steps of a window."""

    task: str
    dataset: str
    steps: str | None


def applies(results: Results) -> bool:
    """Whether there are several tasks, or windows of several lengths."""
    return len({(entry.task, entry.steps) for entry in _entries(results).values()}) > 1


def build(results: Results) -> Table:
    """The table of tasks.

    Args:
        results: The experiment; MAE in the target's unit.

    Returns:
        For each task one row per prune ratio and pruner over all its data sets, where there are
        several, and one for each of them. The frame holds ``mae`` and ``mae_sd``, ``time``, and
        for full training and both controls ``<other>_change``, ``_p``, ``_holm_p`` and ``_pairs``,
        with the text ``<other>_delta``.
    """
    notes = [*budgets(results), *absent(results), *units(results)]
    return Table(
        title=TITLE,
        caption=" ".join([CAPTION, *notes]),
        frame=pd.DataFrame(_rows(results, _entries(results))),
        columns=COLUMNS,
        group=("task", "dataset", "ratio"),
        unranked={"pruner": (REFERENCE,)},
    )


def _entries(results: Results) -> dict[str, Entry]:
    """By data set entry, by the record of one of its runs."""
    found: dict[str, Entry] = {}
    for name, runs in results.summary.groupby("dataset"):
        config = results.records[run_keys_of(runs)[0]].config
        dataset, training = config.get("dataset", {}), config.get("training", {})
        history, horizon = training.get("history"), training.get("horizon")
        steps = f"{history} to {horizon}" if history and horizon else None
        found[str(name)] = Entry(
            dataset.get("task", "forecast"), dataset.get("id", str(name)), steps
        )
    repeated = Counter((entry.task, entry.dataset) for entry in found.values())
    return {
        name: entry if repeated[entry[:2]] == 1 else entry._replace(dataset=name)
        for name, entry in sorted(found.items(), key=lambda item: (item[1], item[0]))
    }


def _rows(results: Results, entries: dict[str, Entry]) -> Iterator[dict[str, Any]]:
    for task in dict.fromkeys(entry.task for entry in entries.values()):
        mine = {name: entry for name, entry in entries.items() if entry.task == task}
        if len(mine) > 1:
            yield from _place(results, list(mine), Entry(task, EVERYWHERE, None))
        for name, entry in mine.items():
            yield from _place(results, [name], entry)


def _place(results: Results, names: list[str], entry: Entry) -> Iterator[dict[str, Any]]:
    """Rows of one task on one data set entry, or on several."""
    runs = results.summary[results.summary["dataset"].isin(names)]
    means = results.aggregate[results.aggregate["dataset"].isin(names)]
    cells = sorted(set(zip(runs["prune_ratio"], runs["pruner"], strict=True)))
    changes = {other: _changes(runs, cells, other) for other in OTHERS}
    for cell in cells:
        ratio, pruner = cell
        here = means[(means["pruner"] == pruner) & (means["prune_ratio"] == ratio)]
        alone = len(names) == 1
        row = {
            **entry._asdict(),
            "ratio": format_ratio(ratio),
            "pruner": pruner,
            "mae": float(here["test_mae"].mean()) if alone else math.nan,
            "mae_sd": float(here["test_mae_sd"].mean()) if alone else math.nan,
            "time": float(here["epoch_percent"].mean()),
        }
        for other in OTHERS:
            row |= {f"{other}_{key}": value for key, value in changes[other][cell].items()}
        yield row


def _changes(
    runs: pd.DataFrame, cells: list[tuple[float, str]], other: str
) -> dict[tuple[float, str], dict[str, Any]]:
    """Of each prune ratio and pruner, the differences from ``other``; one family of tests."""
    found = [change_from(runs, cell, other) for cell in cells]
    corrected = holm([numbers.p for numbers in found])
    return {
        cell: {
            **numbers._asdict(),
            "holm_p": holm_p,
            "delta": spelled_change(numbers.change, holm_p),
        }
        for cell, numbers, holm_p in zip(cells, found, corrected, strict=True)
    }
