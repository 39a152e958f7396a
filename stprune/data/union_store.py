"""Windows of several data sets, numbered one data set after another.

Each data set keeps its own nodes, graph and scaler, so a batch is always of a single one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stprune.data.windows import WindowStore


@dataclass(frozen=True)
class Part:
    """The windows of one data set in a split of a union.

    Args:
        name: Id of the data set.
        store: Its windows, numbered from 0.
        adjacency: (N, N) float32, its graph.
        mape_floor: Smallest target that MAPE counts.
        first: Number of its first window in the union.
    """

    name: str
    store: WindowStore
    adjacency: Tensor
    mape_floor: float
    first: int


@dataclass(frozen=True)
class UnionStore:
    """The windows of one split of a union.

    Args:
        parts: By data set, in the order of their numbers.
    """

    parts: tuple[Part, ...]

    def __len__(self) -> int:
        return self.parts[-1].first + len(self.parts[-1].store)

    @property
    def device(self) -> torch.device:
        """Where all series live and batches appear."""
        return self.parts[0].store.device

    def begin_epoch(self, epoch: int) -> None:
        """See :meth:`WindowStore.begin_epoch`."""
        for part in self.parts:
            part.store.begin_epoch(epoch)

    @property
    def target_channel(self) -> int:
        """The only channel."""
        return self.parts[0].store.target_channel

    @property
    def firsts(self) -> NDArray[np.int64]:
        """(data sets,) number of the first window of each."""
        return np.array([part.first for part in self.parts], dtype=np.int64)
