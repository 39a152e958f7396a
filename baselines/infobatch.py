"""InfoBatch: prune some of the below-mean windows at random, weigh up the ones that stay.

Paper: Qin et al., "InfoBatch: lossless training speed up by unbiased dynamic data pruning".
Venue: ICLR 2024. Official code: github.com/NUS-HPC-AI-Lab/InfoBatch.
Where we differ: (1) `prune_ratio` always means the share removed; (2) draws come from the
run's private generator (the released code reseeds numpy's global one with the epoch number);
(3) the tail starts at a whole epoch, and its weights are 1 (the released test for it is never
true when epochs x delta is fractional, which leaves stale weights); (4) unseen windows are
kept, not scored 3.0; (5) `exact` budget, our default, for comparisons at equal time.
"""

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from stprune.pruning.base import LossScale, Selection, budget, scale_weights
from stprune.pruning.dynamic import ScheduleOptions, ScoringPruner


class InfoBatchOptions(ScheduleOptions):
    """The published rule and its budget."""

    budget: Literal["exact", "original"] = Field(
        "exact",
        description="`exact` visits round(r n) windows; `original` prunes a share p of the"
        " below-mean windows only, so that it removes less than p in all.",
    )
    loss_scale: LossScale = Field("sum", description="`sum` leaves the weights as published.")


def infobatch_select(
    scores: NDArray[np.float32],
    prune_ratio: float,
    rng: np.random.Generator,
    rule: Literal["exact", "original"],
) -> Selection:
    """Choose windows by their last losses (n,), +inf for unseen.

    ``original``: of the m windows below the mean, int((1 - p) m) are kept, with weight 1 / (1 - p),
    and all others. ``exact``: all others, and as many below the mean as K allows, which weigh m
    over their number; where the others exceed K, K windows of all, uniformly, with weight n / K.
    """
    windows = len(scores)
    # An unseen (infinite) score must not make the mean infinite.
    seen = np.isfinite(scores)
    mean = scores[seen].mean(dtype=np.float64) if seen.any() else -np.inf
    below = np.flatnonzero(scores < mean)
    above = np.flatnonzero(~(scores < mean))
    if rule == "original":
        # (1 - 0.9) * 10 is a little below 1, which is no reason to keep none.
        kept_below = math.floor((1.0 - prune_ratio) * len(below) + 1e-9)
        weight = 1.0 / (1.0 - prune_ratio)
    else:
        size = budget(windows, 1.0 - prune_ratio)
        if size < len(above):
            indices = rng.permutation(windows)[:size]
            return Selection(np.sort(indices), np.full(size, windows / size, dtype=np.float32))
        kept_below = size - len(above)
        weight = len(below) / kept_below if kept_below else 1.0
    chosen = rng.permutation(below)[:kept_below]
    indices = np.concatenate([above, chosen])
    weights = np.ones(len(indices), dtype=np.float32)
    weights[len(above) :] = weight
    order = np.argsort(indices)
    return Selection(indices[order], weights[order])


class InfoBatch(ScoringPruner):
    """Applies the rule to the last loss of each window before each pruned epoch."""

    Options = InfoBatchOptions
    options: InfoBatchOptions

    def epoch_windows(self, epoch: int, epochs: int) -> int:
        """K by the schedule; by the original rule what the last scores let expect."""
        size = super().epoch_windows(epoch, epochs)
        windows = self.context.windows
        if self.options.budget == "exact" or size == windows:
            return size
        scores = self.window_state["scores"].cpu()
        seen = scores[torch.isfinite(scores)]
        # Before anything is seen, half of the windows are taken to lie below the mean.
        below = float((seen < seen.mean()).float().mean()) if len(seen) else 0.5
        return windows - round(below * (windows - size))

    def choose(self, epoch: int, size: int) -> Selection:
        """Keep windows as :func:`infobatch_select`, with its weights scaled by `loss_scale`."""
        scores = self.window_state["scores"].cpu().numpy()
        keep_ratio, context = self.keep_ratio(epoch, self.epochs), self.context
        # 1 - (1 - p) is not always p, which could round to another number of windows.
        annealed = keep_ratio != context.keep_ratio
        prune_ratio = 1.0 - keep_ratio if annealed else context.prune_ratio
        chosen = infobatch_select(scores, prune_ratio, self.rng, self.options.budget)
        return Selection(chosen.indices, scale_weights(chosen.weights, self.options.loss_scale))
