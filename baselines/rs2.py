"""RS2: fresh random windows every epoch, none of them twice before all were visited once.

Paper: Okanovic et al., "Repeated random sampling for minimizing the time-to-accuracy of learning".
Venue: ICLR 2024 (arXiv 2305.18424). Official code: none used.
Where we differ: the schedule (a full first epoch and a full-data tail) and the exact budget are
those of the other methods, so that it differs from `random_dynamic` in coverage alone; where the
windows left of a round do not fill an epoch, the next round fills it.
"""

import numpy as np
import torch
from torch import Tensor

from stprune.pruning.base import PruningContext, Selection
from stprune.pruning.dynamic import DynamicPruner, ScheduleOptions
from stprune.pruning.selection import largest


class RS2(DynamicPruner):
    """Keeps the K windows that were visited least before each pruned epoch, ties at random."""

    def __init__(self, context: PruningContext, options: ScheduleOptions) -> None:
        super().__init__(context, options)
        self.window_state["visits"] = torch.zeros(context.windows, device=context.device)

    def choose(self, epoch: int, size: int) -> Selection:
        """The least visited windows, weight 1."""
        visits = self.window_state["visits"].cpu().numpy()
        kept = np.sort(largest(-visits, size, self.rng))
        return Selection(kept, np.ones(size, dtype=np.float32))

    def observe(self, indices: Tensor, errors: Tensor, mask: Tensor) -> None:
        """Count visits."""
        self.window_state["visits"][indices] += 1
