"""The data sets at a glance: a week of three nodes, and the graph."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from paper_figures.data.strokes import names
from stprune.describe.description import Description
from stprune.describe.figures import WIDTH
from stprune.paper.figures import Drawing

TITLE = "The data sets"

ROW_HEIGHT = 1.15
# Light to dark: three nodes by their means, which have an order.
NODES = {"lowest": "#9ecae1", "middle": "#4292c6", "highest": "#08306b"}
LONGEST = 20
# 1 January 1970 was a Thursday.
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def build(described: Sequence[Description]) -> Drawing:
    """One row a data set: series on the left, graph on the right."""
    figure = Figure(figsize=(WIDTH, ROW_HEIGHT * len(described) + 0.5))
    grid = figure.subplots(len(described), 2, width_ratios=(4, 1), squeeze=False)
    for one, (left, right) in zip(described, grid, strict=True):
        _series(left, one)
        _graph(right, one)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(NODES))
    caption = (
        "Left: a week of the nodes of the lowest, the middle and the highest mean, by the hour."
        " Right: the graph; nodes lie near what they are joined to (classical scaling of the"
        " lengths of paths; a circle if all are joined alike), not where they are on a map, and of"
        " more than four edges a node only the strongest are drawn."
    )
    sizes = "; ".join(
        f"{one.title}, {one.facts['card']['nodes']} nodes and {one.facts['card']['edges']} edges"
        for one in described
    )
    alt = f"A row of two panels for each of {names(described)}: series and graph. {sizes}."
    return Drawing(figure, caption, alt)


def _series(axes: Axes, one: Description) -> None:
    table = one.tables["excerpt"]
    times = np.array(table["time"], "datetime64[m]")
    # A line must not cross hours that were left out.
    broken = np.flatnonzero(np.diff(times) > np.diff(times).min()) + 1
    for name, colour in NODES.items():
        values = np.insert(table[name].to_numpy(float), broken, np.nan)
        places = np.insert(times, broken, times[broken - 1] + np.timedelta64(1, "m"))
        axes.plot(places, values, color=colour, linewidth=0.9, label=f"node of the {name} mean")
    days = np.unique(times.astype("datetime64[D]"))
    axes.set_xticks(days, [WEEKDAYS[number] for number in (days.astype(int) + 3) % 7])
    axes.set_xlim(days[0], days[-1] + np.timedelta64(1, "D"))
    axes.set_title(f"{one.title}, from {table['time'].iloc[0][:10]} on", fontweight="bold", pad=3)
    axes.set_ylabel(f"{one.quantity}\n{textwrap.fill(f'({one.unit})', LONGEST)}", fontsize=6)
    axes.set_ylim(min(0.0, float(table[list(NODES)].min().min())), None)


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
