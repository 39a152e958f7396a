"""The order of an epoch: which windows make which batch, and which device sees which."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stprune.base.errors import ConfigError
from stprune.pruning.base import Selection


@dataclass(frozen=True)
class EpochOrder:
    """A shuffled selection, cut into batches."""

    indices: Tensor  # (K,) int64 window numbers in training order, on the device
    weights: Tensor  # (K,) float32, likewise
    sizes: list[int]  # windows of each batch
    groups: list[int]  # number of each batch's data set, all 0 unless it is a union

    def batches(self, rank: int, world: int) -> Iterator[tuple[Tensor, Tensor, int]]:
        """Each batch's indices and weights on device ``rank`` of ``world``, and its whole size."""
        if min(self.sizes) < world:
            problem = f"a batch of {min(self.sizes)} windows cannot be shared by {world} devices"
            raise ConfigError(f"{problem}; lower the prune ratio or the number of devices")
        parts = zip(self.indices.split(self.sizes), self.weights.split(self.sizes), strict=True)
        for indices, weights in parts:
            yield indices[rank::world], weights[rank::world], len(indices)


def even_sizes(count: int, batch_size: int) -> list[int]:
    """Sizes of ceil(count / batch_size) batches that differ by at most one.

    A tiny last batch makes a noisy step: one window in every sixth step cost 6 % MAE.
    """
    batches = math.ceil(count / batch_size)
    return [count // batches + (1 if i < count % batches else 0) for i in range(batches)]


def order_epoch(
    selection: Selection,
    batch_size: int,
    rng: np.random.Generator,
    device: torch.device,
    firsts: NDArray[np.int64] | None = None,
    drop_partial: bool = False,
) -> EpochOrder:
    """Shuffle ``selection``, cut it into even batches, and move it to the device, once.

    With ``firsts``, (G,) number of the first window of each data set of a union, each data set is
    shuffled and cut by itself; then all batches are shuffled. Without them ``drop_partial`` makes
    whole batches only, as the published code of LargeST does; a ConfigError if there is none.
    """
    if firsts is None:
        order = rng.permutation(len(selection.indices))
        if drop_partial:
            order = order[: len(order) // batch_size * batch_size]
            if not len(order):
                few = f"{len(selection.indices)} windows fill no batch; partial ones are dropped"
                raise ConfigError(f"{few}; lower `batch_size` {batch_size} or the prune ratio")
        sizes = even_sizes(len(order), batch_size)
        groups = [0] * len(sizes)
    else:
        order, sizes, groups = _order_by_group(selection.indices, batch_size, rng, firsts)
    return EpochOrder(
        indices=torch.from_numpy(selection.indices[order]).to(device),
        weights=torch.from_numpy(selection.weights[order]).to(device),
        sizes=sizes,
        groups=groups,
    )


def _order_by_group(
    indices: NDArray[np.int64], batch_size: int, rng: np.random.Generator, firsts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], list[int], list[int]]:
    """Positions in ``indices`` in training order, and the size and group of each batch."""
    group_of = np.searchsorted(firsts, indices, side="right") - 1
    batches: list[tuple[int, NDArray[np.int64]]] = []
    for group in range(len(firsts)):
        positions = rng.permutation(np.flatnonzero(group_of == group))
        # A pruner may leave a data set out.
        sizes = even_sizes(len(positions), batch_size) if len(positions) else []
        cuts = np.cumsum(sizes[:-1], dtype=np.int64)
        batches += [(group, part) for part in np.split(positions, cuts) if len(part)]
    batches = [batches[number] for number in rng.permutation(len(batches))]
    order = np.concatenate([part for _, part in batches])
    return order, [len(part) for _, part in batches], [group for group, _ in batches]


Gather = Callable[[Tensor], Tensor]


def merge_window_state(
    state: Mapping[str, Tensor], order: EpochOrder, rank: int, world: int, gather: Gather
) -> None:
    """Give every device what the others observed in this epoch, in place; all must call it.

    Each row of the per-window tensors (n, ...) comes from the device that saw the window;
    ``gather`` collects a tensor (L, ...) of each device into (world, L, ...).
    """
    if world == 1:
        return
    seen = [torch.cat([own for own, *_ in order.batches(each, world)]) for each in range(world)]
    longest = max(len(part) for part in seen)
    for values in state.values():
        mine = torch.zeros(longest, *values.shape[1:], dtype=values.dtype, device=values.device)
        mine[: len(seen[rank])] = values[seen[rank]]
        gathered = gather(mine)
        for other, part in enumerate(seen):
            values[part] = gathered[other, : len(part)]
