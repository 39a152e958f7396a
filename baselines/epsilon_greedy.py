"""Epsilon-greedy: keep the windows with the largest mean error, and some at random.

Paper: Raju, Daruwalla, Lipasti, "Accelerating deep learning with dynamic data pruning".
Venue: arXiv 2111.12621, 2021. Official code: none known.
Where we differ: regression reading, the reward of a visit is the window's masked MAE; exactly the
share epsilon of each budget explores, instead of one in expectation; the full first epoch and tail
of the other methods.
"""

import numpy as np
from pydantic import Field

from stprune.pruning.base import Selection
from stprune.pruning.dynamic import MeanErrorPruner, ScheduleOptions


class EpsilonGreedyOptions(ScheduleOptions):
    """How much to explore, and when to prune."""

    epsilon: float = Field(0.1, ge=0, le=1, description="Share of the budget drawn at random.")


class EpsilonGreedy(MeanErrorPruner):
    """Keeps a running mean error of each window and selects anew before each pruned epoch."""

    Options = EpsilonGreedyOptions
    options: EpsilonGreedyOptions

    def choose(self, epoch: int, size: int) -> Selection:
        """The largest means, ties to the earlier, and round(epsilon K) others; weight 1."""
        ranked = np.argsort(-self.window_state["means"].cpu().numpy(), kind="stable")
        greedy = size - round(self.options.epsilon * size)
        drawn = self.rng.permutation(ranked[greedy:])[: size - greedy]
        kept = np.sort(np.concatenate([ranked[:greedy], drawn])).astype(np.int64)
        return Selection(kept, np.ones(size, dtype=np.float32))
