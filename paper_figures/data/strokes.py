"""How data sets are drawn: the same colour, line and marker of each in every figure of data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stprune.describe.description import Description
from stprune.describe.figures import COLUMNS, STROKES, WIDTH

ROW_HEIGHT = 2.1
LEGEND_HEIGHT = 0.35
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def strokes(described: Sequence[Description]) -> Iterator[tuple[Description, dict[str, Any]]]:
    """Each data set with its colour, line style and marker; beyond seven they repeat."""
    for number, one in enumerate(described):
        at = number % len(STROKES)
        yield one, STROKES[at] | {"marker": MARKERS[at]}


def curves(
    axes: Axes,
    described: Sequence[Description],
    points: Callable[[Description], tuple[Any, Any] | None],
    *,
    marked: bool = False,
) -> None:
    """A line a data set through its points, perhaps marked; none where they are None."""
    for one, stroke in strokes(described):
        xy = points(one)
        if xy is not None:
            axes.plot(*xy, **(stroke if marked else stroke | {"marker": ""}))


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
