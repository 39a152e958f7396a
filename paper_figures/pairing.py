"""Paired comparisons as a table: what the tables against the controls and a method share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from paper_figures.rows import by_budget
from stprune.base.layout import format_ratio
from stprune.paper.tables import Column, Table, format_number
from stprune.results.labels import label
from stprune.results.summary import REFERENCE, Results
from stprune.statistics.paired import CONTROLS, LEVEL, compare, compare_all, relative_differences

CAPTION = (
    "Differences in test MAE, 100 (pruner / the other - 1) in %, of the pairs of runs with the same"
    " budget, data set, backbone, prune ratio and seed; below 0 the pruner is better. Δ: their"
    " mean; 95 %: its percentile bootstrap interval over the pairs. p: paired t test over the"
    " pairs, corrected by Holm's method for the number of pruners against the same one (and of"
    " prune ratios, in the rows of single ratios; budgets apart). p, data sets: paired t test over"
    " the means of the data sets, not corrected, where there are three or more: the pairs of one"
    " data set depend on each other, so only this test speaks for other data sets. Ahead: data"
    " sets whose mean difference is below 0. Verdict: win or lose only where the corrected p is"
    " below 0.05, else tie. A p of 0.000 is below 0.0005. A dash: no pair, or too few to test."
)

KEYS = ["budget", "pruner", "prune_ratio"]
SIGNIFICANT = "‡"


def has_pairs(results: Results) -> bool:
    """Whether a run can be compared with a control of the same cell and seed."""
    summary = results.summary
    return any(
        not relative_differences(summary, pruner, control).empty
        for control in CONTROLS
        for pruner in sorted(set(summary["pruner"]) - {REFERENCE, control})
    )


def paired_table(
    results: Results, others: Sequence[str], title: str, notes: Sequence[str]
) -> Table:
    """Every pruner against each of ``others``, run by run, over all data sets.

    Args:
        results: The experiment.
        others: Pruners to compare with; one that was not run has dashes.
        title: Of the table.
        notes: Sentences to add to the caption.

    Returns:
        One row per pruner and prune ratio, and one over all its ratios (``prune_ratio`` NaN, shown
        as ``all``); by budget, where the experiment has several. The frame also holds the number
        of pairs, the ends of the interval, and p values that are not shown, among them Wilcoxon's.
    """
    frame = _rows(results.summary)
    compared = compare_all(results.summary, others)
    for other in others:
        part = compared[compared["control"] == other].drop(columns="control")
        part["interval"] = [spelled_interval(*ends) for ends in part[["low", "high"]].to_numpy()]
        part["ahead_of"] = [f"{a} of {n}" for a, n in part[["ahead", "datasets"]].to_numpy()]
        named = part.set_index(KEYS).add_prefix(f"{other}_").reset_index()
        frame = frame.merge(named, how="left", on=KEYS, validate="one_to_one")
    ratios = ["all" if math.isnan(ratio) else format_ratio(ratio) for ratio in frame["prune_ratio"]]
    return Table(
        title=title,
        caption=" ".join([CAPTION, *notes]),
        frame=frame.assign(ratio=ratios),
        columns=by_budget(_columns(others), frame),
        group=("budget", "pruner"),
    )


def _rows(summary: pd.DataFrame) -> pd.DataFrame:
    """What was run of each pruner, all ratios first; also what has nothing to be paired with."""
    pruned = summary.loc[summary["pruner"] != REFERENCE, KEYS].drop_duplicates()
    overall = pruned.assign(prune_ratio=math.nan).drop_duplicates()
    rows = pd.concat([overall, pruned]).astype({"prune_ratio": "float64"})
    return rows.sort_values(KEYS, na_position="first", ignore_index=True)


def _columns(others: Sequence[str]) -> tuple[Column, ...]:
    shown = [Column("pruner", "Pruner", named=True), Column("ratio", "Prune ratio")]
    for other in others:
        over = f"Against {label(other)}"
        shown += [
            Column(f"{other}_mean", "Δ (%)", 2, signed=True, over=over),
            Column(f"{other}_interval", "95 %", over=over),
            Column(f"{other}_holm_p", "p", 3, over=over),
            Column(f"{other}_datasets_p", "p, data sets", 3, over=over),
            Column(f"{other}_ahead_of", "Ahead", over=over),
            Column(f"{other}_verdict", "Verdict", over=over),
        ]
    return tuple(shown)


class Change(NamedTuple):
    """Mean difference of pairs of runs in %, p of their paired t test, and how many they are."""

    change: float
    p: float
    pairs: int


def change_from(runs: pd.DataFrame, cell: tuple[float, str], other: str) -> Change:
    """Compare a prune ratio and pruner with another pruner, or with full training, run by run."""
    ratio, pruner = cell
    at_ratio = runs["prune_ratio"] == ratio
    theirs = runs[runs["pruner"] == other]
    # Full training has no prune ratio of its own: it is the partner at each.
    theirs = theirs.assign(prune_ratio=ratio) if other == REFERENCE else theirs
    pairs = pd.concat([runs[at_ratio & (runs["pruner"] == pruner)], theirs])
    if pruner in (other, REFERENCE):
        return Change(math.nan, math.nan, 0)
    differences = relative_differences(pairs, pruner, other)
    if differences.empty:
        return Change(math.nan, math.nan, 0)
    compared = compare(differences)
    return Change(compared.mean, compared.t_p, len(differences))


def spelled_change(change: float, holm_p: float) -> str | None:
    """Such as ``-1.2`` with ``SIGNIFICANT`` behind it where p is low enough; None if unknown."""
    if math.isnan(change):
        return None
    return f"{format_number(change, 1, True)}{SIGNIFICANT if holm_p < LEVEL else ''}"


def spelled_interval(low: float, high: float) -> str | None:
    """Both ends in percent with their signs, such as ``[-1.20, +0.40]``; None where unknown."""
    if math.isnan(low):
        return None
    return f"[{format_number(low, 2, True)}, {format_number(high, 2, True)}]"
