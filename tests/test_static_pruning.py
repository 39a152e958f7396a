"""Blocks and their budgets, ties, and scoring seeds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stprune.pruning.static import choose_in_blocks, keep_highest, scoring_seed


def first_rows(block: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    return np.arange(k)[::-1], block[:k, 0].astype(np.float64)[::-1]


def test_blocks_share_the_budget_evenly_over_time() -> None:
    values = np.arange(10, dtype=np.float32)[:, None]
    # Blocks start at 0, 3 and 6; of 5 places 1, 2 and 2 end by them.
    indices, weights = choose_in_blocks(values, 5, 4, first_rows)
    assert indices.tolist() == [0, 3, 4, 6, 7]
    assert weights.tolist() == [0, 3, 4, 6, 7]


@pytest.mark.parametrize("windows", [1, 2, 7, 100])
@pytest.mark.parametrize("block", [1, 3, 1000])
def test_the_budget_is_exact(windows: int, block: int) -> None:
    values = np.zeros((windows, 2), np.float32)
    for size in range(1, windows + 1):
        indices, _ = choose_in_blocks(values, size, block, first_rows)
        assert len(np.unique(indices)) == len(indices) == size
        assert indices.max() < windows


def test_ties_go_to_the_earlier_window_or_to_chance() -> None:
    scores = np.array([1.0, 2.0, 2.0, 2.0])
    assert keep_highest(scores, 2).indices.tolist() == [1, 2]
    rng = np.random.default_rng(0)
    assert {tuple(keep_highest(scores, 1, rng).indices) for _ in range(50)} == {(1,), (2,), (3,)}


def test_scoring_models_differ_from_each_other_and_from_runs() -> None:
    seeds = {scoring_seed(run, repeat) for run in range(50) for repeat in range(10)}
    assert len(seeds) == 500
    assert min(seeds) > 1000
