"""Does a score see what the mean error hides? How well it ranks windows that hold an incident.

ST-Prune argues that a mean over many calm nodes masks a local anomaly ("averaging masking").
Simulated data list their anomalies, so the claim can be measured: by the chance that a window
with an incident scores above one without.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from stprune.base.errors import DataError


def incident_windows(
    events: pd.DataFrame, starts: NDArray[np.int64], *, history: int, horizon: int
) -> NDArray[np.bool_]:
    """Which windows have an incident among their target steps, which their errors come from.

    Args:
        events: One incident a row; `first_step` and `last_step` count from the first step of
            the series, both included.
        starts: (n,) first input step of each window.
        history: T, input steps.
        horizon: H, target steps.

    Returns:
        (n,) bool.

    Raises:
        DataError: If the data set lists no incidents.
    """
    if not {"first_step", "last_step"} <= set(events.columns):
        raise DataError("the data set lists no incidents with first_step and last_step")
    first_target = starts + history
    last_target = first_target + horizon - 1
    touched = np.zeros(len(starts), dtype=bool)
    for begin, end in zip(events["first_step"], events["last_step"], strict=True):
        touched |= (first_target <= end) & (last_target >= begin)
    return touched


def ranking_auc(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve (Mann and Whitney 1947): 0.5 is chance, ties count half.

    Args:
        scores: (n,) finite.
        positive: (n,) bool.

    Returns:
        The chance that a positive window scores above another; in [0, 1].

    Raises:
        DataError: If all windows are positive, or none.
    """
    count = int(positive.sum())
    others = len(positive) - count
    if not count or not others:
        raise DataError(f"{count} of {len(positive)} windows are positive; both kinds are needed")
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))
