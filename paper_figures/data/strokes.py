"""How data sets are drawn: the same colour, line and marker of each in every figure of data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from stprune.describe.description import Description
from stprune.paper.draw import MARKERS, grid, handle

# Colours that the colour-blind can tell apart (Okabe and Ito, 2008), and lines that differ too.
COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
# A line that is there for comparison.
GREY: dict[str, Any] = {"color": "#8a8a8a", "linewidth": 0.9}


class Look(NamedTuple):
    """How a data set is drawn."""

    one: Description
    line: dict[str, Any]  # Colour and line style.
    mark: dict[str, Any]  # Colour and marker.
    beside: float  # How far its marks stand beside a tick, so that those of all are seen.


def looks(described: Sequence[Description]) -> list[Look]:
    """The look of each data set; beyond seven they repeat."""
    chosen = []
    for number, one in enumerate(described):
        at = number % len(COLOURS)
        line = {"color": COLOURS[at], "linestyle": LINES[at]}
        mark = {"color": COLOURS[at], "linestyle": "", "marker": MARKERS[at]}
        chosen.append(Look(one, line, mark, 0.12 * (number - (len(described) - 1) / 2)))
    return chosen


def panels(rows: int, shown: Sequence[Look]) -> tuple[Figure, list[Axes]]:
    """Rows of three panels, with the names of the data sets above."""
    figure, axes = grid(rows, 3, 2.1 * rows + 0.35)
    handles = [handle(one.title, **mark | line) for one, line, mark, _ in shown]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(5, len(handles)))
    return figure, list(axes.flat)


def rows(table: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """The rows of a table that have these values."""
    for column, value in values.items():
        table = table[table[column] == value]
    return table


def shift(ticks: int, beside: float) -> list[float]:
    """Places beside so many ticks."""
    return [tick + beside for tick in range(ticks)]


def dress(axes: Axes, percent: str = "", **properties: Any) -> None:
    """Set properties of axes, then show in % the axes that ``percent`` names: `x`, `y` or `xy`."""
    axes.set(**properties)
    for letter in percent:
        axis = {"x": axes.xaxis, "y": axes.yaxis}[letter]
        axis.set_major_formatter(StrMethodFormatter("{x:g}%"))
