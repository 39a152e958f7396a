"""How data sets are drawn: the same colour, line and marker of each in every figure of data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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
Line = Literal["-", "--", "-.", ":"] | tuple[float, tuple[float, ...]]
LINES: tuple[Line, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class Stroke:
    """Colour, line style and marker of a data set, as matplotlib takes them."""

    colour: str
    line: Line
    marker: str


def strokes(described: Sequence[Description]) -> list[Stroke]:
    """One for each data set, in their order; beyond seven they repeat."""
    looks = [Stroke(*look) for look in zip(COLOURS, LINES, MARKERS, strict=True)]
    return [looks[number % len(looks)] for number in range(len(described))]


def panels(rows: int) -> tuple[Figure, list[Axes]]:
    """A figure of so many rows of three panels, with room for a legend above."""
    figure = Figure(figsize=(WIDTH, ROW_HEIGHT * rows + LEGEND_HEIGHT))
    return figure, list(figure.subplots(rows, COLUMNS, squeeze=False).flat)


def add_legend(figure: Figure, described: Sequence[Description], table: str = "by_node") -> None:
    """The names of the data sets that have ``table``, above all panels."""
    handles = [
        Line2D(
            [],
            [],
            color=stroke.colour,
            linestyle=stroke.line,
            marker=stroke.marker,
            label=one.title,
        )
        for one, stroke in zip(described, strokes(described), strict=True)
        if table in one.tables
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(5, len(handles)))


def positions(count: int, of: int) -> float:
    """Where the ``count``-th of so many points at the same tick stands beside it."""
    return 0.12 * (count - (of - 1) / 2)


def names(described: Sequence[Description]) -> str:
    """The data sets in words."""
    return ", ".join(one.title for one in described)
