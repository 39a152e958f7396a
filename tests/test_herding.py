"""Herding: rows by hand, the mean that is followed, memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from scripted_probe import ScriptedProbe

from baselines.herding import Herding, herd
from stprune.pruning.base import PruningContext
from stprune.pruning.static import BlockOptions, choose_in_blocks


def test_rows_by_hand() -> None:
    # The mean is 3. Lack 3: takes 8. Lack 3 + 3 - 8 = -2: takes 0. Lack 1: takes 3.
    rows = np.array([[0.0], [1.0], [3.0], [8.0]], np.float32)
    chosen, weights = herd(rows, 3)
    assert chosen.tolist() == [3, 0, 2]
    assert weights.tolist() == [1, 1, 1]


def test_the_mean_is_followed_more_closely_than_by_chance() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 5)).astype(np.float32)
    gap = np.linalg.norm(rows[herd(rows, 50)[0]].mean(0) - rows.mean(0))
    chance = [
        np.linalg.norm(rows[rng.permutation(200)[:50]].mean(0) - rows.mean(0)) for _ in range(100)
    ]
    assert gap < min(chance)


def test_each_block_follows_its_own_mean() -> None:
    values = torch.tensor([[0.0], [1.0], [3.0], [8.0], [8.0], [3.0], [1.0], [0.0]])
    pruner = Herding(PruningContext(8, 4, 0.5, 0), BlockOptions(block=4, width=1))
    pruner.prepare(ScriptedProbe(training=[values]))
    assert pruner.select(0).indices.tolist() == [0, 3, 4, 7]
    assert pruner.select(0).weights.tolist() == [1, 1, 1, 1]


@pytest.mark.slow
def test_memory_stays_below_that_of_the_embeddings() -> None:
    rows = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
    tracemalloc.start()
    kept, _ = choose_in_blocks(rows, 10_000, 256, herd)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(np.unique(kept)) == 10_000
    assert peak < rows.nbytes
