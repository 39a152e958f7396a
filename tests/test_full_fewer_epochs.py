"""Full data for fewer epochs: as many windows as the pruned schedule visits."""

from __future__ import annotations

import pytest

from baselines.full import Full
from baselines.full_fewer_epochs import FewerEpochsOptions, FullFewerEpochs
from baselines.random_dynamic import RandomDynamic, RandomDynamicOptions
from stprune.base.schema import NoOptions
from stprune.pruning.base import PruningContext


def planned(epochs: int, prune_ratio: float, **options: float) -> int:
    context = PruningContext(100, epochs, prune_ratio, 0)
    return FullFewerEpochs(context, FewerEpochsOptions.model_validate(options)).planned_epochs()


def test_epochs_by_hand() -> None:
    # 40 epochs: 1 full, 34 pruned, 5 of tail. 6 + 34 * 0.1 = 9.4; 6 + 34 * 0.5 = 23.
    assert planned(40, 0.9) == 9
    assert planned(40, 0.5) == 23
    assert planned(40, 0.0) == 40
    # 24 epochs: 4 + 20 * 0.25 = 9; without a first pass 3 + 21 * 0.25 = 8.25.
    assert planned(24, 0.75) == 9
    assert planned(24, 0.75, full_first_epoch=False) == 8
    # Without a tail 1 + 39 * 0.1 = 4.9.
    assert planned(40, 0.9, delta=1.0) == 5
    assert planned(1, 0.99) == 1
    assert planned(2, 0.99) == 2


@pytest.mark.parametrize("epochs", [4, 12, 40, 100])
@pytest.mark.parametrize("prune_ratio", [0.1, 0.5, 0.9])
def test_the_cost_is_that_of_the_random_schedule(epochs: int, prune_ratio: float) -> None:
    context = PruningContext(100, epochs, prune_ratio, 0)
    pruned = RandomDynamic(context, RandomDynamicOptions())
    visited = sum(len(pruned.select(epoch).indices) for epoch in range(epochs))
    assert abs(visited - 100 * planned(epochs, prune_ratio)) <= 50


def test_full_keeps_everything_whatever_the_ratio() -> None:
    full = Full(PruningContext(7, 3, 0.9, 0), NoOptions())
    assert full.planned_epochs() == 3
    assert full.select(2).indices.tolist() == list(range(7))
