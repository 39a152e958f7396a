"""The order of an epoch: even batches, no window lost or repeated, shared by devices and merged."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stprune.base.errors import ConfigError
from stprune.pruning.base import Selection, everything
from stprune.pruning.batch_order import even_sizes, order_epoch

CPU = torch.device("cpu")


def selection(count: int) -> Selection:
    """Every third window, with a weight that tells which one it is."""
    indices = np.arange(0, 3 * count, 3)
    return Selection(indices, (indices + 1).astype(np.float32))


@given(count=st.integers(1, 10_000), batch_size=st.integers(1, 300))
def test_batches_are_as_few_and_as_even_as_can_be(count: int, batch_size: int) -> None:
    assert even_sizes(161, 32) == [27, 27, 27, 27, 27, 26]
    sizes = even_sizes(count, batch_size)
    assert sum(sizes) == count
    assert len(sizes) == math.ceil(count / batch_size)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


@given(count=st.integers(4, 100), batch_size=st.integers(8, 40), world=st.integers(1, 4))
def test_every_window_comes_once_with_its_weight(count: int, batch_size: int, world: int) -> None:
    chosen = selection(count)
    order = order_epoch(chosen, batch_size, np.random.default_rng(0), CPU)
    # As the generator says.
    shuffled = chosen.indices[np.random.default_rng(0).permutation(count)]
    assert order.indices.tolist() == shuffled.tolist()
    assert torch.equal(order.weights, order.indices + 1.0)
    whole = [indices for indices, _, _ in order.batches(0, 1)]
    shares = [list(order.batches(rank, world)) for rank in range(world)]
    for number, batch in enumerate(whole):
        parts = [share[number] for share in shares]
        together = torch.cat([indices for indices, _, _ in parts])
        assert torch.equal(together.sort().values, batch.sort().values)
        lengths = [len(indices) for indices, _, _ in parts]
        assert max(lengths) - min(lengths) <= 1
        assert {size for _, _, size in parts} == {len(batch)}
    if world > 1:
        with pytest.raises(ConfigError, match="cannot be shared"):
            list(order.batches(0, batch_size + 1))


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    batch_size=st.integers(1, 20),
    seed=st.integers(0, 100),
    data=st.data(),
)
def test_union_batches(sizes: list[int], batch_size: int, seed: int, data: st.DataObject) -> None:
    firsts = np.cumsum([0, *sizes[:-1]])
    windows = st.integers(0, sum(sizes) - 1)
    chosen = np.array(data.draw(st.lists(windows, min_size=1, unique=True)))
    selection = Selection(chosen, (chosen + 1).astype(np.float32))
    order = order_epoch(selection, batch_size, np.random.default_rng(seed), CPU, firsts)
    batches = list(order.batches(0, 1))
    assert [size for _, _, size in batches] == order.sizes
    assert torch.equal(order.indices.sort().values, torch.from_numpy(np.sort(chosen)))
    assert torch.equal(order.weights, order.indices + 1.0)
    members: dict[int, list[int]] = {}
    for group, (indices, _, size) in zip(order.groups, batches, strict=True):
        assert int(indices.min()) >= firsts[group]
        assert int(indices.max()) < firsts[group] + sizes[group]
        members.setdefault(group, []).append(size)
    for count in members.values():
        assert sorted(count) == sorted(even_sizes(sum(count), batch_size))


def test_batches_of_a_union_come_mixed_and_new_every_epoch() -> None:
    rng, firsts = np.random.default_rng(0), np.array([0, 100])
    first, second = (order_epoch(everything(200), 10, rng, CPU, firsts) for _ in range(2))
    assert sum(first.groups) == 10
    assert len({tuple(first.groups), tuple(second.groups), (0,) * 10 + (1,) * 10}) == 3
    one, other = (
        {tuple(sorted(part.tolist())) for part in order.indices.split(order.sizes)}
        for order in (first, second)
    )
    assert not one & other
