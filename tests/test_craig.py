"""CRAIG: medoids and clusters by hand, the greedy rule against a plain one, memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from scripted_probe import ScriptedProbe

from baselines.craig import Craig, CraigOptions, facility_location
from stprune.pruning.base import PruningContext
from stprune.pruning.static import choose_in_blocks

LINE = [[0.0], [1.0], [2.0], [10.0], [11.0]]


def test_medoids_by_hand() -> None:
    # Sums of distances are 24, 21, 20, 28, 32: begins at 2. Then 10 saves 8 + 8 for itself and
    # 11; 11 saves as much, 7 + 9, but comes later.
    chosen, sizes = facility_location(np.array(LINE, np.float32), 2)
    assert chosen.tolist() == [2, 3]
    assert sizes.tolist() == [3, 2]


def test_greedy_choice_and_clusters_against_a_plain_loop() -> None:
    rows = np.random.default_rng(1).normal(size=(15, 3)).astype(np.float32)
    distance = np.linalg.norm(rows[:, None] - rows, axis=2)
    expected: list[int] = []
    for _ in range(6):
        costs = {
            row: distance[:, [*expected, row]].min(1).sum()
            for row in range(15)
            if row not in expected
        }
        expected.append(min(costs, key=lambda row: costs[row]))
    chosen, sizes = facility_location(rows, 6)
    assert chosen.tolist() == expected
    assert sizes.tolist() == np.bincount(distance[:, expected].argmin(1)).tolist()


def test_weights_are_cluster_sizes() -> None:
    for scale, weights in (("sum", [3, 2]), ("mean", [1.2, 0.8])):
        pruner = Craig(PruningContext(5, 4, 0.6, 0), CraigOptions(loss_scale=scale))
        pruner.prepare(ScriptedProbe(training=[torch.tensor(LINE)]))
        assert pruner.select(2).indices.tolist() == [2, 3]
        assert pruner.select(2).weights.tolist() == pytest.approx(weights)


def test_copies_each_stand_for_themselves() -> None:
    chosen, sizes = facility_location(np.ones((6, 2), np.float32), 4)
    assert len(set(chosen.tolist())) == 4
    assert sizes.sum() == 6
    assert sizes.min() >= 1


@pytest.mark.slow
def test_memory_stays_below_twice_that_of_the_embeddings() -> None:
    rows = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
    tracemalloc.start()
    kept, sizes = choose_in_blocks(rows, 10_000, 256, facility_location)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(np.unique(kept)) == 10_000
    assert sizes.sum() == 20_000
    assert peak < 2 * rows.nbytes
