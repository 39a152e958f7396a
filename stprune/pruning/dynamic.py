"""What dynamic pruners share: when to prune, and a new choice before every pruned epoch."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from stprune.base.schema import StrictModel
from stprune.pruning.base import Pruner, PruningContext, Selection, budget, everything, window_mae

Annealing = Literal["none", "tail", "cosine"]


def tail_start(epochs: int, delta: float) -> int:
    """First epoch of the full-data tail: the last ceil((1 - delta) E) epochs are full."""
    # The small amount guards against rounding, not against real fractions.
    return epochs - math.ceil((1.0 - delta) * epochs - 1e-9)


class ScheduleOptions(StrictModel):
    """When to prune."""

    annealing: Annealing = Field("tail", description="Return to full data at the end.")
    delta: float = Field(0.875, gt=0, le=1, description="Share of the epochs before the tail.")


class DynamicPruner(Pruner):
    """Passes over all windows first, then chooses K of them before each epoch, then anneals."""

    Options: ClassVar[type[StrictModel]] = ScheduleOptions
    options: ScheduleOptions

    @property
    def full_first_epoch(self) -> bool:
        """Whether the first epoch is a pass over all windows, as scoring them needs."""
        return True

    @abstractmethod
    def choose(self, epoch: int, size: int) -> Selection:
        """The K windows of a pruned epoch; ``size`` is K, 1 to n - 1."""

    def epoch_windows(self, epoch: int, epochs: int) -> int:
        """n in the first epoch, then K by the schedule."""
        return budget(self.context.windows, self.keep_ratio(epoch, epochs))

    def keep_ratio(self, epoch: int, epochs: int) -> float:
        """Share of the windows that ``epoch`` is to visit.

        ``tail`` returns to full data for the last (1 - delta) share of epochs (InfoBatch, Qin et
        al. 2024); ``cosine`` rises from r to 1 over the last third; ``none`` stays at r. This is
        our reading for ST-Prune, whose own schedule is not public.
        """
        ratio, annealing = self.context.keep_ratio, self.options.annealing
        start = epochs - max(1, epochs // 3)
        if epoch == 0 and self.full_first_epoch:
            return 1.0
        if annealing == "tail" and epoch >= tail_start(epochs, self.options.delta):
            return 1.0
        if annealing == "cosine" and epoch >= start:
            progress = (epoch - start + 1) / (epochs - start)
            return ratio + (1.0 - ratio) * 0.5 * (1.0 - math.cos(math.pi * progress))
        return ratio

    def select(self, epoch: int) -> Selection:
        """All windows where the schedule says so, else a new choice."""
        size = self.epoch_windows(epoch, self.epochs)
        if size == self.context.windows:
            return everything(size)
        return self.choose(epoch, size)


class MeanErrorPruner(DynamicPruner):
    """A dynamic pruner that keeps a running mean of each window's masked MAE.

    Its window state is ``means``, +inf before the first visit, and ``visits``.
    """

    def __init__(self, context: PruningContext, options: ScheduleOptions) -> None:
        super().__init__(context, options)
        # Unseen windows come first.
        means = torch.full((context.windows,), float("inf"), device=context.device)
        self.window_state |= {"means": means, "visits": torch.zeros_like(means)}

    def observe(self, indices: Tensor, errors: Tensor, mask: Tensor) -> None:
        """Add each window's masked MAE to its running mean."""
        means, visits = self.window_state["means"], self.window_state["visits"]
        visits[indices] += 1
        new = window_mae(errors, mask)
        old = torch.where(visits[indices] > 1, means[indices], new)
        means[indices] = old + (new - old) / visits[indices]
