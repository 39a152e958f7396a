"""Heat maps: colours around a neutral middle, and hatching where there is nothing to show."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

# Purple for less, orange for more: a pair that the colour-blind can tell apart (Brewer, 2003).
COLOURS = "PuOr_r"
Values = NDArray[np.float64]


def symmetric(values: Values, least: float = 0.0) -> Normalize:
    """A scale with 0 in the middle that holds every finite value.

    Args:
        values: Any shape; NaN for what is not there.
        least: The scale reaches at least so far to both sides.
    """
    finite = np.abs(values[np.isfinite(values)])
    limit = max(float(finite.max(initial=0.0)), least) or 1.0
    return Normalize(-limit, limit)


def draw_cells(axes: Axes, values: Values, scale: Normalize) -> QuadMesh:
    """Draw one cell a value, the first row on top; cells with NaN stay hatched.

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
    """Write a word into each cell that is not hatched, in black or white, whichever can be read.

    Args:
        axes: Those of `draw_cells`.
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


def empty_figure(width: float, reason: str, x: str, y: str) -> Figure:
    """A figure with one panel in which nothing but the reason stands why it is empty.

    Args:
        width: In inches.
        reason: One sentence.
        x: Label of the horizontal axis.
        y: Label of the vertical axis.
    """
    figure = Figure(figsize=(width, 1.6))
    axes = figure.subplots()
    axes.text(0.5, 0.5, reason, ha="center", va="center", transform=axes.transAxes, wrap=True)
    axes.set(xlabel=x, ylabel=y, xticks=[], yticks=[])
    return figure
