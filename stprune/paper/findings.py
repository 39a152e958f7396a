"""What an experiment says, in a few sentences with the test that each rests on.

Tests are read from the frames of the tables on the same page, so the two cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from stprune.base.layout import format_ratio
from stprune.paper.content import METHOD, labels
from stprune.paper.tables import Table, format_number
from stprune.records.store import REFERENCE
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import CONTROLS, EVERY_PLACE, LEVEL, MARGIN, TOO_FEW

VERDICTS = {
    "win": "is better than",
    "lose": "is worse than",
    "tie": "cannot be told apart from",
    TOO_FEW: "was run too seldom to be tested against",
}
# How far a measured per-epoch time may lie from the expected one.
TOLERANCE = 0.10


class Finding(NamedTuple):
    """A finding and what it rests on."""

    sentence: str
    basis: str = ""


def findings(results: Results, tables: Mapping[str, Table]) -> dict[str, list[Finding]]:
    """The findings of an experiment by budget, the most important first.

    Of each budget: the method against both controls, who is better than both, what may be called
    lossless, and whether the measured times are those that the kept share explains. Of ``tables``
    the frames of ``pairs`` and ``equivalence`` are read.
    """
    pairs, equivalence = tables["pairs"].frame, tables["equivalence"].frame
    overall = pairs[pairs["prune_ratio"].isna()]
    return {
        str(budget): [
            *(_against(part, control) for control in CONTROLS),
            _both_controls(part),
            _lossless(equivalence[equivalence["budget"] == budget]),
            _times(results.aggregate[results.aggregate["budget"] == budget]),
        ]
        for budget, part in overall.groupby("budget")
    }


def _against(overall: pd.DataFrame, control: str) -> Finding:
    name, other = label(METHOD), label(control)
    rows = overall[(overall["pruner"] == METHOD) & overall[f"{control}_mean"].notna()]
    if rows.empty:
        return Finding(f"{name} and {other} have no run in common, so no test was made.")
    row = rows.iloc[0].rename(lambda key: key.removeprefix(f"{control}_"))
    ends = ""
    if not pd.isna(row["low"]):
        low, high = (format_number(row[end], 2, True) for end in ("low", "high"))
        ends = f", 95 % interval {low} to {high}"
    difference = f"{format_number(row['mean'], 2, True)} % of the test MAE{ends}"
    verdict = TOO_FEW if pd.isna(row["holm_p"]) else row["verdict"]
    return Finding(
        f"{name} {VERDICTS[verdict]} {other}: difference {difference}.",
        f"Paired t test over {row['cells']:.0f} pairs of runs, all prune ratios, corrected by"
        f" Holm's method: {p_in_words(row['holm_p'])}; over the means of the data sets"
        f" ({row['datasets']:.0f}): {p_in_words(row['datasets_p'])}.",
    )


def _both_controls(overall: pd.DataFrame) -> Finding:
    """Who wins against both controls, the first thing a method has to do."""
    lacking = [name for name in CONTROLS if not overall[f"{name}_mean"].notna().any()]
    if lacking:
        sentence = f"Nothing can be better than both controls: {labels(lacking)} was not run."
        return Finding(sentence)
    rivals = overall[~overall["pruner"].isin(CONTROLS)]
    wins = rivals[[f"{control}_verdict" for control in CONTROLS]] == "win"
    won = labels(rivals.loc[wins.all(axis="columns"), "pruner"]) or "none"
    return Finding(
        f"Better than both controls, of {len(rivals)} pruners: {won}.",
        f"Paired t tests at {LEVEL:g}, corrected by Holm's method for each control.",
    )


def _lossless(equivalence: pd.DataFrame) -> Finding:
    if equivalence.empty:
        return Finding("Full training was not run, so nothing can be called lossless.")
    rows = equivalence[equivalence["dataset"] == EVERY_PLACE]
    count = f"{rows['count'].max():.0f}"
    if (rows["verdict"] == TOO_FEW).all():
        return Finding(f"Nothing can be called lossless in general: too few data sets ({count}).")
    words = []
    for verdict in ("lossless", "not worse", "worse"):
        parts = [
            f"{label(str(pruner))} at {', '.join(map(format_ratio, some['prune_ratio']))}"
            for pruner, some in rows[rows["verdict"] == verdict].groupby("pruner")
        ]
        words.append(f"{verdict}: {', '.join(parts) or 'none'}")
    return Finding(
        f"Over {count} data sets, against full training: {'; '.join(words)}.",
        f"Two one-sided t tests (TOST), margin {MARGIN:g} % of full training's test MAE, over the"
        " means of the data sets, corrected by Holm's method; the others are open.",
    )


def _times(aggregate: pd.DataFrame) -> Finding:
    """How many per-epoch times are explained by the kept share and the overhead."""
    ratios = aggregate.loc[aggregate["pruner"] != REFERENCE, "epoch_time_ratio"].dropna()
    if ratios.empty:
        return Finding("Without full training no time is expected.")
    close = int(((ratios - 1).abs() <= TOLERANCE).sum())
    return Finding(
        f"{close} of {len(ratios)} mean per-epoch times are within {100 * TOLERANCE:.0f} % of the"
        " kept share of full training's time plus the pruner's own overhead."
    )


def p_in_words(p: float) -> str:
    """Such as ``p = 0.214`` or ``p < 0.001``."""
    if math.isnan(p):
        return "too few for a p"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
