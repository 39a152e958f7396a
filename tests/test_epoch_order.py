"""The order of an epoch: even batches, no window lost or repeated, shared by devices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stprune.epoch_order import even_sizes, order_epoch
from stprune.errors import ConfigError
from stprune.pruners.base import Selection

CPU = torch.device("cpu")


def selection(count: int) -> Selection:
    """Every third window, with a weight that tells which one it is."""
    indices = np.arange(0, 3 * count, 3)
    return Selection(indices, (indices + 1).astype(np.float32))


def test_sizes_by_hand() -> None:
    assert even_sizes(161, 32) == [27, 27, 27, 27, 27, 26]
    assert even_sizes(64, 32) == [32, 32]
    assert even_sizes(1, 64) == [1]


@given(count=st.integers(1, 10_000), batch_size=st.integers(1, 300))
def test_batches_are_as_few_and_as_even_as_can_be(count: int, batch_size: int) -> None:
    sizes = even_sizes(count, batch_size)
    assert sum(sizes) == count
    assert len(sizes) == math.ceil(count / batch_size)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


@given(count=st.integers(1, 200), batch_size=st.integers(1, 64))
def test_every_window_comes_once_with_its_weight(count: int, batch_size: int) -> None:
    chosen = selection(count)
    order = order_epoch(chosen, batch_size, np.random.default_rng(0), CPU)
    batches = list(order.batches(0, 1))
    assert [size for _, _, size in batches] == order.sizes
    seen = torch.cat([indices for indices, _, _ in batches])
    weights = torch.cat([weights for _, weights, _ in batches])
    assert torch.equal(seen.sort().values, torch.from_numpy(chosen.indices))
    assert torch.equal(weights, seen + 1.0)


@given(count=st.integers(4, 100), batch_size=st.integers(8, 40), world=st.integers(2, 4))
def test_devices_share_each_batch(count: int, batch_size: int, world: int) -> None:
    order = order_epoch(selection(count), batch_size, np.random.default_rng(0), CPU)
    whole = [indices for indices, _, _ in order.batches(0, 1)]
    shares = [list(order.batches(rank, world)) for rank in range(world)]
    for number, batch in enumerate(whole):
        parts = [share[number] for share in shares]
        together = torch.cat([indices for indices, _, _ in parts])
        assert torch.equal(together.sort().values, batch.sort().values)
        lengths = [len(indices) for indices, _, _ in parts]
        assert max(lengths) - min(lengths) <= 1
        assert {size for _, _, size in parts} == {len(batch)}
    seen = torch.cat([order.seen_by(rank, world) for rank in range(world)])
    assert torch.equal(seen.sort().values, order.indices.sort().values)


def test_a_batch_smaller_than_the_devices_is_a_users_mistake() -> None:
    order = order_epoch(selection(5), 2, np.random.default_rng(0), CPU)
    with pytest.raises(ConfigError, match="cannot be shared by 2 devices"):
        list(order.batches(0, 2))


def test_the_order_is_the_generators() -> None:
    orders = [
        order_epoch(selection(50), 8, np.random.default_rng(seed), CPU).indices.tolist()
        for seed in (0, 0, 1)
    ]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])
