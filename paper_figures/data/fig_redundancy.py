"""How much the data repeat themselves: nodes, days and windows alike, and how few would do."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from paper_figures.data.strokes import add_legend, curves, marks, names, panels
from stprune.describe.description import Description
from stprune.describe.figures import GREY, dress
from stprune.paper.figures import Drawing

TITLE = "Redundancy of the data"

KINDS = ("nodes", "days", "windows")
APART = {
    "one step apart": "step",
    "a window apart": "window",
    "a day apart": "day",
    "a week apart": "week",
    "all pairs": "any",
}


def build(described: Sequence[Description]) -> Drawing:
    """Above: how alike nodes, days and windows are; below: components, rank, overlap."""
    figure, axes = panels(2)
    _similarity(axes[0], described, "nodes", "joined by an edge", "(a) Neighbours alike")
    _similarity(axes[1], described, "days", "all pairs", "(b) Days alike")
    _apart(axes[2], described)
    _components(axes[3], described)
    _ranks(axes[4], described)
    curves(axes[5], described, _overlap)
    dress(axes[5], "y", title="(f) Overlap of windows", ylabel="Steps shared", ylim=(0, 100))
    axes[5].set_xlabel("Every k-th window is kept, k")
    add_legend(figure, described)
    options = [one.facts["options"] for one in described]
    lengths = sorted({option["history"] + option["horizon"] for option in options})
    looked = "; ".join(
        f"{one.title}: {one.facts['looked_at']['nodes']} nodes,"
        f" {one.facts['looked_at']['days']} days, {one.facts['looked_at']['windows']} windows"
        for one in described
    )
    ranks = [(one.title, one.tables["effective_rank"].set_index("of")) for one in described]
    said = "; ".join(
        f"{title}, effective rank of windows {rank['effective_rank']['windows']:.3g}"
        f" of {rank['largest_possible']['windows']:g}"
        for title, rank in ranks
    )
    caption = (
        "(a, b) Share of pairs whose correlation is at most that on the horizontal axis: of nodes"
        " that the graph joins, and of whole days. (c) Median correlation of a window"
        f" ({' or '.join(map(str, lengths))} steps) with that which begins so much later, and of"
        " any two."
        " (d) Variance of a sample of training windows that the largest components hold."
        " (e) Effective rank in % of the largest possible, the number of rows or columns compared,"
        " whichever is smaller; not comparable where that number differs."
        " (f) Share of a window's steps that the next one kept has too."
        f" Compared were {looked}."
    )
    alt = (
        f"Six panels that compare the redundancy of {names(described)}. {said}."
        " The numbers are in the table of redundancy."
    )
    return Drawing(figure, caption, alt)


def _similarity(
    axes: Axes, described: Sequence[Description], of: str, pairs: str, title: str
) -> None:
    def points(one: Description) -> tuple[pd.Series, pd.Series]:
        table = one.tables["similarity"]
        part = table[(table["of"] == of) & (table["pairs"] == pairs) & (table["count"] > 0)]
        return part["correlation"], part["percentile"]

    curves(axes, described, points)
    labels = {"title": title, "xlabel": "Correlation", "ylabel": "Pairs at most so alike"}
    dress(axes, "y", **labels, xlim=(-0.5, 1), ylim=(0, 100))


def _apart(axes: Axes, described: Sequence[Description]) -> None:
    def values(one: Description) -> pd.Series:
        table = one.tables["similarity"]
        middle = table[(table["of"] == "windows") & (table["percentile"] == 50)]
        return middle.set_index("pairs")["correlation"].reindex(list(APART))

    marks(axes, described, list(APART.values()), values)
    axes.axhline(0, color=GREY, linewidth=0.7)
    axes.set(title="(c) Windows alike", ylabel="Median correlation", ylim=(-0.25, 1.03))
    axes.set_xlabel("Begin so much later")


def _components(axes: Axes, described: Sequence[Description]) -> None:
    def points(one: Description) -> tuple[pd.Series, pd.Series]:
        part = one.tables["spectrum"][one.tables["spectrum"]["of"] == "windows"]
        return part["component"], 100 * part["variance_share"]

    curves(axes, described, points)
    labels = {"title": "(d) Components of windows", "xlabel": "Components"}
    dress(axes, "y", **labels, ylabel="Variance held", xscale="log", ylim=(0, 102))
    axes.xaxis.set_major_formatter("{x:g}")


def _ranks(axes: Axes, described: Sequence[Description]) -> None:
    def values(one: Description) -> pd.Series:
        table = one.tables["effective_rank"].set_index("of").reindex(list(KINDS))
        return 100 * table["effective_rank"] / table["largest_possible"]

    marks(axes, described, KINDS, values)
    labels = {"title": "(e) Effective rank", "ylabel": "Of the largest possible"}
    dress(axes, "y", **labels, ylim=(0, 103), xlabel="Rows compared")


def _overlap(one: Description) -> tuple[pd.Series, pd.Series]:
    return one.tables["overlap"]["stride"], 100 * one.tables["overlap"]["overlap"]
