"""Herding: keep the windows whose mean follows the mean of all.

Paper: Welling, "Herding dynamical weights to learn". Venue: ICML 2009. Official code: none; a
common form is in github.com/PatrickZH/DeepCore (Guo et al. 2022).
Where we differ: regression reading, windows are embedded by the randomly projected gradient of
the last layer, instead of the features of a classifier, and are chosen within blocks of
consecutive windows instead of within classes; no window is chosen twice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stprune.pruning.static import BlockPruner, Picked


def herd(embeddings: NDArray[np.float32], size: int) -> Picked:
    """Each next row is the one that best makes up for what the chosen lack of the mean.

    Returns k of m distinct rows in the order of choice, and weights of 1.
    """
    rows = embeddings.astype(np.float64)
    mean = rows.mean(0)
    lack = mean.copy()
    open_rows = np.zeros(len(rows))
    chosen = np.empty(size, dtype=np.int64)
    for step in range(size):
        best = int(np.argmax(rows @ lack + open_rows))
        chosen[step] = best
        open_rows[best] = -np.inf
        lack += mean - rows[best]
    return chosen, np.ones(size)


class Herding(BlockPruner):
    """Keeps K windows that follow the mean gradient of their blocks, with weight 1."""

    def pick(self, rows: NDArray[np.float32], size: int) -> Picked:
        """Herd a block."""
        return herd(rows, size)
