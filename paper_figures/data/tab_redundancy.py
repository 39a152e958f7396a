"""How much the data repeat themselves, in numbers: the table behind the figures of redundancy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from stprune.describe.description import Description
from stprune.paper.tables import Column, Table

TITLE = "Redundancy and stationarity"

CORRELATIONS = {
    "neighbours": ("nodes", "joined by an edge"),
    "days": ("days", "all pairs"),
    "next_window": ("windows", "a window apart"),
    "next_day": ("windows", "a day apart"),
    "next_week": ("windows", "a week apart"),
}

RANKED = ("node", "day", "window")
COLUMNS = (
    Column("title", "Data set"),
    *(
        Column(name, name.removeprefix("next_").title(), 2, over="Median correlation")
        for name in CORRELATIONS
    ),
    *(Column(f"{of}_rank", f"{of.title()}s", 0, over="Effective rank (%)") for of in RANKED),
    Column("components", "90 % in", 0),
    Column("top_tenth", "Windows", 0, over="Top tenth (%)"),
    Column("top_tenth_nodes", "Nodes", 0, over="Top tenth (%)"),
    Column("p99", "Windows", 1, over="99 % / median"),
    Column("p99_nodes", "Nodes", 1, over="99 % / median"),
)


def build(described: Sequence[Description]) -> Table:
    """One row a data set."""
    frame = pd.DataFrame([_row(one) for one in described])
    caption = (
        "Median correlation of nodes that the graph joins, of whole days, and of a training window"
        " with that which begins a window, a day or a week later; values standardised by node."
        " Effective rank in % of the largest possible; 90 % in: components that hold nine tenths of"
        " the windows' variance. Stationarity by first difference, of windows and of windows at"
        " single nodes: share of all movement in the top tenth (10 if all move alike, 33 for an"
        " exponential), 99th percentile over median (6.6 for an exponential). A dash: not defined."
    )
    return Table(TITLE, caption, frame, COLUMNS)


def _row(one: Description) -> dict[str, Any]:
    similarity = one.tables["similarity"]
    middle = similarity[similarity["percentile"] == 50].set_index(["of", "pairs"])["correlation"]
    rank = one.tables["effective_rank"].set_index("of")
    share = 100 * rank["effective_rank"] / rank["largest_possible"]
    windows, nodes = (
        one.tables[name].set_index("measure").reindex(["first_difference"]).iloc[0]
        for name in ("stationarity_tail", "node_stationarity_tail")
    )
    return {
        "dataset": one.facts["dataset"],
        "title": one.title,
        **dict(zip(CORRELATIONS, middle.reindex(list(CORRELATIONS.values())), strict=True)),
        **{f"{of}_rank": float(share[f"{of}s"]) for of in RANKED},
        "components": float(rank["components_for_90_percent"]["windows"]),
        "top_tenth": 100 * float(windows["share_of_top_tenth"]),
        "top_tenth_nodes": 100 * float(nodes["share_of_top_tenth"]),
        "p99": float(windows["p99_over_median"]),
        "p99_nodes": float(nodes["p99_over_median"]),
    }
