"""A logarithmic axis with plain numbers, since errors and times rarely span a whole decade."""

from __future__ import annotations

from typing import Literal

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

TICKS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)


def plain_log_axis(axes: Axes, which: Literal["x", "y"] = "y") -> None:
    """Make an axis logarithmic, with ticks such as 3 or 0.15 rather than powers."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=TICKS))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
