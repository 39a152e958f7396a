"""Full data for fewer epochs, at the cost of pruning: a control, not a method.

Paper: none; a control that ``docs/method.md`` asks of every trade-off plot. Venue: none.
Official code: none. Where we differ: nowhere.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from stprune.base.schema import StrictModel
from stprune.pruning.base import Pruner, Selection, everything
from stprune.pruning.dynamic import tail_start


class FewerEpochsOptions(StrictModel):
    """Which schedule's cost is to be matched."""

    full_first_epoch: bool = Field(True, description="The pruned schedule starts with a full pass.")
    delta: float = Field(0.875, gt=0, le=1, description="Its share of epochs before the tail.")


class FullFewerEpochs(Pruner):
    """Trains on all windows for as many epochs as the pruned schedule costs.

    The cost of the pruned schedule is one full first epoch, a tail of full epochs, and r of an
    epoch for each of the rest; it is rounded to whole epochs.
    """

    Options = FewerEpochsOptions
    draws: ClassVar[bool] = False
    options: FewerEpochsOptions

    def planned_epochs(self) -> int:
        """Epochs whose windows add up to those of the pruned schedule (at least 1)."""
        epochs = self.epochs
        first_pruned = 1 if self.options.full_first_epoch else 0
        pruned = max(0, tail_start(epochs, self.options.delta) - first_pruned)
        return max(1, round(epochs - pruned + pruned * self.context.keep_ratio))

    def epoch_windows(self, epoch: int, epochs: int) -> int:
        """n: so under any other budget than epochs it is full training."""
        return self.context.windows

    def select(self, epoch: int) -> Selection:
        """All windows with weight 1."""
        return everything(self.context.windows)
