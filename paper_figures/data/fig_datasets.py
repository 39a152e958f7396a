"""The data sets at a glance: a week of three nodes of each."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd

from stprune.describe.description import Description
from stprune.paper.draw import Drawing, grid

# Light to dark: three nodes by their means, which have an order.
NODES = {"lowest": "#9ecae1", "middle": "#4292c6", "highest": "#08306b"}


def build(described: Sequence[Description]) -> Drawing:
    """One row a data set."""
    figure, panels = grid(len(described), 1, 1.15 * len(described) + 0.5)
    for one, axes in zip(described, panels[:, 0], strict=True):
        table, card = one.tables["excerpt"], one.facts["card"]
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
        size = f"{card['nodes']} nodes, {card['edges']} edges"
        axes.set_title(f"{one.title} ({size}), from {days[0]:%Y-%m-%d} on", pad=3)
        unit = textwrap.fill(f"({one.facts['unit']})", 20)
        axes.set_ylabel(f"{one.facts['quantity']}\n{unit}", fontsize=6)
        axes.set_ylim(min(0.0, float(np.nanmin(values))), None)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(NODES))
    caption = "A week of the nodes of the lowest, the middle and the highest mean, by the hour."
    return Drawing(figure, caption)
