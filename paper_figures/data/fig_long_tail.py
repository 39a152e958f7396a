"""Is stationarity long-tailed? How much more than the median some windows move."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from paper_figures.data.strokes import add_legend, curves, marks, names, panels
from stprune.describe.description import Description
from stprune.describe.figures import MEASURES, dress
from stprune.paper.figures import Drawing

TITLE = "Long tail of stationarity"

# Of what decays as an exponential: the top tenth's share of the sum, 0.1 (1 - ln 0.1).
EXPONENTIAL_SHARE = 100 * 0.1 * (1 - np.log(0.1))
GREY = "#8a8a8a"


def build(described: Sequence[Description]) -> Drawing:
    """Above: means over nodes, as the pruner takes them; below: single nodes."""
    figure, axes = panels(2)
    for table, where, row in (("stationarity", "windows", 0), ("node_stationarity", "nodes", 3)):
        _survival(axes[row], described, table, "first_difference")
        _survival(axes[row + 1], described, table, "window_std")
        _top_tenth(axes[row + 2], described, f"{table}_tail")
        for panel, title in enumerate(("Difference", "Deviation", "Top tenth"), row):
            axes[panel].set_title(f"({'abcdef'[panel]}) {title}, {where}")
    add_legend(figure, described)
    caption = (
        "Stationarity of training windows by first difference, standard deviation and spectral"
        " flatness: large means that a window moves. (a, b, d, e) Share of"
        " windows that move at least so many times the median; grey, what an exponential"
        " distribution would have: a tail is long if it lies above. (c, f) Share of all movement"
        " that the most moving tenth holds, by measure; 10 % if all moved alike, 33 % (grey) of an"
        " exponential. Above: means over nodes, which are what windows are chosen by. Below:"
        " windows at single nodes (at most 32), before a mean over nodes evens them out."
    )
    return Drawing(figure, caption, _alt(described))


def _survival(axes: Axes, described: Sequence[Description], name: str, measure: str) -> None:
    def points(one: Description) -> tuple[pd.Series, pd.Series] | None:
        part = one.tables[name][one.tables[name]["measure"] == measure]
        median = part.loc[part["percentile"] == 50, "value"]
        if median.empty or median.iloc[0] <= 0:
            return None
        shown = part[part["percentile"] < 100]
        return shown["value"] / median.iloc[0], 100 - shown["percentile"]

    curves(axes, described, points)
    times = np.linspace(0, 10, 50)
    axes.plot(times, 100 * 0.5**times, color=GREY, linewidth=0.9, zorder=1)
    lowest, most = (0.1, 10) if name.startswith("node") else (1.0, 6)
    dress(axes, "y", yscale="log", ylim=(lowest, 110), xlim=(0, most))
    axes.set(xlabel="Times the median", ylabel="Windows at least")


def _top_tenth(axes: Axes, described: Sequence[Description], name: str) -> None:
    def values(one: Description) -> pd.Series:
        table = one.tables[name].set_index("measure")
        return 100 * table["share_of_top_tenth"].reindex(list(MEASURES))

    marks(axes, described, list(MEASURES.values()), values)
    axes.axhline(10, color=GREY, linewidth=0.9, linestyle=":")
    axes.axhline(EXPONENTIAL_SHARE, color=GREY, linewidth=0.9)
    dress(axes, "y", ylabel="Of all movement", xlabel="Measure", ylim=(0, None))


def _alt(described: Sequence[Description]) -> str:
    said = []
    for one in described:
        share = _share(one.tables["stationarity_tail"])
        node = _share(one.tables["node_stationarity_tail"])
        said.append(f"{one.title} {share} of windows and {node} of windows at single nodes")
    return (
        f"Six panels on how unevenly windows of {names(described)} move. The top tenth by first"
        f" difference holds of all movement: {'; '.join(said)}."
    )


def _share(tail: pd.DataFrame) -> str:
    part = tail.loc[tail["measure"] == "first_difference", "share_of_top_tenth"].dropna()
    return f"{100 * part.iloc[0]:.0f} %" if len(part) else "not known"
