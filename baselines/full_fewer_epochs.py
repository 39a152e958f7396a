"""Full data for fewer epochs, at the cost of pruning: a control, not a method.

Paper: none; a control that ``docs/method.md`` asks of every trade-off plot. Venue: none.
Official code: none. Where we differ: nowhere.
"""

from pydantic import Field

from baselines.full import Full
from stprune.base.schema import StrictModel
from stprune.pruning.dynamic import tail_start


class FewerEpochsOptions(StrictModel):
    """Which schedule's cost is to be matched."""

    full_first_epoch: bool = Field(True, description="The pruned schedule starts with a full pass.")
    delta: float = Field(0.875, gt=0, le=1, description="Its share of epochs before the tail.")


class FullFewerEpochs(Full):
    """Trains on all windows for as many epochs as the pruned schedule costs.

    That is one full first epoch, a tail of full epochs, and r of an epoch for each of the rest, in
    whole epochs. Under any other budget than epochs this is full training.
    """

    Options = FewerEpochsOptions
    uses_prune_ratio = True
    options: FewerEpochsOptions

    def planned_epochs(self) -> int:
        """Epochs whose windows add up to those of the pruned schedule (at least 1)."""
        epochs = self.epochs
        first_pruned = int(self.options.full_first_epoch)
        pruned = max(0, tail_start(epochs, self.options.delta) - first_pruned)
        return max(1, round(epochs - pruned + pruned * self.context.keep_ratio))
