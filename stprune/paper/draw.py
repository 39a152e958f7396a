"""What the panels of all figures share: looks of pruners, legends, axes and heat maps."""

from __future__ import annotations

import hashlib
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from stprune.paper.tables import format_number
from stprune.records.store import REFERENCE
from stprune.results.labels import label
from stprune.statistics.paired import LEVEL

# In inches: the width of a figure, what a page holds with the caption, and what rows of panels may
# take of it beside legend and caption.
WIDTH = 7.0
PAGE_HEIGHT = 9.5
PAGE_WIDTH_SIDEWAYS = 10.5
ROWS_HEIGHT = 7.8

# An empty line style draws the points alone.
Line = Literal["-", "--", "-.", ":", ""]

# LOOKS uses Okabe and Ito's colours (2008), which the colour-blind can tell apart, without yellow,
# which is too light for lines on white. All other names use Tol's muted scheme (2021) without its
# light colours, so that an entry of a configuration never looks like a rival.
OTHER_COLOURS = ("#332288", "#882255", "#44AA99", "#999933", "#CC6677", "#117733", "#AA4499")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
LINES: tuple[Line, ...] = ("-.", ":", "--", "-")

# A legend of more names than this is set in smaller type.
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

    A pruner that is not in ``LOOKS`` gets colour and marker from a hash of its name, so they are
    the same in every figure; where two clash, the later in sorted order gets the next free pair.
    Names that share a colour differ in line style too, while there are enough of them.
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
        # With more pruners than pairs, some look alike.
        colour, marker = (free or pairs[start:])[0]
        taken.add((colour, marker))
        chosen[name] = Look(colour, marker, _line(colour, chosen.values()))
    return chosen


def grid(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, Any]:
    """A figure of panels in the width of a page, and its axes (rows, columns).

    Args:
        rows: How many rows of panels.
        columns: How many beside each other.
        height: Of the figure, in inches.
        options: For ``Figure.subplots``.
    """
    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def legend_height(names: int) -> float:
    """Inches that a legend of so many names takes above the panels."""
    line = SMALL_LEGEND_LINE if names > MANY else LEGEND_LINE
    return math.ceil(names / _legend_columns(names)) * line


def legend(figure: Figure, shown: Mapping[str, Look]) -> None:
    """One legend above all panels, full training first."""
    names = sorted(shown, key=lambda name: (name != REFERENCE, label(name).lower()))
    small = {"fontsize": 6.5, "labelspacing": 0.25, "columnspacing": 1.0}
    figure.legend(
        handles=[
            handle(label(n), color=shown[n].colour, marker=shown[n].marker, ls=shown[n].line)
            for n in names
        ],
        loc="outside upper center",
        ncols=_legend_columns(len(names)),
        **(small if len(names) > MANY else {}),
    )


def handle(words: str, **style: Any) -> Line2D:
    """An entry of a legend, in the style of a line."""
    return Line2D([], [], label=words, **style)


def _legend_columns(names: int) -> int:
    """Columns of a legend whose rows are evenly filled: at most 4, or 5 for many names."""
    most = 5 if names > MANY else 4
    return math.ceil(names / math.ceil(names / most))


def _line(colour: str, others: Iterable[Look]) -> Line:
    """The line style that is used least often with this colour."""
    used = [look.line for look in others if look.colour == colour]
    return min(LINES, key=lambda line: (used.count(line), LINES.index(line)))


def points(
    axes: Axes,
    x: pd.Series[float],
    y: pd.Series[float],
    look: Look,
    x_spread: pd.Series[float] | None = None,
    y_spread: pd.Series[float] | None = None,
) -> ErrorbarContainer:
    """The points of one pruner, joined by its line, with bars where a spread is known."""
    # One seed has no spread: draw no bar, rather than one of zero length.
    bars = [
        None if spread is None or spread.isna().all() else np.asarray(spread, dtype=np.float64)
        for spread in (x_spread, y_spread)
    ]
    return axes.errorbar(
        x,
        y,
        xerr=bars[0],
        yerr=bars[1],
        color=look.colour,
        marker=look.marker,
        linestyle=look.line,
        elinewidth=0.8,
        markeredgecolor="white",
        markeredgewidth=0.4,
        zorder=3,
    )


def reference(axes: Axes, full: pd.DataFrame, metric: str = "test_mae") -> None:
    """Full training as a horizontal line, with a band of one standard deviation if known."""
    colour = LOOKS[REFERENCE].colour
    for _, row in full.iterrows():
        axes.axhline(row[metric], color=colour, linewidth=0.9)
        if pd.notna(row[f"{metric}_sd"]):
            low, high = (row[metric] + sign * row[f"{metric}_sd"] for sign in (-1, 1))
            axes.axhspan(low, high, color=colour, alpha=0.10, linewidth=0)


# Heat maps: purple for less, orange for more, which the colour-blind can tell apart (Brewer, 2003).
COLOURS = "PuOr_r"
Values = NDArray[np.float64]


def symmetric_scale(values: Values, least: float = 0.0) -> Normalize:
    """A colour scale around 0 that holds every finite value, and at least ±``least``."""
    finite = np.abs(values[np.isfinite(values)])
    limit = max(float(finite.max(initial=0.0)), least) or 1.0
    return Normalize(-limit, limit)


def cells(axes: Axes, values: Values, scale: Normalize) -> QuadMesh:
    """Draw a heat map with the first row on top; cells with NaN are hatched.

    Args:
        axes: Where; cell (row, column) has its middle at x = column, y = row.
        values: (rows, columns).
        scale: Of the colours.
    """
    rows, columns = values.shape
    axes.patch.set(facecolor="white", edgecolor="#d4d4d4", hatch="//////", linewidth=0)
    mesh = axes.pcolormesh(
        np.arange(columns + 1) - 0.5,
        np.arange(rows + 1) - 0.5,
        np.ma.masked_invalid(values),
        cmap=COLOURS,
        norm=scale,
        edgecolors="white",
        linewidth=0.3,
    )
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return mesh


def write_in_cells(
    axes: Axes, values: Values, words: Sequence[Sequence[str]], scale: Normalize, size: float
) -> None:
    """Write a word into each cell that is not hatched, in black or white against its colour.

    Args:
        axes: Those of `cells`.
        values: (rows, columns) what the cells are coloured by.
        words: As many, by row; an empty one is not written.
        scale: Of the colours.
        size: Of the type, in points.
    """
    colours = mpl.colormaps[COLOURS](scale(values))
    brightness = colours[..., :3] @ np.array([0.299, 0.587, 0.114])
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value) or not words[row][column]:
            continue
        axes.text(
            column,
            row,
            words[row][column],
            fontsize=size,
            ha="center",
            va="center_baseline",
            color="black" if brightness[row, column] > 0.5 else "white",
        )


def colour_bar(figure: Figure, scale: Normalize, title: str, **place: Any) -> Any:
    """A colour bar below all panels; ``place`` goes to ``Figure.colorbar``."""
    place = {"location": "bottom", "aspect": 60, "shrink": 0.6, **place}
    bar = figure.colorbar(ScalarMappable(scale, COLOURS), ax=figure.axes, **place)
    bar.set_label(title)
    return bar


# The axis of differences ends at so many times the median of the intervals' far ends, where the
# worst mean lies beyond twice that: a few pruners that lose much must not flatten the others.
OFF_SCALE = 3.0
MARGIN = 0.06


class DifferenceAxis(NamedTuple):
    """Ends of an axis in percent, with 0 between them; whether a mean lies beyond them."""

    low: float
    high: float
    beyond: bool


def difference_axis(compared: pd.DataFrame) -> DifferenceAxis:
    """An axis for differences and their intervals.

    Args:
        compared: ``mean``, ``low`` and ``high`` of each, in percent; the latter NaN where there is
            no interval.
    """
    ends = compared[["mean", "low", "high"]]
    far = ends.abs().max(axis="columns")
    limit = max(1.0, OFF_SCALE * float(far.median()))
    low, high = min(float(ends.min().min()), 0.0), max(float(ends.max().max()), 0.0)
    beyond = bool((compared["mean"].abs() > 2 * limit).any())
    if beyond:
        low, high = max(low, -limit), min(high, limit)
    margin = MARGIN * (high - low) or 0.5
    return DifferenceAxis(low - margin, high + margin, beyond)


def difference(
    axes: Axes, at: float, row: pd.Series[Any], look: Look, axis: DifferenceAxis, upright: bool
) -> None:
    """A mean difference with its interval, filled where significant; an arrow if off the axis.

    Args:
        axes: Whose axis of differences is ``axis``.
        at: Place on the other axis.
        row: ``mean``, ``low``, ``high`` in percent, and ``holm_p``.
        look: Colour and marker.
        axis: Where the axis ends.
        upright: Whether differences go upwards rather than to the right.
    """

    def point(value: float) -> tuple[float, float]:
        return (at, value) if upright else (value, at)

    mean, marker = float(row["mean"]), look.marker
    inside = axis.low <= mean <= axis.high
    shown = float(np.clip(mean, axis.low, axis.high))
    if inside and not math.isnan(row["low"]):
        low, high = np.clip([row["low"], row["high"]], axis.low, axis.high)
        ends = np.array([point(low), point(high)]).T
        axes.plot(*ends, color=look.colour, linewidth=0.9, zorder=2)
    elif not inside:
        above = mean > 0
        marker = ("v^" if upright else "<>")[above]
        axes.annotate(
            format_number(mean, 0, signed=True),
            point(shown),
            xytext=(4, 0) if upright else (-4 if above else 4, 0),
            textcoords="offset points",
            ha="right" if above and not upright else "left",
            va="center_baseline" if not upright else "top" if above else "bottom",
            fontsize=5.5,
            color=look.colour,
        )
    axes.plot(
        *np.array([point(shown)]).T,
        marker=marker,
        color=look.colour,
        markerfacecolor=look.colour if row["holm_p"] < LEVEL else "white",
        markersize=3.4,
        markeredgewidth=0.9,
        clip_on=inside,
        zorder=3 if inside else 4,
    )


LOG_TICKS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)


def log_axis(axes: Axes, which: Literal["x", "y"] = "y") -> None:
    """Make an axis logarithmic, with ticks such as 3 or 0.15: few axes span a whole decade."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=LOG_TICKS))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def row_height(rows: int, tallest: float) -> float:
    """Inches of each of so many rows of panels, at most ``tallest``, so that a page holds them."""
    return min(tallest, ROWS_HEIGHT / rows)


def row_name(dataset: str, backbone: str) -> str:
    """A data set and backbone beside a row of panels, wrapped to fit a low row."""
    parts = textwrap.wrap(dataset.replace("_", "_ "), 15)
    lines = [*(part.replace("_ ", "_") for part in parts), *textwrap.wrap(label(backbone), 15)]
    return "\n".join(lines)
