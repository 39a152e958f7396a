"""How much windows share: each step of the series is in many of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def window_overlap(starts: NDArray[np.int64], length: int) -> pd.DataFrame:
    """One row for each stride 1, 2, ... up to the length of a window.

    Args:
        starts: (n,) int64, rising, first steps of all windows.
        length: Steps of a window.

    Returns:
        Columns `stride` (every so many-th window is kept), `windows` (that are), `overlap` (mean
        share of a window's steps that the next one has too), `times_seen` (windows that a step
        is in, averaged over those that are in any); `overlap` is empty for a single window.
    """
    rows = []
    for stride in range(1, length + 1):
        kept = starts[::stride]
        shared = np.clip(length - np.diff(kept), 0, None)
        covered = length * len(kept) - int(shared.sum())
        overlap = float(shared.mean()) / length if len(shared) else np.nan
        rows.append((stride, len(kept), overlap, length * len(kept) / covered))
    return pd.DataFrame(rows, columns=["stride", "windows", "overlap", "times_seen"])
