"""Herding: keep the windows whose mean follows the mean of all.

Paper: Welling, "Herding dynamical weights to learn". Venue: ICML 2009. Official code: none; a
common form is in github.com/PatrickZH/DeepCore (Guo et al. 2022).
Where we differ: windows are embedded by the randomly projected gradient of the last layer and
chosen within blocks of consecutive windows instead of within classes; none is chosen twice.
"""

import numpy as np
from numpy.typing import NDArray

from stprune.pruning.static import BlockPruner, Picked


class Herding(BlockPruner):
    """Keeps K windows that follow the mean gradient of their blocks, with weight 1."""

    @staticmethod
    def pick(rows: NDArray[np.float64], size: int) -> Picked:
        """Each next row is the one that best makes up for what the chosen lack of the mean."""
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
