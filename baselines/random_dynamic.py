"""Fresh random windows every epoch: the control that every dynamic method must beat.

Paper: none (the random baseline of Raju et al. 2021, "Accelerating deep learning with dynamic
data pruning"). Venue: arXiv 2111.12621. Official code: none known. Where we differ: exact
budget, and by default the schedule of the methods it controls for, so that all take as many steps.
"""

import numpy as np
from pydantic import Field

from stprune.pruning.base import LossScale, Selection
from stprune.pruning.dynamic import DynamicPruner, ScheduleOptions


class RandomDynamicOptions(ScheduleOptions):
    """When to prune, and what a window weighs."""

    full_first_epoch: bool = Field(True, description="Start with a full pass, as scorers must.")
    loss_scale: LossScale = Field("mean", description="Weight 1, or n / K as InfoBatch.")


class RandomDynamic(DynamicPruner):
    """Draws K windows uniformly without replacement before every pruned epoch."""

    Options = RandomDynamicOptions
    options: RandomDynamicOptions

    @property
    def first_pruned(self) -> int:
        """See :attr:`DynamicPruner.first_pruned`; nothing needs to be scored here."""
        return int(self.options.full_first_epoch)

    def choose(self, epoch: int, size: int) -> Selection:
        """A new subset, all of one weight."""
        windows = self.context.windows
        indices = np.sort(self.rng.permutation(windows)[:size])
        weight = windows / size if self.options.loss_scale == "sum" else 1.0
        return Selection(indices, np.full(size, weight, dtype=np.float32))
