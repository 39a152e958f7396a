"""What several devices saw in an epoch, brought together on each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.distributed
from torch import Tensor

from stprune.base.errors import ConfigError
from stprune.training.epoch_order import EpochOrder

Gather = Callable[[Tensor], Tensor]


def merge_window_state(
    state: Mapping[str, Tensor], order: EpochOrder, rank: int, world: int, gather: Gather
) -> None:
    """Give every device what the others observed in this epoch, in place.

    All devices call it at the same point. A device observes the windows of its share alone, so
    each row of the merged state comes from the one that saw the window.

    Args:
        state: Per-window tensors of a pruner, each (n, ...) on the device.
        order: The epoch's order, the same on every device.
        rank: This device.
        world: Number of devices.
        gather: Collects an equally shaped tensor (L, ...) of every device into (world, L, ...).
    """
    if world == 1:
        return
    seen = [order.seen_by(other, world) for other in range(world)]
    longest = max(len(part) for part in seen)
    for values in state.values():
        mine = torch.zeros(longest, *values.shape[1:], dtype=values.dtype, device=values.device)
        mine[: len(seen[rank])] = values[seen[rank]]
        gathered = gather(mine)
        for other, part in enumerate(seen):
            values[part] = gathered[other, : len(part)]


def gather_from_processes(values: Tensor) -> Tensor:
    """Collect (L, ...) of every process of the default group into (world, L, ...).

    Raises:
        ConfigError: If there is no such group.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        raise ConfigError(
            "several processes must exchange what they saw: initialise torch.distributed first,"
            " or pass `gather`"
        )
    parts = [torch.empty_like(values) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, values)
    return torch.stack(parts)
