"""The axis of a difference in percent, which a few that lose much must not flatten."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

# The axis ends at so many times the median of the intervals' far ends, where the worst mean lies
# beyond twice that.
OFF_SCALE = 3.0
MARGIN = 0.06


class DifferenceAxis(NamedTuple):
    """Ends of the axis in percent, 0 between them; whether a mean lies beyond them."""

    low: float
    high: float
    beyond: bool

    def holds(self, value: float) -> bool:
        """Whether ``value`` can be shown."""
        return self.low <= value <= self.high


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
