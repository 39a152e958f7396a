"""Batches for a DataLoader: every window once over processes and workers, a new epoch each time."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader

from stprune import IndexedDataset, PrunedBatchSampler, Pruning
from stprune.base.errors import ConfigError
from stprune.loop.epoch_share import LoopError
from stprune.pruning.base import budget
from stprune.pruning.batch_order import even_sizes


class Squares:
    """Sample i is i squared, so that a number can be told from its sample."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __getitem__(self, index: int) -> Tensor:
        return torch.tensor(float(index) ** 2)

    def __len__(self) -> int:
        return self.count


def pruning_of(seed: int = 0) -> Pruning:
    return Pruning("random_dynamic", 40, epochs=6, prune_ratio=0.6, batch_size=6, seed=seed)


def loader_of(pruning: Pruning, workers: int = 0) -> DataLoader[Any]:
    data = IndexedDataset(Squares(pruning.settings.windows))
    return DataLoader(
        data,
        batch_sampler=PrunedBatchSampler(pruning, data),
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def errors_of(indices: Tensor) -> Tensor:
    return indices[:, None, None].float()


@given(
    count=st.integers(4, 80),
    batch_size=st.integers(4, 40),
    world=st.integers(1, 4),
    prune_ratio=st.floats(0, 0.95),
)
def test_every_selected_window_comes_once_over_processes(
    count: int, batch_size: int, world: int, prune_ratio: float
) -> None:
    pruned = budget(count, 1.0 - prune_ratio)
    # Where a batch cannot be shared, starting the epoch says so, as test_loop.py checks.
    assume(min(*even_sizes(pruned, batch_size), *even_sizes(count, batch_size)) >= world)
    processes = [
        Pruning(
            "random_dynamic",
            count,
            epochs=3,
            prune_ratio=prune_ratio,
            batch_size=batch_size,
            rank=rank,
            world=world,
            gather=lambda values: values.expand(world, *values.shape),
        )
        for rank in range(world)
    ]
    samplers = [PrunedBatchSampler(each, Squares(count)) for each in processes]
    for _ in range(3):
        shares = [list(sampler) for sampler in samplers]
        selected = processes[0].selection.indices
        assert sorted(chain(*chain(*shares))) == sorted(selected.tolist())
        assert {len(share) for share in shares} == {len(sampler) for sampler in samplers}
        # Each step's parts make one batch, all of nearly the same size.
        together = [sum(len(part) for part in parts) for parts in zip(*shares, strict=True)]
        assert together == even_sizes(len(selected), batch_size)
        for each in processes:
            each.end_epoch()


@pytest.mark.parametrize("workers", [0, 2])
def test_numbers_travel_with_their_samples(workers: int) -> None:
    pruning = pruning_of()
    loader = loader_of(pruning, workers)
    kept = []
    for _ in range(pruning.epochs):
        pruning.start_epoch()
        expected = len(loader)
        seen = []
        for indices, samples in loader:
            assert torch.equal(samples, indices.float() ** 2)
            pruning.loss(indices, errors_of(indices))
            seen.append(indices.tolist())
        assert len(seen) == expected
        # Workers do not change the order.
        assert list(chain(*seen)) == pruning.selection.indices.tolist()
        kept.append(frozenset(chain(*seen)))
    assert [len(numbers) for numbers in kept] == [40, 16, 16, 16, 16, 40]
    assert len(set(kept)) == 5  # the two full epochs are alike, no pruned one is like another


def test_iterating_again_is_the_next_epoch() -> None:
    pruning = pruning_of()
    loader = loader_of(pruning)
    assert len(loader) == 7  # the first epoch is full: 40 windows in batches of at most 6
    lengths = []
    for _ in range(pruning.epochs):
        lengths.append(sum(1 for indices, _ in loader if pruning.loss(indices, errors_of(indices))))
        # Of the epoch that is just over, until the next begins.
        assert len(loader) == lengths[-1]
    assert lengths == [7, 3, 3, 3, 3, 7]
    with pytest.raises(LoopError, match="all 6 epochs are over"):
        list(loader)


def test_a_loop_that_forgets_to_observe_is_stopped() -> None:
    loader = loader_of(pruning_of())
    list(loader)
    with pytest.raises(LoopError, match="epoch 0 is not over: 0 of 40"):
        list(loader)


def test_an_epoch_may_be_handed_out_again_where_that_was_said() -> None:
    """Trainers look ahead; but not once something of it was observed."""
    pruning = pruning_of()
    loader = loader_of(pruning)
    pruning.start_epoch(repeatable=True)
    first = [indices.tolist() for indices, _ in loader]
    assert [indices.tolist() for indices, _ in loader] == first
    pruning.loss(first[0], errors_of(torch.tensor(first[0])))
    with pytest.raises(LoopError, match="6 of 40 windows were observed"):
        list(loader)


def test_a_resumed_loader_goes_on_with_the_same_batches() -> None:
    def rest(pruning: Pruning, epochs: int) -> list[list[int]]:
        loader = loader_of(pruning)
        batches = []
        for _ in range(epochs):
            for indices, _ in loader:
                pruning.observe(indices, errors_of(indices))
                batches.append(indices.tolist())
        return batches

    first, second = pruning_of(seed=2), pruning_of(seed=2)
    rest(first, 2)
    second.load_state_dict(first.state_dict())
    assert rest(second, 4) == rest(first, 4)


def test_a_data_set_of_another_length_is_refused() -> None:
    with pytest.raises(ConfigError, match="has 39 samples, but pruning was made for 40"):
        PrunedBatchSampler(pruning_of(), Squares(39))
