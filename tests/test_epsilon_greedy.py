"""Epsilon-greedy: the greedy part by hand, the random part by its frequencies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from baselines.epsilon_greedy import EpsilonGreedy, EpsilonGreedyOptions, greedy_and_random
from stprune.pruning.base import PruningContext

MEANS = np.array([1, 9, 3, 8, 5, 7, 2, 6, 4, 0], dtype=np.float32)


def test_without_exploration_the_largest_means_are_kept() -> None:
    rng = np.random.default_rng(0)
    assert greedy_and_random(MEANS, 4, 0.0, rng).tolist() == [1, 3, 5, 7]
    tied = np.array([2, 2, 2, 3], np.float32)
    assert greedy_and_random(tied, 2, 0.0, rng).tolist() == [0, 3]


def test_the_random_share_is_uniform_over_the_others() -> None:
    rng, kept = np.random.default_rng(0), np.zeros(10)
    for _ in range(2000):
        chosen = greedy_and_random(MEANS, 4, 0.5, rng)
        assert len(np.unique(chosen)) == 4
        kept[chosen] += 1
    assert kept[[1, 3]].tolist() == [2000, 2000]
    others = np.delete(kept, [1, 3]) / 2000
    # Two of eight; four standard errors.
    assert np.abs(others - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / 2000)


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("size", [1, 3, 10])
def test_the_budget_is_exact(epsilon: float, size: int) -> None:
    chosen = greedy_and_random(MEANS, size, epsilon, np.random.default_rng(0))
    assert len(np.unique(chosen)) == size == len(chosen)


def test_means_are_over_all_visits_and_unseen_windows_come_first() -> None:
    pruner = EpsilonGreedy(PruningContext(3, 16, 0.7, 0), EpsilonGreedyOptions(epsilon=0.0))
    errors = torch.tensor([[[4.0, 0.0]], [[9.0, 9.0]]])
    mask = torch.tensor([[[True, False]], [[True, True]]])
    pruner.observe(torch.tensor([0, 1]), errors, mask)
    assert pruner.window_state["means"].tolist() == [4.0, 9.0, float("inf")]
    assert pruner.select(1).indices.tolist() == [2]
    pruner.observe(torch.tensor([0]), errors[1:], mask[1:])
    assert pruner.window_state["means"].tolist() == [6.5, 9.0, float("inf")]


def test_the_schedule_is_that_of_the_other_dynamic_pruners() -> None:
    pruner = EpsilonGreedy(PruningContext(10, 8, 0.5, 0), EpsilonGreedyOptions())
    sizes = [len(pruner.select(epoch).indices) for epoch in range(8)]
    assert sizes == [10, 5, 5, 5, 5, 5, 5, 10]
