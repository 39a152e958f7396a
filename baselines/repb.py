"""RePB: compare losses within a few batches of one model state, weigh by how often one was kept.

Paper: Zhou et al., "Inconsistency biases in dynamic data pruning" (submitted as "Resolving pruning
biases"). Venue: ICLR 2026 (OpenReview Zw1Uw7u6Su). Official code: github.com/mrazhou/RePB, not
seen. Where we differ: formulas are not in the text that is public to us. Public are the ideas:
losses are compared only within short sequences of batches, in which the model hardly changes; there
is uniform resampling; a loss is weighed by how often its sample was selected so far. Our reading,
at an exact budget: of the windows of the last epoch those stay whose masked MAE is at least the
mean of their sequence of batches (where they exceed K, a random part), all others are drawn
uniformly to fill K; in epoch e, from 0, a window that is kept for the v-th time weighs (e + 1) / v.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from stprune.pruning.base import LossScale, PruningContext, Selection, scale_weights
from stprune.pruning.dynamic import ScheduleOptions, ScoringPruner
from stprune.pruning.selection import largest

# A visit is numbered by its epoch, times this, plus the batch within the epoch.
EPOCH = 2**32


class RePBOptions(ScheduleOptions):
    """The length of a sequence, and the scale of weights."""

    batches: int = Field(8, ge=1, description="Batches whose losses are compared.")
    loss_scale: LossScale = Field("mean", description="`mean` rescales an epoch's weights to 1.")


def informative(losses: NDArray[np.float32], sequences: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) whether a loss is no less than its sequence's mean; never for sequence -1, unvisited."""
    finite = np.isfinite(losses) & (sequences >= 0)
    count = np.bincount(sequences[finite], minlength=max(1, sequences.max() + 1))
    mean = np.bincount(sequences[finite], losses[finite], len(count)) / np.maximum(count, 1)
    return (sequences >= 0) & ~(losses < mean[sequences].astype(np.float32))


class RePB(ScoringPruner):
    """Remembers each window's loss, when it was visited last, and how often."""

    Options = RePBOptions
    options: RePBOptions

    def __init__(self, context: PruningContext, options: RePBOptions) -> None:
        super().__init__(context, options)
        last = torch.full((context.windows,), -1, device=context.device)
        self.window_state |= {"last": last, "visits": torch.zeros_like(last)}
        self._visit = 0

    def select(self, epoch: int) -> Selection:
        """See :meth:`DynamicPruner.select`; batches are counted anew."""
        self._visit = epoch * EPOCH
        return super().select(epoch)

    def choose(self, epoch: int, size: int) -> Selection:
        """Informative windows first, the rest at random."""
        names = ("scores", "last", "visits")
        scores, last, visits = (self.window_state[name].cpu().numpy() for name in names)
        sequences = last % EPOCH // self.options.batches
        first = informative(scores, np.where(last // EPOCH == epoch - 1, sequences, -1))
        kept = np.sort(largest(first.astype(np.float32), size, self.rng))
        weights = ((epoch + 1) / (visits[kept] + 1)).astype(np.float32)
        return Selection(kept, scale_weights(weights, self.options.loss_scale))

    def observe(self, indices: Tensor, errors: Tensor, mask: Tensor) -> None:
        """Remember losses and the batch; count visits."""
        super().observe(indices, errors, mask)
        self.window_state["last"][indices] = self._visit
        self.window_state["visits"][indices] += 1
        self._visit += 1
