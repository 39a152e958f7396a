"""How data sets are drawn: the same colour, line and marker of each in every figure of data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import StrMethodFormatter

from stprune.describe.description import Description

WIDTH, ROW_HEIGHT, COLUMNS = 7.0, 2.1, 3
LEGEND_HEIGHT = 0.35
PERCENT = StrMethodFormatter("{x:g}%")
# Colours that the colour-blind can tell apart (Okabe and Ito, 2008).
COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

Look = dict[str, Any]


def strokes(described: Sequence[Description]) -> Iterator[tuple[Description, Look]]:
    """Each data set with its colour, line style and marker; beyond seven they repeat."""
    for number, one in enumerate(described):
        at = number % len(COLOURS)
        yield one, {"color": COLOURS[at], "linestyle": LINES[at], "marker": MARKERS[at]}


def curves(
    axes: Axes,
    described: Sequence[Description],
    points: Callable[[Description], tuple[Any, Any] | None],
    *,
    marked: bool = False,
) -> None:
    """A line a data set through its points, perhaps marked; none where they are None."""
    for one, stroke in strokes(described):
        found = points(one)
        if found is not None:
            axes.plot(*found, **(stroke if marked else stroke | {"marker": ""}))


def marks(
    axes: Axes,
    described: Sequence[Description],
    ticks: Sequence[str],
    values: Callable[[Description], Any],
) -> None:
    """At each tick a marker a data set, side by side, where its value is."""
    for number, (one, stroke) in enumerate(strokes(described)):
        beside = 0.12 * (number - (len(described) - 1) / 2)
        places = [tick + beside for tick in range(len(ticks))]
        axes.plot(places, values(one), **{**stroke, "linestyle": ""})
    axes.set_xticks(range(len(ticks)), list(ticks))


def panels(rows: int) -> tuple[Figure, list[Axes]]:
    """A figure of so many rows of three panels, with room for a legend above."""
    figure = Figure(figsize=(WIDTH, ROW_HEIGHT * rows + LEGEND_HEIGHT))
    return figure, list(figure.subplots(rows, COLUMNS, squeeze=False).flat)


def add_legend(figure: Figure, described: Sequence[Description], table: str = "by_node") -> None:
    """The names of the data sets that have ``table``, above all panels."""
    looks = [(one.title, look) for one, look in strokes(described) if table in one.tables]
    handles = [Line2D([], [], label=title, **look) for title, look in looks]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(5, len(handles)))


def names(described: Sequence[Description]) -> str:
    """The data sets in words."""
    return ", ".join(one.title for one in described)
