"""The data sets at a glance: a week of three nodes, and the graph."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from paper_figures.data.strokes import names
from stprune.describe.description import Description
from stprune.paper.draw import grid
from stprune.paper.figures import Drawing

TITLE = "The data sets"

# Light to dark: three nodes by their means, which have an order.
NODES = {"lowest": "#9ecae1", "middle": "#4292c6", "highest": "#08306b"}


def build(described: Sequence[Description]) -> Drawing:
    """One row a data set: series on the left, graph on the right."""
    count = len(described)
    figure, axes = grid(count, 2, 1.15 * count + 0.5, width_ratios=(4, 1))
    for one, (left, right) in zip(described, axes, strict=True):
        _series(left, one)
        _graph(right, one)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(NODES))
    caption = (
        "Left: a week of the nodes of the lowest, the middle and the highest mean, by the hour."
        " Right: the graph; nodes lie near what they are joined to (classical scaling of the"
        " lengths of paths; a circle if all are joined alike), not where they are on a map, and of"
        " more than four edges a node only the strongest are drawn."
    )
    alt = f"A row of two panels for each of {names(described)}: series and graph."
    return Drawing(figure, caption, alt)


def _series(axes: Axes, one: Description) -> None:
    table = one.tables["excerpt"]
    times = pd.DatetimeIndex(table["time"])
    # Hours that were left out become empty, so that no line crosses them.
    every = pd.date_range(times[0], times[-1], freq=times.to_series().diff().min())
    values = table.set_index(times)[list(NODES)].reindex(every)
    for name, colour in NODES.items():
        label = f"node of the {name} mean"
        axes.plot(values.index, values[name], color=colour, linewidth=0.9, label=label)
    days = times.normalize().unique()
    axes.set_xticks(days, days.strftime("%a"))
    axes.set(xlim=(days[0], days[-1] + pd.Timedelta(days=1)))
    axes.set_title(f"{one.title}, from {days[0]:%Y-%m-%d} on", fontweight="bold", pad=3)
    unit = textwrap.fill(f"({one.facts['unit']})", 20)
    axes.set_ylabel(f"{one.facts['quantity']}\n{unit}", fontsize=6)
    axes.set_ylim(min(0.0, float(np.nanmin(values))), None)


def _graph(axes: Axes, one: Description) -> None:
    places = one.tables["places"].set_index("node")[["x", "y"]]
    edges = one.tables["edges"]
    begin, end = (places.loc[edges[side]].to_numpy() for side in ("from", "to"))
    lines = list(np.stack([begin, end], axis=1))
    axes.add_collection(LineCollection(lines, colors="#b0b0b0", linewidths=0.35, zorder=1))
    size = 9 if len(places) <= 64 else 3
    axes.scatter(places["x"], places["y"], s=size, color="#08306b", linewidths=0, zorder=2)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.06)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    card = one.facts["card"]
    axes.set_title(f"{card['nodes']} nodes, {card['edges']} edges", fontsize=7, pad=3)
