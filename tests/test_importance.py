"""Sampling in proportion to the score: probabilities and weights by hand and as properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from stprune.pruning.selection import importance, inclusion_probabilities

SCORES = st.one_of(
    st.floats(0, 100, width=32), st.just(1.0), st.just(float("inf")), st.just(float("nan"))
)


@st.composite
def scored(draw: st.DrawFn) -> tuple[NDArray[np.float32], int]:
    """Scores with ties, NaN and infinity, and K."""
    scores = draw(npst.arrays(np.float32, st.integers(1, 40), elements=SCORES))
    return scores, draw(st.integers(1, len(scores)))


@st.composite
def draws(draw: st.DrawFn) -> tuple[NDArray[np.float64], int]:
    """Positive numbers of very different size, and K."""
    values = draw(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=40))
    return np.array(values), draw(st.integers(1, len(values)))


@given(case=draws())
def test_inclusion_probabilities_are_proportional_below_the_cap(
    case: tuple[NDArray[np.float64], int],
) -> None:
    draw, size = case
    probability = inclusion_probabilities(draw, size)
    assert probability.sum() == pytest.approx(size, rel=1e-9)
    assert (probability > 0).all()
    assert probability.max() <= 1
    below = probability < 1 - 1e-9
    ratio = probability[below] / draw[below]
    np.testing.assert_allclose(ratio, ratio[:1].repeat(len(ratio)), rtol=1e-9)
    # Nobody is certain who, in proportion to the others, need not be.
    if below.any():
        assert (draw[~below] * ratio[0] >= 1 - 1e-6).all()


def test_inclusion_probabilities_by_hand() -> None:
    # 2 * 8 / 10 is more than 1; the one place left is shared between the others.
    assert inclusion_probabilities(np.array([8.0, 1.0, 1.0]), 2).tolist() == [1.0, 0.5, 0.5]
    # Twice capped: 3 * 16 / 20, then 2 * 3 / 4.
    capped = inclusion_probabilities(np.array([16.0, 3.0, 0.5, 0.5]), 3)
    assert capped.tolist() == [1.0, 1.0, 0.5, 0.5]


@given(case=scored(), score_share=st.sampled_from([0.0, 0.5, 0.99]), seed=st.integers(0, 99))
def test_importance_keeps_exactly_k(
    case: tuple[NDArray[np.float32], int], score_share: float, seed: int
) -> None:
    scores, size = case
    rng = np.random.default_rng(seed)
    chosen = importance(scores, size, score_share=score_share, rng=rng)
    assert len(chosen.indices) == len(np.unique(chosen.indices)) == size
    assert (np.diff(chosen.indices) > 0).all()
    assert chosen.indices.dtype == np.int64
    assert chosen.weights.dtype == np.float32
    assert np.isfinite(chosen.weights).all()
    assert (chosen.weights >= 1).all()
    # No window is rarer than the uniform floor makes it.
    floor = (1 - score_share) * size / len(scores)
    assert (chosen.weights <= 1 / floor * (1 + 1e-5)).all()


def test_importance_weighs_by_hand() -> None:
    """Probabilities 2 * (0.5 / 4 + 0.5 * c / 10): 0.35, 0.45, 0.55 and 0.65."""
    scores = np.array([1, 2, 3, 4], dtype=np.float32)
    rng, kept = np.random.default_rng(0), np.zeros(4)
    for _ in range(4000):
        chosen = importance(scores, 2, score_share=0.5, rng=rng)
        expected = 1 / np.array([0.35, 0.45, 0.55, 0.65])[chosen.indices]
        np.testing.assert_allclose(chosen.weights, expected, rtol=1e-6)
        kept[chosen.indices] += 1
    # Within five standard errors of at most 0.5 / sqrt(4000).
    np.testing.assert_allclose(kept / 4000, [0.35, 0.45, 0.55, 0.65], atol=0.04)
    # What is unseen or not a number counts as the largest score known.
    odd = np.array([1, np.nan, np.inf, 4], dtype=np.float32)
    as_largest = importance(odd, 4, score_share=0.5, rng=rng)
    assert as_largest.weights.tolist() == [1.0] * 4
    one = importance(np.array([0, np.nan, np.inf, 4], np.float32), 1, score_share=0.9, rng=rng)
    rare, common = 1 / 0.025, 1 / 0.325
    assert one.weights[0] == pytest.approx(rare if one.indices[0] == 0 else common, rel=1e-6)
