"""GradMatch: weights by hand, atoms against plain ridge regression, memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from scripted_probe import ScriptedProbe

from baselines.gradmatch import GradMatch, GradMatchOptions, match_gradients, pick_atoms
from stprune.pruning.base import PruningContext
from stprune.pruning.static import choose_in_blocks


def test_weights_by_hand() -> None:
    # The sum is (4, 2), the mean squared norm 20 / 3, so the penalty 2. The rows are orthogonal:
    # each weight is g.b / (g.g + 2).
    rows = np.array([[4.0, 0.0], [0.0, 0.0], [0.0, 2.0]], np.float32)
    chosen, weights = match_gradients(rows, 2, regularisation=0.3, least_weight=0.01)
    assert chosen.tolist() == [0, 2]
    assert weights.tolist() == pytest.approx([16 / 18, 4 / 6])


def test_atoms_are_those_of_ridge_regression_done_in_full() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 4)) + 0.3
    target, penalty = rows.sum(0), 2.0
    expected: list[int] = []
    residual = target
    for _ in range(12):
        products = rows @ residual
        products[expected] = -np.inf
        expected.append(int(np.argmax(products)))
        atoms = rows[expected]
        weights = np.linalg.solve(atoms @ atoms.T + penalty * np.eye(len(expected)), atoms @ target)
        residual = target - weights @ atoms
    assert pick_atoms(rows, 12, penalty).tolist() == expected


def test_the_sum_is_matched_better_than_by_a_uniform_sample() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 8)).astype(np.float32)
    chosen, weights = match_gradients(rows, 40, regularisation=0.1, least_weight=1e-6)
    gap = np.linalg.norm(weights @ rows[chosen] - rows.sum(0))
    chance = [
        np.linalg.norm(5 * rows[rng.permutation(200)[:40]].sum(0) - rows.sum(0)) for _ in range(100)
    ]
    assert gap < min(chance)


def test_a_window_without_weight_is_kept_with_the_least() -> None:
    rows = np.array([[1.0], [1.0], [-0.5]], np.float32)
    chosen, weights = match_gradients(rows, 3, regularisation=0.1, least_weight=0.2)
    by_row = dict(zip(chosen.tolist(), weights, strict=True))
    assert by_row[0] == pytest.approx(by_row[1])
    # Mean of (w, w, 0) is 2 w / 3.
    assert by_row[2] == pytest.approx(0.2 * 2 / 3 * by_row[0])


@pytest.mark.parametrize("values", [torch.zeros(6, 2), torch.ones(6, 2)])
def test_equal_gradients_get_equal_weights(values: torch.Tensor) -> None:
    pruner = GradMatch(PruningContext(6, 4, 0.5, 0), GradMatchOptions())
    pruner.prepare(ScriptedProbe(training=[values]))
    assert pruner.select(0).weights.tolist() == pytest.approx([1, 1, 1])


@pytest.mark.slow
def test_memory_stays_below_twice_that_of_the_embeddings() -> None:
    rows = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
    tracemalloc.start()
    kept, weights = choose_in_blocks(
        rows,
        10_000,
        256,
        lambda block, size: match_gradients(block, size, regularisation=1.0, least_weight=0.01),
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(np.unique(kept)) == 10_000
    assert weights.min() > 0
    assert peak < 2 * rows.nbytes
