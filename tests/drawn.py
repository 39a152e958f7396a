"""The numbers that stand in the panels of a figure."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.container import ErrorbarContainer
from numpy.typing import NDArray


def cells(axes: Axes) -> np.ma.MaskedArray:
    """The values of a heat map."""
    (mesh,) = [part for part in axes.collections if isinstance(part, QuadMesh)]
    values = mesh.get_array()
    assert isinstance(values, np.ma.MaskedArray)
    return values


def lines(axes: Axes) -> list[NDArray[np.float64]]:
    """The points of every line."""
    return [np.asarray(line.get_xydata(), dtype=np.float64) for line in axes.lines]


def bars(axes: Axes) -> list[NDArray[np.float64]]:
    """The points of every line that is drawn with error bars."""
    drawn = [part.lines[0] for part in axes.containers if isinstance(part, ErrorbarContainer)]
    return [np.asarray(line.get_xydata(), dtype=np.float64) for line in drawn]


def alone(axes: Axes, colour: str) -> list[tuple[float, float]]:
    """Markers of a colour that stand alone."""
    drawn = zip(axes.lines, lines(axes), strict=True)
    found = [line for own, line in drawn if own.get_color() == colour and len(line) == 1]
    return [(float(line[0, 0]), float(line[0, 1])) for line in found]
