"""k-center: keep windows such that no other is far from the nearest kept one.

Paper: Sener, Savarese, "Active learning for convolutional neural networks: a core-set
approach". Venue: ICLR 2018. Official code: github.com/ozansener/active_learning_coreset.
Where we differ: the greedy rule (Gonzalez 1985) without the integer programme that refines it;
windows are embedded by the randomly projected gradient of the last layer and chosen within blocks
of consecutive windows, as one farthest-first pass over all would take n K steps.
"""

import numpy as np
from numpy.typing import NDArray

from stprune.pruning.static import BlockPruner, Picked


class KCenter(BlockPruner):
    """Keeps K windows that cover their blocks, with weight 1."""

    @staticmethod
    def pick(rows: NDArray[np.float64], size: int) -> Picked:
        """Begin with the row nearest the mean, then always take that farthest from the chosen."""
        nearest = np.full(len(rows), np.inf)
        chosen = np.empty(size, dtype=np.int64)
        best = int(np.argmin(np.square(rows - rows.mean(0)).sum(1)))
        for step in range(size):
            chosen[step] = best
            nearest = np.minimum(nearest, np.square(rows - rows[best]).sum(1))
            # Copies of a chosen row have distance 0 as well, but may still be taken.
            nearest[chosen[: step + 1]] = -1.0
            best = int(np.argmax(nearest))
        return chosen, np.ones(size)
