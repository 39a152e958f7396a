"""What dynamic pruners share: when to prune, and a new choice before every pruned epoch."""

import math
from abc import abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from stprune.base.schema import StrictModel
from stprune.pruning.base import Pruner, PruningContext, Selection, budget, everything, window_mae

Annealing = Literal["none", "tail", "cosine", "equal_cosine"]
# A constant, or where it begins and ends over the pruned epochs.
Course = float | tuple[float, float]


def tail_start(epochs: int, delta: float) -> int:
    """First epoch of the full-data tail: the last ceil((1 - delta) E) epochs are full."""
    # The small amount guards against rounding, not against real fractions.
    return epochs - math.ceil((1.0 - delta) * epochs - 1e-9)


def at_phase(course: Course, phase: float) -> float:
    """The value of a course at ``phase``, 0 (first pruned epoch) to 1 (last); linear between."""
    if not isinstance(course, tuple):
        return course
    first, last = course
    return first + (last - first) * phase


def rising_windows(pruned: int, windows: int, epochs: int, tail: int) -> list[int]:
    """Windows of ``epochs`` epochs, K = ``pruned`` at first, rising along half a cosine to n.

    They add up to what a schedule with ``tail`` full epochs visits. Half a cosine over s epochs is
    worth (s + 1) / 2 of them, hence s = 2 tail - 1; with fewer epochs the rise starts above K.
    """
    rise = min(2 * tail - 1, epochs)
    if rise < 1:
        return [pruned] * epochs
    shape = (1.0 - np.cos(np.pi * np.arange(1, rise + 1) / rise)) / 2
    if rise > tail:
        lift = (tail - (rise + 1) / 2) / (rise - (rise + 1) / 2)
        shape += (1.0 - shape) * lift
    else:
        shape[:] = 1.0
    # Rounding the running sum keeps the total; the small amount is for sums just below a half.
    running = np.floor((windows - pruned) * np.cumsum(shape) + 0.5 + 1e-6).astype(int)
    more = np.diff(running, prepend=0).tolist()
    return [pruned] * (epochs - rise) + [pruned + extra for extra in more]


class ScheduleOptions(StrictModel):
    """When to prune."""

    annealing: Annealing = Field(
        "tail",
        description="Return to full data at the end; `equal_cosine` visits what `tail` visits.",
    )
    delta: float = Field(0.875, gt=0, le=1, description="Share of the epochs before the tail.")


class DynamicPruner(Pruner):
    """Passes over all windows first, then chooses K of them before each epoch, then anneals."""

    Options: ClassVar[type[StrictModel]] = ScheduleOptions
    options: ScheduleOptions

    @property
    def first_pruned(self) -> int:
        """The first epoch that may be pruned: all windows must be scored before."""
        return 1

    @abstractmethod
    def choose(self, epoch: int, size: int) -> Selection:
        """The K windows of a pruned epoch; ``size`` is K, 1 to n - 1."""

    def epoch_windows(self, epoch: int, epochs: int) -> int:
        """n in the first epoch, then K by the schedule."""
        return budget(self.context.windows, self.keep_ratio(epoch, epochs))

    def keep_ratio(self, epoch: int, epochs: int) -> float:
        """Share of the windows that ``epoch`` is to visit.

        ``tail`` returns to full data for the last (1 - delta) share of epochs (InfoBatch, Qin et
        al. 2024); ``cosine`` rises from r to 1 over the last third; ``equal_cosine`` rises so that
        all epochs together visit what they do under ``tail``; ``none`` stays at r.
        """
        ratio, annealing = self.context.keep_ratio, self.options.annealing
        start = epochs - max(1, epochs // 3)
        first = self.first_pruned
        if epoch < first:
            return 1.0
        if annealing == "tail" and epoch >= tail_start(epochs, self.options.delta):
            return 1.0
        if annealing == "cosine" and epoch >= start:
            progress = (epoch - start + 1) / (epochs - start)
            return ratio + (1.0 - ratio) * 0.5 * (1.0 - math.cos(math.pi * progress))
        if annealing == "equal_cosine":
            windows = self.context.windows
            tail = epochs - max(first, tail_start(epochs, self.options.delta))
            sizes = rising_windows(budget(windows, ratio), windows, epochs - first, tail)
            return sizes[epoch - first] / windows
        return ratio

    def phase(self, epoch: int) -> float:
        """How far the pruned epochs have come: 0 in the first, 1 in the last, 0 of only one."""
        full = self.context.windows
        pruned = [e for e in range(self.epochs) if self.epoch_windows(e, self.epochs) < full]
        if not pruned:
            return 0.0
        # A budget of time may have moved the schedule.
        return min(1.0, max(0, epoch - pruned[0]) / max(1, pruned[-1] - pruned[0]))

    def select(self, epoch: int) -> Selection:
        """All windows where the schedule says so, else a new choice."""
        size = self.epoch_windows(epoch, self.epochs)
        if size == self.context.windows:
            return everything(size)
        return self.choose(epoch, size)


class ScoringPruner(DynamicPruner):
    """Keeps a score of each window's last visit, its masked MAE; +inf before the first visit."""

    def __init__(self, context: PruningContext, options: Any) -> None:
        super().__init__(context, options)
        unseen = torch.full((context.windows,), float("inf"), device=context.device)
        self.window_state["scores"] = unseen

    def observe(self, indices: Tensor, errors: Tensor, mask: Tensor) -> None:
        """Remember each window's masked MAE."""
        self.window_state["scores"][indices] = window_mae(errors, mask)


class MeanErrorPruner(DynamicPruner):
    """Keeps a running mean of each window's masked MAE, +inf before the first visit."""

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
