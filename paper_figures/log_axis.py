"""A logarithmic axis of errors with plain numbers, since they rarely span a whole decade."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

TICKS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)


def plain_log_axis(axes: Axes) -> None:
    """Make the vertical axis logarithmic, with ticks such as 3 or 0.15 rather than powers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=TICKS))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
