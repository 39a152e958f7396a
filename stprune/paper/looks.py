"""How each pruner is drawn: the same colour, marker and line in every figure, and their legend."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from stprune.results.labels import label
from stprune.results.summary import REFERENCE

# An empty one draws the points alone.
Line = Literal["-", "--", "-.", ":", ""]

# Colours that the colour-blind can tell apart, for the names in LOOKS (Okabe and Ito, 2008; their
# yellow is left out, being too light for lines on white), and others for all other names (Tol's
# muted scheme, 2021, without its light ones): no configuration's own entry looks like a rival.
OTHER_COLOURS = ("#332288", "#882255", "#44AA99", "#999933", "#CC6677", "#117733", "#AA4499")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
LINES: tuple[Line, ...] = ("-.", ":", "--", "-")

# With more names than this the legend takes small type and short columns.
MANY = 12
LEGEND_LINE = 0.155
SMALL_LEGEND_LINE = 0.13


@dataclass(frozen=True)
class Look:
    """How one pruner is drawn, in every figure.

    Args:
        colour: Any matplotlib colour.
        marker: Matplotlib marker.
        line: Matplotlib line style.
    """

    colour: str
    marker: str
    line: Line = "-"


LOOKS = {
    "full": Look("#000000", "o"),
    "full_fewer_epochs": Look("#6e6e6e", "s", "--"),
    "random_dynamic": Look("#56B4E9", "D", "--"),
    "random_static": Look("#CC79A7", "v", ":"),
    "infobatch": Look("#0072B2", "^"),
    "st_prune": Look("#D55E00", "o"),
    "el2n": Look("#009E73", "P"),
    "grand": Look("#E69F00", "X"),
    "forgetting": Look("#E69F00", "v", ":"),
    "herding": Look("#009E73", "D", ":"),
    "k_center": Look("#CC79A7", "s", "--"),
    "craig": Look("#CC79A7", "P", "-."),
    "gradmatch": Look("#0072B2", "s", "-."),
    "glister": Look("#009E73", "v", "-."),
    "ucb": Look("#56B4E9", "^", "-."),
    "epsilon_greedy": Look("#56B4E9", "X", ":"),
}


def looks(pruners: Iterable[str]) -> dict[str, Look]:
    """The look of each pruner, distinct within one figure.

    Pruners without a look of their own get colour and marker from their name, so that they stay
    the same from figure to figure, and never those of a known one; only two that clash are moved
    apart, in sorted order. Curves have few markers: names of one colour differ in line style too,
    as long as there are enough of them.
    """
    names = sorted(set(pruners))
    chosen = {name: LOOKS[name] for name in names if name in LOOKS}
    pairs = [(colour, marker) for marker in MARKERS for colour in OTHER_COLOURS]
    taken: set[tuple[str, str]] = set()
    for name in names:
        if name in chosen:
            continue
        start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % len(pairs)
        free = [pair for pair in pairs[start:] + pairs[:start] if pair not in taken]
        # With more pruners than pairs some must look alike.
        colour, marker = (free or pairs[start:])[0]
        taken.add((colour, marker))
        chosen[name] = Look(colour, marker, _line(colour, chosen.values()))
    return chosen


def legend_height(names: int) -> float:
    """Inches that a legend of so many names takes above the panels."""
    return math.ceil(names / _columns(names)) * (SMALL_LEGEND_LINE if names > MANY else LEGEND_LINE)


def add_legend(figure: Figure, shown: Mapping[str, Look]) -> None:
    """One legend above all panels, full training first."""
    names = sorted(shown, key=lambda name: (name != REFERENCE, label(name).lower()))
    handles = [
        Line2D(
            [],
            [],
            color=shown[name].colour,
            marker=shown[name].marker,
            linestyle=shown[name].line,
            label=label(name),
        )
        for name in names
    ]
    columns = _columns(len(names))
    if len(names) <= MANY:
        figure.legend(handles=handles, loc="outside upper center", ncols=columns)
        return
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=columns,
        fontsize=6.5,
        labelspacing=0.25,
        columnspacing=1.0,
    )


def _columns(names: int) -> int:
    """As many rows as four columns need (five for many names), filled evenly."""
    most = 5 if names > MANY else 4
    return math.ceil(names / math.ceil(names / most))


def _line(colour: str, others: Iterable[Look]) -> Line:
    """The line style that this colour has been given least often."""
    used = [look.line for look in others if look.colour == colour]
    return min(LINES, key=lambda line: (used.count(line), LINES.index(line)))


def draw_points(
    axes: Axes,
    x: pd.Series[float],
    y: pd.Series[float],
    look: Look,
    x_spread: pd.Series[float] | None = None,
    y_spread: pd.Series[float] | None = None,
) -> ErrorbarContainer:
    """The points of one pruner, joined by its line, with bars where a spread is known."""
    return axes.errorbar(
        x,
        y,
        xerr=_bars(x_spread),
        yerr=_bars(y_spread),
        color=look.colour,
        marker=look.marker,
        linestyle=look.line,
        elinewidth=0.8,
        markeredgecolor="white",
        markeredgewidth=0.4,
        zorder=3,
    )


def _bars(spread: pd.Series[float] | None) -> NDArray[np.float64] | None:
    # A single seed has no spread: no bar, rather than one of zero length.
    if spread is None or spread.isna().all():
        return None
    return np.asarray(spread, dtype=np.float64)
