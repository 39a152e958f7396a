"""Paired comparisons as a table: what the tables against the controls and a method share."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from paper_figures.rows import experiment_table
from stprune.paper.tables import TIMING, Column, Table
from stprune.records.store import REFERENCE
from stprune.results.labels import label
from stprune.results.summary import Results, least_trusted
from stprune.statistics import paired
from stprune.statistics.paired import CONTROLS, LEVEL, ROW, differences_from

CAPTION = (
    "Differences in test MAE, 100 (pruner / the other - 1) in %, of the pairs of runs with the same"
    " budget, data set, backbone, prune ratio and seed; below 0 the pruner is better. Δ: their"
    " mean; 95 %: its percentile bootstrap interval over the pairs. p: paired t test over the"
    " pairs, by Holm's correction over the pruners against the same one (and prune ratios, in the"
    " rows of single ratios; budgets apart). p, data sets: of the means of three data sets or more,"
    " not corrected; pairs of one data set depend on each other, so only this test speaks for other"
    " data sets. Ahead: data sets whose mean difference is below 0. Verdict: win or lose only where"
    " the corrected p is below 0.05, else tie. A dash: no pair, or too few to test."
)
SIGNIFICANT = "‡"
OTHERS = (REFERENCE, *CONTROLS)


def has_pairs(results: Results) -> bool:
    """Whether a run can be compared with a control of the same cell and seed."""
    return any(not differences_from(results.summary, control).empty for control in CONTROLS)


def interval_text(prefix: str = "") -> str:
    """Format of a cell with both ends of an interval in percent, such as ``[-1.20, +0.40]``."""
    return f"[{{{prefix}low:+.2f}}, {{{prefix}high:+.2f}}]"


def pruned_rows(summary: pd.DataFrame) -> pd.DataFrame:
    """Budget, prune ratio and pruner of all pruned runs, also of those without any pair."""
    pruned = summary.loc[summary["pruner"] != REFERENCE, ROW].drop_duplicates()
    return pruned.sort_values(ROW, ignore_index=True).astype({"prune_ratio": "float64"})


def paired_table(results: Results, others: Sequence[str], title: str) -> Table:
    """Every pruner against each of ``others``, run by run, over all data sets.

    One row per budget, pruner and prune ratio, and one over all its ratios (``prune_ratio`` NaN,
    shown as ``all``).
    """
    single = pruned_rows(results.summary)
    overall = single.assign(prune_ratio=math.nan).drop_duplicates()
    order = ["budget", "pruner", "prune_ratio"]
    rows = pd.concat([overall, single]).sort_values(order, na_position="first")
    frame = rows[order].reset_index(drop=True)
    compared = paired.compare_all(results.summary, others)
    for other in others:
        part = compared[compared["control"] == other].drop(columns="control")
        named = part.set_index(ROW).add_prefix(f"{other}_").reset_index()
        frame = frame.merge(named, how="left", on=ROW, validate="one_to_one")
    columns = [Column("pruner", "Pruner", named=True)]
    columns.append(Column("prune_ratio", "Prune ratio", missing="all"))
    for other in others:
        over = f"Against {label(other)}"
        ahead = f"{{{other}_ahead:.0f}} of {{{other}_datasets:.0f}}"
        columns += [
            Column(f"{other}_mean", "Δ (%)", 2, signed=True, over=over),
            Column(f"{other}_low", "95 %", over=over, text=interval_text(f"{other}_")),
            Column(f"{other}_holm_p", "p", 3, over=over),
            Column(f"{other}_datasets_p", "p, data sets", 3, over=over),
            Column(f"{other}_ahead", "Ahead", over=over, text=ahead),
            Column(f"{other}_verdict", "Verdict", over=over),
        ]
    return experiment_table(results, title, CAPTION, frame, tuple(columns), ("pruner",))


# What is shown of `compared_groups`.
GROUP_COLUMNS = (
    Column("prune_ratio", "Prune ratio"),
    Column("pruner", "Pruner", named=True),
    Column("test_mae", "MAE", 2, "test_mae_sd", ranked=True),
    *(
        Column(f"{o}_change", label(o), 1, signed=True, over="Δ (%) from", marks=f"{o}_mark")
        for o in OTHERS
    ),
    Column("epoch_percent", "Time (%)", 0, marks=TIMING),
)
GROUP_CAPTION = (
    "MAE: test MAE, mean ± standard deviation over the seeds; bold: lowest mean of its group and"
    " prune ratio, full training aside; underlined: second. Δ: 100 (pruner / the other - 1) in %,"
    " mean over the pairs of runs of the same data set, backbone, prune ratio and seed; below 0"
    f" the pruner is better. {SIGNIFICANT}: p below 0.05 in a paired t test over those pairs,"
    " corrected by Holm's method for all pruners and prune ratios that the group compares with the"
    " same other; pairs of one data set depend on each other, so it does not speak for other data"
    " sets. Time: per-epoch time in % of full training's, scoring and selection included; on all"
    " data sets, the mean of theirs. A dash: not run, or nothing to compare with."
)


def compared_groups(
    results: Results, groups: Iterable[tuple[Mapping[str, Any], Mapping[str, Sequence[str]]]]
) -> pd.DataFrame:
    """Every pruner and prune ratio in each group of data sets or backbones, against ``OTHERS``.

    Of each group are given the columns that name it, and the names that it holds, by column.
    ``test_mae`` and its deviation are NaN over several places; see `_changes` for the tests.
    """
    parts = []
    pairs = {other: differences_from(results.summary, other) for other in OTHERS}
    for named, chosen in groups:
        cells = _of_group(results.aggregate, chosen).groupby(["prune_ratio", "pruner"])
        table = cells[["test_mae", "test_mae_sd"]].mean()
        table["epoch_percent"] = cells["epoch_percent"].mean(skipna=False)
        table[TIMING] = cells[TIMING].agg(least_trusted)
        errors = ["test_mae", "test_mae_sd"]
        table[errors] = table[errors].where(cells.size() == 1)
        for other in OTHERS:
            changes = _changes(_of_group(pairs[other], chosen))
            table = table.join(changes.add_prefix(f"{other}_"))
        parts.append(table.reset_index().assign(**named))
    return pd.concat(parts, ignore_index=True)


def _of_group(frame: pd.DataFrame, chosen: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    return frame[frame[list(chosen)].isin(chosen).all(axis="columns")]


def _changes(differences: pd.DataFrame) -> pd.DataFrame:
    """Mean differences by prune ratio and pruner; one family of tests."""
    cells = differences.groupby(["prune_ratio", "pruner"])["difference"]
    p = cells.agg(lambda values: paired.t_test(values.to_numpy())).astype("float64")
    table = pd.DataFrame({"change": cells.mean(), "p": p, "pairs": cells.size()})
    corrected = paired.holm(p)
    mark = pd.Series(SIGNIFICANT, p.index, "object").where(corrected < LEVEL, None)
    return table.assign(holm_p=corrected, mark=mark)
