"""What the panels of all figures share: looks of pruners, grids, legends, axes and heat maps."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, product
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from stprune.records.store import REFERENCE
from stprune.results.labels import label
from stprune.statistics.paired import CONTROLS, LEVEL

# In inches: the width of a figure, what a page holds with the caption, and what rows of panels may
# take of it beside legend and caption.
WIDTH, PAGE_HEIGHT, ROWS_HEIGHT = 7.0, 9.5, 7.8
LEGEND_COLUMNS, LEGEND_LINE = 5, 0.15

# An empty line style draws the points alone.
Line = Literal["-", "--", "-.", ":", ""]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Drawing:
    """A finished figure and its caption."""

    figure: Figure
    caption: str


@dataclass(frozen=True)
class Look:
    """How one pruner is drawn, in every figure: a matplotlib colour, marker and line style."""

    colour: str
    marker: str
    line: Line = "-"


# Okabe and Ito's colours (2008), which the colour-blind can tell apart, without yellow, which is
# too light for lines on white.
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
    "rs2": Look("#E69F00", "D", "--"),
    "seta": Look("#0072B2", "P", ":"),
    "repb": Look("#CC79A7", "^"),
}
# All other names, in Tol's muted scheme (2021) without its light colours, so that an entry of a
# configuration never looks like a rival.
LINES: tuple[Line, ...] = ("-.", ":", "--", "-")
COLOURS = ("#332288", "#882255", "#44AA99", "#999933", "#CC6677", "#117733", "#AA4499")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
OTHER_LOOKS = [
    Look(colour, marker, line)
    for (line, colour), marker in zip(product(LINES, COLOURS), cycle(MARKERS), strict=False)
]


def looks(pruners: Iterable[str]) -> dict[str, Look]:
    """The look of each pruner, within one figure distinct, and in colour too if there are enough.

    Outside ``LOOKS`` it comes from a hash of the name, so it is the same in every figure, but where
    two clash.
    """
    names = sorted(set(pruners))
    chosen = {name: LOOKS[name] for name in names if name in LOOKS}
    for name in (name for name in names if name not in LOOKS):
        start = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % len(OTHER_LOOKS)
        every = OTHER_LOOKS[start:] + OTHER_LOOKS[:start]
        taken = {look: look.colour for look in chosen.values()}
        chosen[name] = min(every, key=lambda look: (look in taken, look.colour in taken.values()))
    return chosen


def order(name: str) -> tuple[bool, bool, str]:
    """Sort key of pruners: full training, the two controls, then by their readable names."""
    return name != REFERENCE, name not in CONTROLS, label(name).lower()


def entries(shown: Mapping[str, Look]) -> list[Artist]:
    """The legend's entries of pruners."""
    return [
        handle(label(n), color=shown[n].colour, marker=shown[n].marker, ls=shown[n].line)
        for n in sorted(shown, key=order)
    ]


def handle(words: str, **style: Any) -> Line2D:
    """An entry of a legend, in the style of a line."""
    return Line2D([], [], label=words, **style)


def grid(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, Any]:
    """A figure in the width of a page and so many inches high, and its axes (rows, columns)."""
    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def panels(
    rows: Sequence[str],
    columns: Sequence[str],
    row_height: float,
    *,
    xlabel: str = "",
    legend: Sequence[Artist] = (),
    **options: Any,
) -> tuple[Figure, Any]:
    """A figure of panels in the width of a page, and its axes (rows, columns).

    ``row_height`` is in inches; a row is lower where a page could not hold them all. ``options``
    are for ``Figure.subplots``.
    """
    lines = math.ceil(len(legend) / LEGEND_COLUMNS)
    height = min(row_height, ROWS_HEIGHT / len(rows)) * len(rows) + 0.5 + LEGEND_LINE * lines
    figure, every = grid(len(rows), len(columns), height, **options)
    for axes, name in zip(every[:, 0], rows, strict=True):
        axes.set_ylabel(name, fontsize=7 if row_height > 1.5 else 5.5)
    for axes, title in zip(every[0], columns, strict=True):
        axes.set_title(title)
    for axes in every[-1]:
        axes.set_xlabel(xlabel)
    if legend:
        # Columns as few as the lines need, evenly filled.
        ncols = math.ceil(len(legend) / lines)
        figure.legend(handles=list(legend), loc="outside upper center", ncols=ncols)
    return figure, every


def lines(axes: Axes, frame: pd.DataFrame, x: str, y: str, shown: Mapping[str, Look]) -> None:
    """One line a pruner through its rows, with bars where ``<x>_sd`` and ``<y>_sd`` are known.

    The bar of ``x`` is from ``<x>_low`` to ``<x>_high`` where these are.
    """
    style: dict[str, Any] = {"elinewidth": 0.8, "mec": "white", "mew": 0.4, "zorder": 3}
    for pruner, points in frame.groupby("pruner"):
        look = shown[str(pruner)]
        # One seed has no spread: draw no bar, rather than one of zero length.
        spreads = (points.get(f"{name}_sd") for name in (x, y))
        bars: list[Any] = [None if sd is None or sd.isna().all() else sd for sd in spreads]
        ends = [points[f"{x}_{end}"] for end in ("low", "high") if f"{x}_{end}" in points]
        if ends and ends[0].notna().any():
            bars[0] = [points[x] - ends[0], ends[1] - points[x]]
        style |= {"color": look.colour, "marker": look.marker, "ls": look.line}
        drawn = axes.errorbar(points[x], points[y], xerr=bars[0], yerr=bars[1], **style)
        # Bars are paler than lines, as many of them lie on each other.
        for bar in (*drawn.lines[1], *drawn.lines[2]):
            bar.set_alpha(0.45)


def band(axes: Axes, x: Any, middle: Any, low: Any, high: Any, look: Look) -> None:
    """A curve with a band, and a marker at its end, which tells curves of one line style apart."""
    style: dict[str, Any] = {"marker": look.marker, "markevery": [-1], "markersize": 2.8}
    axes.plot(x, middle, color=look.colour, linestyle=look.line, linewidth=0.9, **style)
    axes.fill_between(x, low, high, color=look.colour, alpha=0.13, linewidth=0)


def reference(axes: Axes, full: pd.DataFrame, metric: str = "test_mae") -> None:
    """Full training as a horizontal line, with a band of one standard deviation if known."""
    colour = LOOKS[REFERENCE].colour
    for mean, sd in full[[metric, f"{metric}_sd"]].to_numpy(np.float64):
        axes.axhline(mean, color=colour, linewidth=0.9)
        if not math.isnan(sd):
            axes.axhspan(mean - sd, mean + sd, color=colour, alpha=0.10, linewidth=0)


# Heat maps: purple for less, orange for more, which the colour-blind can tell apart (Brewer, 2003).
COLOUR_MAP = "PuOr_r"


def symmetric_scale(values: Values, least: float = 0.0) -> Normalize:
    """A colour scale around 0 that holds every finite value, and at least ±``least``."""
    finite = np.abs(values[np.isfinite(values)])
    limit = max(float(finite.max(initial=0.0)), least) or 1.0
    return Normalize(-limit, limit)


def cells(axes: Axes, values: Values, scale: Normalize) -> None:
    """Draw a heat map of (rows, columns) values, the first row on top; NaN is hatched."""
    rows, columns = values.shape
    axes.patch.set(facecolor="white", edgecolor="#d4d4d4", hatch="//////", linewidth=0)
    edges = np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5
    style: dict[str, Any] = {"cmap": COLOUR_MAP, "edgecolors": "white", "linewidth": 0.3}
    axes.pcolormesh(*edges, np.ma.masked_invalid(values), norm=scale, **style)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def write_in_cells(axes: Axes, values: Values, words: NDArray[Any], scale: Normalize) -> None:
    """Write words (rows, columns) into the cells of `cells` that are not hatched."""
    colours = mpl.colormaps[COLOUR_MAP](scale(values))
    # Black or white, whichever is read better on the cell's colour.
    brightness = colours[..., :3] @ np.array([0.299, 0.587, 0.114])
    for row, column in np.argwhere(~np.isnan(values)):
        colour = "black" if brightness[row, column] > 0.5 else "white"
        place: dict[str, Any] = {"ha": "center", "va": "center_baseline"}
        axes.text(column, row, words[row, column], fontsize=5.5, color=colour, **place)


def colour_bar(figure: Figure, scale: Normalize, title: str) -> Any:
    """A colour bar below all panels."""
    place: dict[str, Any] = {"ax": figure.axes, "location": "bottom", "aspect": 60, "shrink": 0.6}
    pad = 0.2 / figure.get_figheight()
    return figure.colorbar(ScalarMappable(scale, COLOUR_MAP), label=title, pad=pad, **place)


# An axis of differences ends at so many times their median size: a few pruners that lose much must
# not flatten the others.
OFF_SCALE = 6.0
LEAVE = "Lines may leave a panel at the top."
# What `differences` shows.
MARKS = (
    f"Filled: p below {LEVEL} in a paired t test with Holm's correction over all entries and prune"
    " ratios against the same one; hollow is no proof of equality. Triangles at an edge: beyond the"
    " scale."
)


def difference_limits(values: Values) -> tuple[float, float]:
    """Limits of an axis, 0 between them, for differences in percent, any of which may be NaN."""
    limit = max(1.0, OFF_SCALE * float(np.nanmedian(np.abs(values))))
    low = max(min(float(np.nanmin(values)), 0.0), -limit)
    high = min(max(float(np.nanmax(values)), 0.0), limit)
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def differences(
    axes: Axes, at: Sequence[float], rows: pd.DataFrame, look: Look, *, upright: bool
) -> None:
    """Mean differences with their intervals, filled where significant.

    Of ``rows`` are shown ``mean``, ``low`` and ``high`` (NaN without an interval) and ``holm_p``,
    ``at`` places on the other axis; ``upright``, they go upwards rather than to the right. A mean
    beyond the axes' limits, which are set, is a triangle at the edge.
    """
    first, last = axes.get_ylim() if upright else axes.get_xlim()
    step, arrows = (1, "v^") if upright else (-1, "<>")
    for place, (mean, low, high, p) in zip(
        at, rows[["mean", "low", "high", "holm_p"]].to_numpy(np.float64), strict=True
    ):
        inside = first <= mean <= last
        shown, *interval = np.clip([mean, low, high], first, last)
        line, point = ([place, place], interval)[::step], ([place], [shown])[::step]
        axes.plot(*line, color=look.colour, linewidth=0.9, zorder=2)
        marker = look.marker if inside else arrows[int(mean > 0)]
        fill = look.colour if p < LEVEL else "white"
        style: dict[str, Any] = {"color": look.colour, "markersize": 3.4, "markeredgewidth": 0.9}
        axes.plot(*point, marker=marker, mfc=fill, clip_on=inside, zorder=3, **style)


def named_rows(axes: Axes, names: Sequence[str]) -> None:
    """Rows of a panel from above, each with the name of its pruner beside it."""
    axes.set_yticks(range(len(names)), [label(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def asides(count: int, spread: float) -> Values:
    """Places (count,) beside each other around 0, from first to last ``spread`` apart."""
    return spread * (np.arange(count) - (count - 1) / 2) / max(1, count - 1)


def significance() -> list[Artist]:
    """The legend's entries of `differences`: filled and hollow."""
    style = {"linestyle": "", "marker": "o", "color": "#555555", "markersize": 3.4}
    return [handle(f"p < {LEVEL}", **style), handle("not decided", mfc="white", **style)]


def log_axis(axes: Axes, which: Literal["x", "y"] = "y") -> None:
    """Make an axis logarithmic, with ticks such as 3 or 0.15: few axes span a whole decade."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
