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

from stprune.pruning.base import Probe, Selection
from stprune.pruning.static import BlockOptions, EmbeddingPruner, choose_in_blocks


def herd(
    embeddings: NDArray[np.float32], size: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each next row is the one that best makes up for what the chosen lack of the mean.

    Args:
        embeddings: (m, P).
        size: k, 1 to m.

    Returns:
        (k,) distinct rows in the order of choice, and weights of 1.
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


class Herding(EmbeddingPruner):
    """Keeps K windows that follow the mean gradient of their blocks, with weight 1."""

    Options = BlockOptions

    def choose(self, probe: Probe) -> Selection:
        """Embed by one scoring model, then herd in every block."""
        kept, weights = choose_in_blocks(self.embed(probe), self.size, self.options.block, herd)
        return Selection(kept, weights.astype(np.float32))
