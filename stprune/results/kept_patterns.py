"""What the archives of kept windows say: when those windows are, and how far two choices agree."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

HOURS, WEEKDAYS = 24, 7
# 1970-01-01, day 0 of NumPy, was a Thursday.
FIRST_WEEKDAY = 3


def pruned_runs(summary: pd.DataFrame) -> pd.DataFrame:
    """The rows of runs that left windows out in at least one epoch."""
    left_out = (summary["realised_keep_ratio"] < 1) & (summary["prune_ratio"] > 0)
    return summary[left_out]


def pruned_epochs(kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Numbers of the epochs that left a window out, of an archive (epochs, n)."""
    return np.flatnonzero(~kept.all(axis=1))


def calendar_share(
    kept: NDArray[np.bool_], times: NDArray[np.datetime64]
) -> NDArray[np.float64] | None:
    """How often the windows of each hour of the week were kept, against all windows.

    Args:
        kept: (epochs, n), True where the epoch visited the window; full epochs are left out.
        times: (n,) first target step of each window.

    Returns:
        (7, 24), Monday first: mean share of pruned epochs that kept a window of this weekday and
        hour, over the same mean of all windows; 1 is as often as at random, NaN means that no
        window starts then. None where no epoch was pruned.
    """
    epochs = pruned_epochs(kept)
    if not len(epochs):
        return None
    share: NDArray[np.float64] = kept[epochs].mean(axis=0)
    hours = times.astype("datetime64[h]").astype(np.int64)
    cell = (hours // HOURS + FIRST_WEEKDAY) % WEEKDAYS * HOURS + hours % HOURS
    cells = WEEKDAYS * HOURS
    total, count = np.bincount(cell, share, cells), np.bincount(cell, minlength=cells)
    mean = np.divide(total, count, out=np.full(cells, np.nan), where=count > 0)
    relative: NDArray[np.float64] = (mean / share.mean()).reshape(WEEKDAYS, HOURS)
    return relative


def overlaps(kept: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Jaccard overlap (1912) of every two choices, and what two random ones would have.

    Args:
        kept: (R, n), one choice of windows a row, none of them empty.

    Returns:
        (R, R) windows that both kept over windows that either kept; and (R, R) that of two
        independent random choices of the same sizes: with a and b of n windows they share a b / n
        on average, so a b / n over a + b - a b / n (exact for large n).
    """
    # Sums of at most n ones: exact in float32 up to 2 ** 24 windows.
    rows = kept.astype(np.float32)
    both = (rows @ rows.T).astype(np.float64)
    sizes = both.diagonal()
    together = sizes[:, None] + sizes[None, :]
    chance = np.outer(sizes, sizes) / kept.shape[1]
    return both / (together - both), chance / (together - chance)
