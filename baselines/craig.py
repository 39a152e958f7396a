"""CRAIG: keep medoids of the gradients, each weighted by the windows that it stands for.

Paper: Mirzasoleiman, Bilmes, Leskovec, "Coresets for data-efficient training of machine
learning models". Venue: ICML 2020. Official code: github.com/baharanm/craig.
Where we differ: regression reading, a window's gradient is that of its masked MAE at the last
layer, randomly projected; medoids are chosen once, within blocks of consecutive windows instead
of within classes, and not lazily; an epoch's weights are rescaled to mean 1 by default.
"""

import numpy as np
from numpy.typing import NDArray

from stprune.pruning.static import BlockPruner, Picked, WeightedBlockOptions


class Craig(BlockPruner):
    """Keeps K medoids with the sizes of their clusters as weights."""

    Options = WeightedBlockOptions

    @staticmethod
    def pick(rows: NDArray[np.float64], size: int) -> Picked:
        """Greedy maximum of the sum over rows of the similarity to the nearest chosen row.

        Similarity is the largest distance less the distance; a weight is how many rows a chosen one
        is the nearest of, itself included.
        """
        norms = np.square(rows).sum(1)
        squares = norms[:, None] + norms - 2.0 * rows @ rows.T
        np.fill_diagonal(squares, 0.0)
        distance = np.sqrt(np.maximum(squares, 0.0)).astype(np.float32)
        similarity = distance.max() - distance
        served = np.zeros(len(rows), dtype=np.float32)
        taken = np.zeros(len(rows), dtype=bool)
        chosen = np.empty(size, dtype=np.int64)
        for step in range(size):
            gains = np.maximum(similarity, served).sum(1)
            gains[taken] = -np.inf
            best = int(np.argmax(gains))
            chosen[step], taken[best] = best, True
            served = np.maximum(served, similarity[best])
        nearest = np.argmax(similarity[chosen], axis=0)
        # Of equal rows each stands for itself.
        nearest[chosen] = np.arange(size)
        return chosen, np.bincount(nearest, minlength=size).astype(np.float64)
