"""What the values are like: the day, the week, the memory, the nodes, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from paper_figures.data.strokes import add_legend, curves, names, panels, strokes
from stprune.describe.description import Description
from stprune.describe.figures import GREY, HOURS, dress, hour_axis
from stprune.paper.figures import Drawing

TITLE = "Statistical properties of the data"


def build(described: Sequence[Description]) -> Drawing:
    """Above: the day and its spread; below: autocorrelation, nodes, missing values."""
    figure, axes = panels(2)
    spread = "Standard deviation"
    _by_hour(axes[0], described, "weekdays", "mean", "(a) Weekdays", "Mean of the nodes")
    _by_hour(axes[1], described, "weekend", "mean", "(b) Saturday and Sunday", "Mean of the nodes")
    _by_hour(axes[2], described, "weekdays", "std_over_days", "(c) Spread over days", spread)
    _memory(axes[3], described)
    _nodes(axes[4], described)
    _missing(axes[5], described)
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
    """Mean of all nodes; 1 where it is 0."""
    return abs(float(one.tables["by_node"]["mean"].mean())) or 1.0


def _by_hour(
    axes: Axes, described: Sequence[Description], days: str, column: str, title: str, ylabel: str
) -> None:
    def points(one: Description) -> tuple[pd.Series, pd.Series]:
        table = one.tables["by_slot"]
        part = table[(table["days"] == days) & (table["observed"] > 0)]
        return part["hour"], 100 * part[column] / _mean(one)

    curves(axes, described, points)
    hour_axis(axes)
    dress(axes, "y", title=title, ylabel=ylabel, ylim=(0, None))


def _memory(axes: Axes, described: Sequence[Description]) -> None:
    def points(one: Description) -> tuple[pd.Series, pd.Series]:
        table = one.tables["autocorrelation"]
        return table["hours"] / HOURS, table["median"]

    curves(axes, described, points)
    axes.axhline(0, color=GREY, linewidth=0.7)
    axes.set(title="(d) Memory", xlabel="Lag (days)", ylabel="Autocorrelation")
    axes.set(xlim=(0, 7), ylim=(None, 1.03))
    axes.set_xticks(range(8))


def _nodes(axes: Axes, described: Sequence[Description]) -> None:
    for one, stroke in strokes(described):
        table, scale = one.tables["by_node"], 100 / _mean(one)
        look = {"linestyle": "", "markersize": 2.2, "alpha": 0.6, "markeredgewidth": 0}
        look["rasterized"] = len(table) > 2000
        axes.plot(table["mean"] * scale, table["std"] * scale, **stroke | look)
    labels = {"xlabel": "Mean of a node", "ylabel": "Standard deviation"}
    dress(axes, "xy", title="(e) Nodes", **labels, xlim=(0, None), ylim=(0, None))


def _missing(axes: Axes, described: Sequence[Description]) -> None:
    for one, stroke in strokes(described):
        rates = one.tables["by_node"]["missing_rate"].sort_values(ascending=False).to_numpy()
        if rates.max() > 0:
            share = 100 * (np.arange(len(rates)) + 1) / len(rates)
            marker = stroke["marker"] if len(rates) <= 20 else ""
            axes.plot(share, 100 * rates, **stroke | {"marker": marker})
    if not axes.lines:
        axes.text(0.5, 0.5, "Nothing is missing", transform=axes.transAxes, ha="center")
    labels = {"xlabel": "Nodes, worst first", "ylabel": "Missing values"}
    dress(axes, "xy", title="(f) Missing by node", **labels, xlim=(0, 100), ylim=(0, None))
