"""One random subset, drawn before training and kept: the floor of every static method.

Paper: none (the uniform baseline of DeepCore, Guo et al. 2022). Venue: none.
Official code: none. Where we differ: the size is exact.
"""

import numpy as np

from stprune.base.schema import StrictModel
from stprune.pruning.base import Pruner, PruningContext, Selection, budget


class RandomStatic(Pruner):
    """Keeps the same K windows in every epoch."""

    def __init__(self, context: PruningContext, options: StrictModel) -> None:
        super().__init__(context, options)
        size = budget(context.windows, context.keep_ratio)
        self.subset = np.sort(self.rng.permutation(context.windows)[:size])

    def select(self, epoch: int) -> Selection:
        """The subset with weight 1."""
        return Selection(self.subset, np.ones(len(self.subset), dtype=np.float32))
