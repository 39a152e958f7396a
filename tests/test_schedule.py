"""Budgets, the full-data tail, annealing and the scale of weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stprune.pruning.base import budget, scale_weights
from stprune.pruning.dynamic import annealed_keep_ratio, tail_start


@pytest.mark.parametrize(
    ("windows", "prune_ratio", "kept"),
    [
        (100, 0.9, 10),
        (1000, 0.7, 300),
        (289, 0.5, 144),
        (1606, 0.9, 161),
        (3, 0.99, 1),
        (1, 0.5, 1),
    ],
)
def test_the_budget_by_hand(windows: int, prune_ratio: float, kept: int) -> None:
    assert budget(windows, 1.0 - prune_ratio) == kept


@given(windows=st.integers(1, 10**7), prune_ratio=st.floats(0, 0.999))
def test_the_budget_is_within_one_half_of_the_ratio(windows: int, prune_ratio: float) -> None:
    size = budget(windows, 1.0 - prune_ratio)
    assert 1 <= size <= windows
    assert abs(size - (1.0 - prune_ratio) * windows) <= 0.5 or size == 1


@pytest.mark.parametrize(
    ("epochs", "delta", "first"),
    [
        (40, 0.875, 35),
        (8, 0.875, 7),
        (12, 0.875, 10),
        (100, 0.875, 87),
        (100, 0.9, 90),
        (10, 0.7, 7),
        (4, 0.875, 3),
        (1, 0.875, 0),
        (40, 1.0, 40),
    ],
)
def test_the_tail_by_hand(epochs: int, delta: float, first: int) -> None:
    assert tail_start(epochs, delta) == first


def test_tail_annealing_jumps_and_none_does_not() -> None:
    ratios = [annealed_keep_ratio(epoch, 8, 0.3, "tail", 0.75) for epoch in range(8)]
    assert ratios == [0.3] * 6 + [1.0] * 2
    assert [annealed_keep_ratio(epoch, 8, 0.3, "none", 0.75) for epoch in range(8)] == [0.3] * 8


def test_cosine_annealing_rises_over_the_last_third() -> None:
    ratios = [annealed_keep_ratio(epoch, 9, 0.2, "cosine", 0.875) for epoch in range(9)]
    assert ratios[:6] == [0.2] * 6
    # Progress 1/3, 2/3, 1 along half a cosine: 0.25, 0.75 and all of the way to 1.
    assert ratios[6:] == pytest.approx([0.2 + 0.8 * 0.25, 0.2 + 0.8 * 0.75, 1.0])
    assert annealed_keep_ratio(0, 1, 0.2, "cosine", 0.875) == pytest.approx(1.0)


def test_weights_are_scaled_to_mean_one_or_left() -> None:
    weights = np.array([1.0, 1.0, 4.0], dtype=np.float32)
    assert scale_weights(weights, "mean").tolist() == pytest.approx([0.5, 0.5, 2.0])
    assert scale_weights(weights, "mean").dtype == np.float32
    assert scale_weights(weights, "sum").tolist() == [1.0, 1.0, 4.0]
