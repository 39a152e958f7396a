"""Fresh random windows every epoch: the control that every dynamic method must beat.

Paper: none (the random baseline of Raju et al. 2021, "Accelerating deep learning with dynamic
data pruning"). Venue: arXiv 2111.12621. Official code: none known. Where we differ: exact
budget, and by default the schedule of the methods it controls for (a full first epoch and a
full-data tail), so that all take the same number of steps.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from stprune.pruners.base import (
    Annealing,
    Pruner,
    Selection,
    annealed_budget,
    everything,
)
from stprune.schema import StrictModel


class RandomDynamicOptions(StrictModel):
    """When to prune."""

    full_first_epoch: bool = Field(True, description="Start with a full pass, as scorers must.")
    annealing: Annealing = Field("tail", description="Return to full data at the end.")
    delta: float = Field(0.875, gt=0, le=1, description="Share of the epochs before the tail.")


class RandomDynamic(Pruner):
    """Draws K windows uniformly without replacement before every pruned epoch."""

    Options = RandomDynamicOptions
    options: RandomDynamicOptions

    def select(self, epoch: int) -> Selection:
        """A new subset with weight 1."""
        options, context = self.options, self.context
        if epoch == 0 and options.full_first_epoch:
            return everything(context.windows)
        size = annealed_budget(context, epoch, options.annealing, options.delta)
        if size == context.windows:
            return everything(context.windows)
        indices = np.sort(self.rng.permutation(context.windows)[:size])
        return Selection(indices, np.ones(size, dtype=np.float32))
