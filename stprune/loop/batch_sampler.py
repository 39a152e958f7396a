"""For ``torch.utils.data.DataLoader``: batches of the pruned epoch, whose numbers travel along.

::

    data = IndexedDataset(dataset)
    loader = DataLoader(data, batch_sampler=PrunedBatchSampler(pruning, data), num_workers=2)
    for epoch in range(pruning.epochs):
        pruning.start_epoch()
        for indices, sample in loader:
            ...

The numbers are part of each batch, so workers may fetch ahead and stay alive.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from torch.utils.data import Dataset, Sampler

from stprune.base.errors import ConfigError
from stprune.loop.loop import Pruning


class SizedDataset(Protocol):
    """What a map-style data set has."""

    def __getitem__(self, index: int) -> Any: ...

    def __len__(self) -> int: ...


class IndexedDataset(Dataset[tuple[int, Any]]):
    """Yields ``(number, sample)`` of a map-style data set.

    Args:
        dataset: The training samples, numbered 0 to n - 1.
    """

    def __init__(self, dataset: SizedDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int) -> tuple[int, Any]:
        return index, self.dataset[index]

    def __len__(self) -> int:
        return len(self.dataset)


class PrunedBatchSampler(Sampler[list[int]]):
    """This process's batches of the current epoch; iterating it again begins the next one.

    Its length is that of the epoch started last: call ``pruning.start_epoch()`` first where the
    length must be known before the batches are.

    Args:
        pruning: Chooses the windows.
        dataset: The training samples; only their number is used.

    Raises:
        ConfigError: If the data set is of another length than pruning was made for.
    """

    def __init__(self, pruning: Pruning, dataset: SizedDataset) -> None:
        if len(dataset) != pruning.settings.windows:
            raise ConfigError(
                f"the data set has {len(dataset)} samples, but pruning was made for"
                f" {pruning.settings.windows} windows"
            )
        self.pruning = pruning

    def __iter__(self) -> Iterator[list[int]]:
        # A generator starts the epoch with its first batch; a loader with workers makes an iterator
        # that it never uses.
        for indices in self.pruning.hand_out().batches:
            yield indices.tolist()

    def __len__(self) -> int:
        return self.pruning.batch_count()
