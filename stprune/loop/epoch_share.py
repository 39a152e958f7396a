"""One process's share of an epoch: its batches, the factors of its losses, and its progress."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stprune.base.errors import StpruneError
from stprune.pruning.batch_order import EpochOrder


class LoopError(StpruneError):
    """A call from a training loop that does not fit the current epoch."""


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
        handed_out: Whether the batches were asked for.
        left: Whether the epoch was ended before all of it was observed.
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
        """The error of going on before the epoch is over."""
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
        """``indices`` as (B,) int64 on the device; on a CPU, checked to be of this share.

        Raises:
            LoopError: If they are no window numbers of this share.
        """
        numbers = torch.as_tensor(indices)
        if numbers.ndim != 1 or numbers.is_floating_point() or numbers.dtype == torch.bool:
            raise LoopError(
                "indices must be (B,) whole window numbers, but have shape"
                f" {tuple(numbers.shape)} and type {numbers.dtype}"
            )
        numbers, windows = numbers.long(), len(self.weights)
        if numbers.device.type == "cpu":
            outside = numbers[(numbers < 0) | (numbers >= windows)]
            if len(outside):
                number = int(outside[0])
                raise LoopError(f"there is no window {number}; numbers are 0 to {windows - 1}")
            # On another device, a comparison would wait for it.
            on_cpu = self.weights.device.type == "cpu"
            foreign = numbers[self.weights[numbers] == 0] if on_cpu else outside
            if len(foreign):
                raise LoopError(
                    f"window {int(foreign[0])} is not in epoch {self.epoch} of process"
                    f" {self.rank}; pass the numbers that came with the batch"
                )
        return numbers.to(self.weights.device, non_blocking=True)

    def factors(self, numbers: Tensor, scale: int = 1) -> Tensor:
        """(B,) factor of each window's loss in the sum over this process's batch.

        Its weight over the size of the batch of all processes, times their number, because
        gradients are averaged over processes; times ``scale``: the length of this process's batch,
        if losses are averaged instead of summed.
        """
        return self.weights[numbers] * (scale * self.world / self.batch_sizes[numbers])


def checked_errors(numbers: Tensor, errors: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Absolute errors, 0 where masked, and the mask, both (B, H, N).

    Args:
        numbers: (B,) window numbers, on the device of per-window state.
        errors: (B, H, N) floats, of either sign.
        mask: (B, H, N) bool; None where all were observed.

    Raises:
        LoopError: If shapes, types or devices do not fit.
    """
    if errors.ndim != 3 or len(errors) != len(numbers) or not errors.is_floating_point():
        raise LoopError(
            f"errors must be (B, H, N) floats of {len(numbers)} windows, but have shape"
            f" {tuple(errors.shape)} and type {errors.dtype}; add axes of length 1 where needed"
        )
    if errors.device != numbers.device:
        raise LoopError(
            f"errors are on {errors.device}, but pruning was made for {numbers.device}; pass"
            f" device='{errors.device}'"
        )
    if mask is None:
        mask = torch.ones((), dtype=torch.bool, device=errors.device).expand(errors.shape)
    if mask.shape != errors.shape or mask.dtype != torch.bool:
        raise LoopError(
            f"mask must be bool of shape {tuple(errors.shape)} like the errors, but is"
            f" {mask.dtype} of shape {tuple(mask.shape)}"
        )
    return errors.abs() * mask, mask
