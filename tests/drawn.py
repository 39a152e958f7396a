"""The numbers that stand in the panels of a figure."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.container import ErrorbarContainer
from numpy.typing import NDArray


def cells(axes: Axes) -> np.ma.MaskedArray:
    """The values of a heat map."""
    (mesh,) = [part for part in axes.collections if isinstance(part, QuadMesh)]
    return mesh.get_array()


def lines(axes: Axes, colour: str | None = None) -> list[NDArray[np.float64]]:
    """The points of every line, or of those of a colour."""
    chosen = [line for line in axes.lines if colour in (None, line.get_color())]
    return [np.asarray(line.get_xydata(), dtype=np.float64) for line in chosen]


def bars(axes: Axes) -> list[NDArray[np.float64]]:
    """The points of every line that is drawn with error bars."""
    drawn = [part.lines[0] for part in axes.containers if isinstance(part, ErrorbarContainer)]
    return [np.asarray(line.get_xydata(), dtype=np.float64) for line in drawn]
