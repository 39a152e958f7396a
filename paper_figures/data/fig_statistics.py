"""What the values are like: the day, the week, the memory, the nodes, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from paper_figures.data.strokes import PERCENT, add_legend, curves, names, panels, strokes
from stprune.describe.description import Description
from stprune.paper.figures import Drawing

TITLE = "Statistical properties of the data"

HOURS = 24


def build(described: Sequence[Description]) -> Drawing:
    """Above: the day and its spread; below: autocorrelation, nodes, missing values.

    Args:
        described: The data sets; values in % of the mean of all nodes, or without a unit.
    """
    figure, axes = panels(2)
    _by_hour(axes[0], described, "weekdays", "mean")
    axes[0].set(title="(a) Weekdays", ylabel="Mean of the nodes")
    _by_hour(axes[1], described, "weekend", "mean")
    axes[1].set(title="(b) Saturday and Sunday", ylabel="Mean of the nodes")
    _by_hour(axes[2], described, "weekdays", "std_over_days")
    axes[2].set(title="(c) Spread over days", ylabel="Standard deviation")
    _memory(axes[3], described)
    axes[3].set_title("(d) Memory")
    _nodes(axes[4], described)
    axes[4].set_title("(e) Nodes")
    _missing(axes[5], described)
    axes[5].set_title("(f) Missing by node")
    add_legend(figure, described)
    caption = (
        "(a, b) Mean of the nodes by time of day, in % of their mean over all values. (c) Standard"
        " deviation from day to day at the same time of day, weekdays, on the same scale."
        " (d) Autocorrelation, median of the nodes. (e) Mean and standard deviation of each node,"
        " in % of the mean of all. (f) Missing values by node, worst first; a data set without a"
        " line misses none, whether because its publishers filled the gaps or because it is"
        " simulated."
    )
    memory = []
    for one in described:
        numbers = one.facts["key_numbers"]
        known = [
            (words, numbers[f"autocorrelation after {words}"]) for words in ("a day", "a week")
        ]
        said = [f"{value:.2f} after {words}" for words, value in known if value is not None]
        memory.append(f"{one.title} {' and '.join(said) or 'not known'}")
    alt = (
        f"Six panels on the values of {names(described)}. Mean autocorrelation:"
        f" {'; '.join(memory)}."
    )
    return Drawing(figure, caption, alt)


def _mean(one: Description) -> float:
    """Mean of all nodes; 1 where it is 0 and nothing could be seen from it."""
    mean = float(one.tables["by_node"]["mean"].mean())
    return abs(mean) or 1.0


def _by_hour(axes: Axes, described: Sequence[Description], days: str, column: str) -> None:
    def points(one: Description) -> tuple[pd.Series, pd.Series]:
        table = one.tables["by_slot"]
        part = table[(table["days"] == days) & (table["observed"] > 0)]
        return part["hour"], 100 * part[column] / _mean(one)

    curves(axes, described, points)
    axes.set(ylim=(0, None), xlabel="Hour of day", xlim=(0, HOURS))
    axes.set_xticks(range(0, HOURS + 1, 6))
    axes.yaxis.set_major_formatter(PERCENT)


def _memory(axes: Axes, described: Sequence[Description]) -> None:
    def points(one: Description) -> tuple[pd.Series, pd.Series]:
        table = one.tables["autocorrelation"]
        return table["hours"] / HOURS, table["median"]

    curves(axes, described, points)
    axes.axhline(0, color="#a0a0a0", linewidth=0.7)
    axes.set(xlabel="Lag (days)", ylabel="Autocorrelation", xlim=(0, 7), ylim=(None, 1.03))
    axes.set_xticks(range(8))


def _nodes(axes: Axes, described: Sequence[Description]) -> None:
    for one, stroke in strokes(described):
        table, scale = one.tables["by_node"], 100 / _mean(one)
        look = {"linestyle": "", "markersize": 2.2, "alpha": 0.6, "markeredgewidth": 0}
        look["rasterized"] = len(table) > 2000
        axes.plot(table["mean"] * scale, table["std"] * scale, **stroke | look)
    axes.set(xlabel="Mean of a node", ylabel="Standard deviation", xlim=(0, None), ylim=(0, None))
    axes.xaxis.set_major_formatter(PERCENT)
    axes.yaxis.set_major_formatter(PERCENT)


def _missing(axes: Axes, described: Sequence[Description]) -> None:
    for one, stroke in strokes(described):
        rates = one.tables["by_node"]["missing_rate"].sort_values(ascending=False).to_numpy()
        if rates.max() > 0:
            share = 100 * (np.arange(len(rates)) + 1) / len(rates)
            marker = stroke["marker"] if len(rates) <= 20 else ""
            axes.plot(share, 100 * rates, **stroke | {"marker": marker})
    if not axes.lines:
        axes.text(0.5, 0.5, "Nothing is missing", transform=axes.transAxes, ha="center")
    axes.set(xlabel="Nodes, worst first", ylabel="Missing values", xlim=(0, 100), ylim=(0, None))
    axes.xaxis.set_major_formatter(PERCENT)
    axes.yaxis.set_major_formatter(PERCENT)
