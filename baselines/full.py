"""Full training: every window in every epoch, the reference of every comparison.

Paper: none. Venue: none. Official code: none. Where we differ: nowhere.
"""

from stprune.pruning.base import Pruner, Selection, everything


class Full(Pruner):
    """Keeps everything, whatever the prune ratio."""

    uses_prune_ratio = False
    draws = False

    def epoch_windows(self, epoch: int, epochs: int) -> int:
        """n in every epoch."""
        return self.context.windows

    def select(self, epoch: int) -> Selection:
        """All windows with weight 1."""
        return everything(self.context.windows)
