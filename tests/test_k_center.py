"""k-center: rows by hand, the greedy bound, copies, memory."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
import torch
from scripted_probe import ScriptedProbe

from baselines.k_center import KCenter, farthest_first
from stprune.pruning.base import PruningContext
from stprune.pruning.static import BlockOptions, choose_in_blocks


def test_rows_by_hand() -> None:
    rows = np.array([[0.0], [2.0], [4.5], [5.0], [10.0]], np.float32)
    # The mean is 4.3: begins at 4.5; 10 is 5.5 away, 0 then 4.5, 2 then 2.
    chosen, weights = farthest_first(rows, 4)
    assert chosen.tolist() == [2, 4, 0, 1]
    assert weights.tolist() == [1, 1, 1, 1]


def radius(rows: np.ndarray, chosen: tuple[int, ...]) -> float:
    distance = np.linalg.norm(rows[:, None] - rows[list(chosen)], axis=2)
    return float(distance.min(1).max())


def test_the_radius_is_at_most_twice_the_best() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        rows = rng.normal(size=(12, 2)).astype(np.float32)
        best = min(radius(rows, chosen) for chosen in itertools.combinations(range(12), 3))
        assert radius(rows, tuple(farthest_first(rows, 3)[0])) <= 2 * best + 1e-6


def test_copies_do_not_shrink_the_budget() -> None:
    pruner = KCenter(PruningContext(6, 4, 0.5, 0), BlockOptions())
    pruner.prepare(ScriptedProbe(training=[torch.ones(6, 3)]))
    assert len(pruner.select(0).indices) == 3


@pytest.mark.slow
def test_memory_stays_below_that_of_the_embeddings() -> None:
    rows = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
    tracemalloc.start()
    kept, _ = choose_in_blocks(rows, 10_000, 256, farthest_first)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(np.unique(kept)) == 10_000
    assert peak < rows.nbytes
