"""InfoBatch: the published rule by hand, and its form with an exact budget."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from baselines.infobatch import InfoBatch, InfoBatchOptions, infobatch_select
from stprune.pruning.base import PruningContext, budget

# Mean 5.5 with ten windows: 8 below it, 2 above.
SCORES = np.array([1, 2, 3, 4, 5, 1, 2, 3, 14, 20], dtype=np.float32)


def test_the_published_rule_by_hand() -> None:
    """Half of the 8 below-mean windows stay, with weight 1 / (1 - p)."""
    chosen = infobatch_select(SCORES, 0.5, np.random.default_rng(0), "original")
    assert len(chosen.indices) == 6
    weights = dict(zip(chosen.indices.tolist(), chosen.weights.tolist(), strict=True))
    assert (weights.pop(8), weights.pop(9)) == (1.0, 1.0)
    assert list(weights.values()) == [2.0] * 4
    assert chosen.weights.sum() == 10


def test_a_tenth_of_ten_windows_is_one() -> None:
    """(1 - 0.9) * 10 is a little below 1 in floating point."""
    scores = np.array([0] * 10 + [100], dtype=np.float32)
    chosen = infobatch_select(scores, 0.9, np.random.default_rng(0), "original")
    assert len(chosen.indices) == 2
    assert sorted(chosen.weights.tolist()) == pytest.approx([1.0, 10.0])


def test_the_mean_itself_is_kept() -> None:
    constant = infobatch_select(np.ones(5, np.float32), 0.9, np.random.default_rng(0), "original")
    assert constant.indices.tolist() == [0, 1, 2, 3, 4]
    assert (constant.weights == 1).all()


def test_the_exact_budget_by_hand() -> None:
    """K = 5: both above-mean windows and 3 of the 8 others, which weigh 8/3."""
    chosen = infobatch_select(SCORES, 0.5, np.random.default_rng(0), "exact")
    assert len(chosen.indices) == 5
    assert {8, 9} <= set(chosen.indices.tolist())
    assert chosen.weights[-2:].tolist() == [1.0, 1.0]
    assert chosen.weights[:3].tolist() == pytest.approx([8 / 3] * 3)


def test_a_budget_below_the_above_mean_windows_draws_from_all() -> None:
    scores = np.array([0, 5, 5, 5, 5, 5, 5, 5, 5, 5], dtype=np.float32)
    rng, kept = np.random.default_rng(0), np.zeros(10)
    for _ in range(1000):
        chosen = infobatch_select(scores, 0.7, rng, "exact")
        assert len(chosen.indices) == 3
        assert chosen.weights.tolist() == pytest.approx([10 / 3] * 3)
        kept[chosen.indices] += 1
    # Four standard errors of a share of 0.3 in 1000 draws.
    assert np.abs(kept / 1000 - 0.3).max() < 4 * np.sqrt(0.3 * 0.7 / 1000)


def test_a_budget_of_just_the_above_mean_windows() -> None:
    chosen = infobatch_select(SCORES, 0.8, np.random.default_rng(0), "exact")
    assert chosen.indices.tolist() == [8, 9]
    assert chosen.weights.tolist() == [1.0, 1.0]


def test_unseen_windows_are_kept_and_do_not_move_the_mean() -> None:
    scores = np.array([1, 3, np.inf, np.nan], dtype=np.float32)
    chosen = infobatch_select(scores, 0.5, np.random.default_rng(0), "exact")
    # The mean of the seen is 2: window 0 is below it, but the budget of 2 cannot hold the rest.
    assert len(chosen.indices) == 2
    original = infobatch_select(scores, 0.99, np.random.default_rng(0), "original")
    assert original.indices.tolist() == [1, 2, 3]
    unseen = np.full(6, np.inf, dtype=np.float32)
    assert len(infobatch_select(unseen, 0.5, np.random.default_rng(0), "original").indices) == 6
    assert len(infobatch_select(unseen, 0.5, np.random.default_rng(0), "exact").indices) == 3


@given(
    scores=npst.arrays(np.float32, st.integers(1, 40), elements=st.floats(0, 10, width=32)),
    ratio=st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9, 0.99]),
)
def test_weights_stand_for_all_windows(scores: NDArray[np.float32], ratio: float) -> None:
    chosen = infobatch_select(scores, ratio, np.random.default_rng(0), "exact")
    assert len(np.unique(chosen.indices)) == budget(len(scores), 1 - ratio)
    below = scores < scores.mean(dtype=np.float64)
    if len(chosen.indices) != np.count_nonzero(~below):
        assert chosen.weights.sum() == pytest.approx(len(scores), rel=1e-5)


def test_the_tail_has_weight_one_where_it_starts_within_an_epoch() -> None:
    """0.875 of 12 epochs end within epoch 10: that one and the last are full, weight 1."""
    context = PruningContext(windows=10, epochs=12, prune_ratio=0.5, seed=0)
    subject = InfoBatch(context, InfoBatchOptions())
    assert len(subject.select(0).indices) == 10
    errors = torch.from_numpy(SCORES)[:, None, None]
    subject.observe(torch.arange(10), errors, torch.ones_like(errors, dtype=torch.bool))
    for epoch in range(1, 10):
        assert subject.select(epoch).weights.max() > 1
        assert len(subject.select(epoch).indices) == 5
    for epoch in (10, 11):
        assert subject.select(epoch).indices.tolist() == list(range(10))
        assert (subject.select(epoch).weights == 1).all()


def test_scores_are_the_masked_mean_of_the_last_visit() -> None:
    subject = InfoBatch(PruningContext(3, 8, 0.5, 0), InfoBatchOptions())
    errors = torch.tensor([[[2.0, 0.0]], [[4.0, 6.0]]])
    mask = torch.tensor([[[True, False]], [[True, True]]])
    subject.observe(torch.tensor([2, 0]), errors, mask)
    assert subject.window_state["scores"].tolist() == [5.0, float("inf"), 2.0]
    subject.observe(torch.tensor([2]), errors[1:], mask[1:])
    assert subject.window_state["scores"].tolist() == [5.0, float("inf"), 5.0]


def test_the_published_scale_can_be_changed_to_mean_one() -> None:
    context = PruningContext(windows=10, epochs=8, prune_ratio=0.5, seed=0)
    subject = InfoBatch(context, InfoBatchOptions(loss_scale="mean"))
    errors = torch.from_numpy(SCORES)[:, None, None]
    subject.observe(torch.arange(10), errors, torch.ones_like(errors, dtype=torch.bool))
    assert subject.select(1).weights.mean() == pytest.approx(1.0)
