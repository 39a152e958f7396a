"""What the experiment as a whole supports: every pruner against full training and the controls."""

from __future__ import annotations

import math

import pandas as pd

from paper_figures.pairing import spelled_interval
from paper_figures.rows import absent, by_budget
from stprune.base.layout import format_ratio
from stprune.paper.tables import Column, Table, format_number
from stprune.results.labels import label
from stprune.results.summary import REFERENCE, Results
from stprune.statistics.paired import (
    CONTROLS,
    LEAST_PAIRS,
    MARGIN,
    ROW,
    TOO_FEW,
    WINS,
    compare_with_full,
    count_wins,
)
from stprune.statistics.ranks import rankings

TITLE = "Tests over all data sets and backbones"
OTHERS = (REFERENCE, *CONTROLS)

CAPTION = (
    "Over the n pairs of runs with the same data set, backbone and seed. Δ: mean ± standard"
    " deviation of 100 (pruner / full - 1) of the test MAE in %; below 0 the pruner is better."
    " 95 %: percentile bootstrap interval of the mean. t: p of the paired t test; Wilcoxon: p of"
    " the signed-rank test; both corrected by Holm's method over all pruners and prune ratios"
    " (budgets apart). p, data sets: paired t test over the means of the data sets, not"
    " corrected, where there are three or more: pairs of one data set depend on each other, so"
    " only this test speaks for other data sets. Verdict, by the corrected t test: win or lose"
    f" where p is below 0.05, else tie; too few, fewer than {LEAST_PAIRS} pairs."
    f" Wins/ties/losses: pairs in which the pruner's MAE is lower, within {MARGIN:g} %, or"
    " higher. Rank: mean over data sets with backbones (seeds averaged) of the rank among the"
    " pruners at this prune ratio and full training, 1 is the lowest MAE; Friedman: p that all"
    " rank alike, see the figure of critical differences. A p of 0.000 is below 0.0005. A dash:"
    " not run, or too few to test."
)

FULL, COUNTS = "Against full training", "Wins/ties/losses against"
COLUMNS = (
    Column("ratio", "Prune ratio"),
    Column("pruner", "Pruner", named=True),
    Column("cells", "n", 0, over=FULL),
    Column("mean", "Δ (%)", 2, "sd", signed=True, over=FULL),
    Column("interval", "95 %", over=FULL),
    Column("holm_p", "t", 3, over=FULL),
    Column("wilcoxon_holm_p", "Wilcoxon", 3, over=FULL),
    Column("datasets_p", "p, data sets", 3, over=FULL),
    Column("verdict", "Verdict", over=FULL),
    *(Column(f"{other}_tally", label(other), over=COUNTS) for other in OTHERS),
    Column("rank", "Mean", over="Rank"),
    Column("friedman_p", "Friedman", 3, over="Rank"),
)


def build(results: Results) -> Table:
    """The table of tests over the whole experiment.

    Returns:
        One row per budget, prune ratio and pruner. The frame also holds `Comparison`'s other
        fields, and the counts of wins, ties and losses against each control.
    """
    frame = _rows(results.summary)
    frame = frame.merge(compare_with_full(results.summary), how="left", on=ROW)
    frame["cells"] = frame["cells"].fillna(0)
    frame["verdict"] = frame["verdict"].astype("object").where(frame["verdict"].notna(), TOO_FEW)
    for other in OTHERS:
        counts = count_wins(results.summary, other).rename(columns=_named(other))
        frame = frame.merge(counts.astype({"prune_ratio": "float64"}), how="left", on=ROW)
        frame[f"{other}_tally"] = _spelled(frame[list(_named(other).values())])
    frame = _with_ranks(frame, results.summary)
    notes = absent(results, REFERENCE)
    ends = frame[["low", "high"]].to_numpy()
    return Table(
        title=TITLE,
        caption=" ".join([CAPTION, *notes]),
        frame=frame.assign(
            ratio=pd.Series([format_ratio(r) for r in frame["prune_ratio"]], dtype="object"),
            interval=pd.Series([spelled_interval(*pair) for pair in ends], dtype="object"),
        ),
        columns=by_budget(COLUMNS, frame),
        group=("budget", "prune_ratio"),
    )


def _rows(summary: pd.DataFrame) -> pd.DataFrame:
    pruned = summary.loc[summary["pruner"] != REFERENCE, ROW].drop_duplicates()
    return pruned.sort_values(ROW, ignore_index=True).astype({"prune_ratio": "float64"})


def _named(other: str) -> dict[str, str]:
    return {count: f"{other}_{count}" for count in WINS}


def _spelled(counts: pd.DataFrame) -> pd.Series[str]:
    """Such as ``12/3/9``; nothing where there is no pair."""
    words = [
        None if any(pd.isna(row)) else "/".join(f"{count:.0f}" for count in row)
        for row in counts.astype("float64").to_numpy()
    ]
    return pd.Series(words, counts.index, dtype="object")


def _with_ranks(frame: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Add ``rank`` in words, as a mean over how many places, and ``friedman_p``."""
    found = rankings(summary)
    words: list[str | None] = []
    numbers: list[tuple[float, float]] = []
    for budget, ratio, pruner in frame[ROW].itertuples(index=False, name=None):
        ranking = found.get((budget, ratio))
        if ranking is None or pruner not in ranking.mean_ranks:
            words.append(None)
            numbers.append((math.nan, math.nan))
            continue
        mean = float(ranking.mean_ranks[pruner])
        words.append(f"{format_number(mean, 2)} of {len(ranking.mean_ranks)}")
        numbers.append((mean, ranking.p))
    return frame.assign(
        rank=pd.Series(words, dtype="object"),
        mean_rank=pd.Series([mean for mean, _ in numbers], dtype="float64"),
        friedman_p=pd.Series([p for _, p in numbers], dtype="float64"),
    )
