"""One process's share of an epoch: its batches, the factor of each loss, and what is done of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stprune.base.errors import StpruneError
from stprune.pruning.batch_order import EpochOrder


class LoopError(StpruneError):
    """A call from somebody's training loop that does not fit the epoch under way."""


class EpochShare:
    """What one of several processes does in one epoch.

    Args:
        epoch: Its number, 0-based.
        order: The order of the whole epoch.
        windows: n.
        rank: This process.
        world: Number of processes.
        repeatable: Whether the batches may be handed out again before the first is observed.

    Attributes:
        batches: (B,) int64 window numbers of each batch, on the device.
        total: Windows of this process.
        observed: Windows observed so far.
        handed_out: Whether somebody has asked for the batches.
        left: Whether the epoch was given up before all of it was observed.
    """

    def __init__(
        self, epoch: int, order: EpochOrder, windows: int, rank: int, world: int, repeatable: bool
    ) -> None:
        self.epoch, self.order, self.rank, self.world = epoch, order, rank, world
        self.repeatable = repeatable
        device = order.indices.device
        # 0 for a window that is not of this share.
        self.weights = torch.zeros(windows, device=device)
        self.batch_sizes = torch.ones(windows, device=device)
        self.batches: list[Tensor] = []
        for indices, weights, batch_size in order.batches(rank, world):
            self.weights[indices] = weights
            self.batch_sizes[indices] = float(batch_size)
            self.batches.append(indices)
        self.total = sum(len(indices) for indices in self.batches)
        self.observed = 0
        self.handed_out = self.left = False

    @property
    def over(self) -> bool:
        """Whether there is nothing left to observe."""
        return self.left or self.observed >= self.total

    def unfinished(self) -> LoopError:
        """What to say to somebody who goes on before the epoch is over."""
        return LoopError(
            f"epoch {self.epoch} is not over: {self.observed} of {self.total} windows were"
            " observed; pass every batch to `loss` or `observe`, or leave it with `end_epoch`"
        )

    def note(self, count: int) -> None:
        """Count windows as observed.

        Raises:
            LoopError: If those of the whole epoch are already.
        """
        if self.observed + count > self.total:
            raise LoopError(
                f"epoch {self.epoch}: {self.observed} of {self.total} windows were observed, and"
                f" {count} more are too many; pass each batch to `loss` or `observe`, once"
            )
        self.observed += count

    def window_numbers(self, indices: Any) -> Tensor:
        """``indices`` as (B,) int64 on the device, checked where that needs no waiting.

        Raises:
            LoopError: If they are no window numbers of this share.
        """
        numbers = torch.as_tensor(indices)
        if numbers.ndim != 1 or numbers.is_floating_point() or numbers.dtype == torch.bool:
            raise LoopError(
                "indices must be (B,) whole window numbers, but have shape"
                f" {tuple(numbers.shape)} and type {numbers.dtype}"
            )
        numbers = numbers.long()
        if numbers.device.type == "cpu":
            self._check_numbers(numbers)
        return numbers.to(self.weights.device, non_blocking=True)

    def _check_numbers(self, numbers: Tensor) -> None:
        windows = len(self.weights)
        outside = numbers[(numbers < 0) | (numbers >= windows)]
        if len(outside):
            raise LoopError(f"there is no window {int(outside[0])}; numbers are 0 to {windows - 1}")
        if self.weights.device.type == "cpu":
            foreign = numbers[self.weights[numbers] == 0]
            if len(foreign):
                raise LoopError(
                    f"window {int(foreign[0])} is not in epoch {self.epoch} of process"
                    f" {self.rank}; pass the numbers that came with the batch"
                )

    def factors(self, numbers: Tensor) -> Tensor:
        """(B,) factor of each window's loss in the sum over this process's batch.

        Its weight over the size of the batch of all processes, times their number, because
        gradients are averaged over processes.
        """
        return self.weights[numbers] * (self.world / self.batch_sizes[numbers])

    def mean_weights(self, numbers: Tensor) -> Tensor:
        """(B,) factor of each window's loss in the mean over this process's batch."""
        return self.weights[numbers] * (len(numbers) * self.world / self.batch_sizes[numbers])
