"""Means of several short steps, where some of them may be missing."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Rounding = Literal["none", "nearest"]


def step_means(
    table: NDArray[np.float64], count: int, rounding: Rounding = "none"
) -> NDArray[np.float64]:
    """The mean of each ``count`` rows that follow each other.

    Missing values do not count: the mean is over those that were observed, and missing only where
    none was.

    Args:
        table: (rows, N), NaN where missing; ``count`` divides the number of rows.
        count: How many rows make one.
        rounding: ``nearest`` for whole numbers, halves to the even one.

    Returns:
        (rows / count, N) float64, NaN where nothing was observed.
    """
    grouped = table.reshape(len(table) // count, count, table.shape[1])
    missing = np.isnan(grouped)
    observed = count - missing.sum(axis=1)
    total = np.where(missing, 0.0, grouped).sum(axis=1)
    means: NDArray[np.float64] = np.full(total.shape, np.nan)
    np.divide(total, observed, out=means, where=observed > 0)
    return np.round(means) if rounding == "nearest" else means
