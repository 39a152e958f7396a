"""Does a score see what the mean error hides? How well it ranks windows that hold an incident.

ST-Prune argues that a mean over many calm nodes masks a local anomaly ("averaging masking").
Simulated data list their anomalies, so the claim can be measured: by the chance that a window
with an incident scores above one without.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from stprune.base.errors import DataError


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
