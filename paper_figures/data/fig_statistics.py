"""What the values are like: the day, the week, the memory, the nodes, and what is missing."""

from collections.abc import Sequence

import numpy as np

from paper_figures.data.strokes import GREY, dress, looks, panels, rows
from stprune.describe.description import Description
from stprune.paper.draw import Drawing

HOURS = 24
BY_HOUR = (
    ("weekdays", "mean", "(a) Weekdays", "Mean of the nodes"),
    ("weekend", "mean", "(b) Saturday and Sunday", "Mean of the nodes"),
    ("weekdays", "std_over_days", "(c) Spread over days", "Standard deviation"),
)


def build(described: Sequence[Description]) -> Drawing:
    """Above: the day and its spread; below: autocorrelation, nodes, missing values."""
    shown = looks(described)
    figure, (*by_hour, memory, nodes, missing) = panels(2, shown)
    for one, line, mark, _ in shown:
        by_node = one.tables["by_node"]
        # In % of the mean of all nodes; of the values themselves where it is 0.
        scale = 100 / (abs(float(by_node["mean"].mean())) or 1.0)
        for axes, (days, column, _, _) in zip(by_hour, BY_HOUR, strict=True):
            part = rows(one.tables["by_slot"], days=days)
            part = part[part["observed"] > 0]
            axes.plot(part["hour"], part[column] * scale, **line)
        part = one.tables["autocorrelation"]
        memory.plot(part["hours"] / HOURS, part["median"], **line)
        look = {"markersize": 2.2, "alpha": 0.6, "markeredgewidth": 0}
        look["rasterized"] = len(by_node) > 2000
        nodes.plot(by_node["mean"] * scale, by_node["std"] * scale, **mark | look)
        rates = by_node["missing_rate"].sort_values(ascending=False).to_numpy()
        if rates.max() > 0:
            share = 100 * (np.arange(len(rates)) + 1) / len(rates)
            missing.plot(share, 100 * rates, **(mark if len(rates) <= 20 else {}) | line)
    for axes, (_, _, title, ylabel) in zip(by_hour, BY_HOUR, strict=True):
        axes.set(xlabel="Hour of day", xlim=(0, HOURS))
        axes.set_xticks(range(0, HOURS + 1, 6))
        dress(axes, "y", title=title, ylabel=ylabel, ylim=(0, None))
    memory.axhline(0, **GREY)
    labels = {"title": "(d) Memory", "xlabel": "Lag (days)", "ylabel": "Autocorrelation"}
    memory.set(**labels, xlim=(0, 7), ylim=(None, 1.03))
    memory.set_xticks(range(8))
    labels = {"xlabel": "Mean of a node", "ylabel": "Standard deviation"}
    dress(nodes, "xy", title="(e) Nodes", **labels, xlim=(0, None), ylim=(0, None))
    if not missing.lines:
        missing.text(0.5, 0.5, "Nothing is missing", transform=missing.transAxes, ha="center")
    labels = {"xlabel": "Nodes, worst first", "ylabel": "Missing values"}
    dress(missing, "xy", title="(f) Missing by node", **labels, xlim=(0, 100), ylim=(0, None))
    caption = (
        "(a, b) Mean of the nodes by time of day, in % of their mean over all values. (c) Standard"
        " deviation from day to day at the same time, weekdays, on the same scale."
        " (d) Autocorrelation, median of the nodes. (e) Each node, in % of the mean of all."
        " (f) Missing values by node, worst first; a data set without a line misses none."
    )
    return Drawing(figure, caption)
