"""For ``torch.utils.data.DataLoader``: batches of the pruned epoch, whose numbers travel along.

The numbers are part of each batch, so workers may fetch ahead and stay alive; ``examples/`` shows
it in `data_loader.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Any, Protocol

from torch.utils.data import Dataset, Sampler

from stprune.base.errors import ConfigError
from stprune.loop.loop import Pruning


class SizedDataset(Sized, Protocol):
    """What a map-style data set has."""

    def __getitem__(self, index: int) -> Any: ...


class IndexedDataset(Dataset[tuple[int, Any]]):
    """``(number, sample)`` of a map-style data set of training samples, 0 to n - 1."""

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

    Raises:
        ConfigError: If the data set is of another length than pruning was made for.
    """

    def __init__(self, pruning: Pruning, dataset: Sized) -> None:
        if len(dataset) != pruning.settings.windows:
            raise ConfigError(
                f"the data set has {len(dataset)} samples, but pruning was made for"
                f" {pruning.settings.windows} windows"
            )
        self.pruning = pruning

    def __iter__(self) -> Iterator[list[int]]:
        # A generator starts the epoch with its first batch; a loader with workers makes an iterator
        # that it never uses.
        for indices in self.pruning.hand_out():
            yield indices.tolist()

    def __len__(self) -> int:
        return self.pruning.batch_count()
