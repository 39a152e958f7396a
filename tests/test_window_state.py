"""What devices saw is merged: each row from the device that saw the window."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from torch import Tensor

from stprune.pruning.base import Selection
from stprune.pruning.batch_order import EpochOrder, merge_window_state, order_epoch


class Exchange:
    """Gathers over threads that stand for devices."""

    def __init__(self, world: int) -> None:
        self.values: list[Tensor] = [torch.empty(0)] * world
        self.barrier = threading.Barrier(world, timeout=10)

    def gather(self, rank: int, values: Tensor) -> Tensor:
        self.values[rank] = values
        self.barrier.wait()
        gathered = torch.stack(self.values)
        self.barrier.wait()
        return gathered


def order_of(windows: list[int], batch_size: int) -> EpochOrder:
    selection = Selection(np.array(windows), np.ones(len(windows), dtype=np.float32))
    return order_epoch(selection, batch_size, np.random.default_rng(0), torch.device("cpu"))


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_device_ends_with_what_all_saw(world: int) -> None:
    order = order_of([0, 2, 3, 5, 7, 8, 9], batch_size=4)
    exchange = Exchange(world)
    states = []
    for rank in range(world):
        # -1 where nothing was seen; else 100 rank + window, in a row of two columns.
        scores, counts = torch.full((10,), -1.0), torch.zeros(10, 2, dtype=torch.int64)
        seen = order.seen_by(rank, world)
        scores[seen] = 100.0 * rank + seen
        counts[seen] = torch.stack([seen, seen + 1], 1)
        states.append({"scores": scores, "counts": counts})
    threads = [
        threading.Thread(
            target=merge_window_state,
            args=(states[rank], order, rank, world, lambda v, r=rank: exchange.gather(r, v)),
        )
        for rank in range(world)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for state in states:
        assert torch.equal(state["scores"], states[0]["scores"])
        assert state["scores"][[1, 4, 6]].tolist() == [-1, -1, -1]
        assert state["counts"][[1, 4, 6]].sum() == 0
    for rank in range(world):
        for window in order.seen_by(rank, world).tolist():
            assert states[0]["scores"][window] == 100 * rank + window
            assert states[0]["counts"][window].tolist() == [window, window + 1]
