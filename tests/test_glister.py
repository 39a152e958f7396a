"""GLISTER: rounds by hand, the step's effect, exact budgets, memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from scripted_probe import ScriptedProbe

from baselines.glister import Glister, GlisterOptions, lower_validation_loss
from stprune.pruning.base import PruningContext

# Mean squared norm 1, so nothing is rescaled.
TRAINING = np.array([[1, 0], [1, 0], [0, 1], [0, -1], [-1, 0]], np.float32)
# The mean is (1, 0.5), and F is [[1, 0.5], [0.5, 0.5]].
VALIDATION = np.array([[1, 0], [1, 1]], np.float32)


def test_rounds_by_hand() -> None:
    # Gains are 1, 1, .5, -.5, -1. After row 0 the gradient is (1, .5) - (1, .5) = 0: row 1 is
    # the earliest of equals. After it, (-1, -.5): row 4.
    for size, rows in ((1, [0]), (2, [0, 1]), (3, [0, 1, 4])):
        chosen = lower_validation_loss(TRAINING, VALIDATION, size, rounds=size, step=1.0)
        assert chosen.tolist() == rows


def test_without_steps_the_best_aligned_are_kept() -> None:
    for rounds in (1, 3, 50):
        chosen = lower_validation_loss(TRAINING, VALIDATION, 3, rounds=rounds, step=0.0)
        assert chosen.tolist() == [0, 1, 2]


def test_the_scale_of_the_loss_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    training = rng.normal(size=(50, 4)).astype(np.float32)
    validation = (rng.normal(size=(20, 4)) + 0.5).astype(np.float32)
    one = lower_validation_loss(training, validation, 20, rounds=5, step=1.0)
    other = lower_validation_loss(8 * training, 8 * validation, 20, rounds=5, step=1.0)
    assert one.tolist() == other.tolist()


@pytest.mark.parametrize("rounds", [1, 3, 7, 100])
def test_the_budget_is_exact(rounds: int) -> None:
    for size in range(1, 6):
        chosen = lower_validation_loss(TRAINING, VALIDATION, size, rounds=rounds, step=1.0)
        assert len(np.unique(chosen)) == len(chosen) == size


def test_the_pruner_matches_the_validation_windows() -> None:
    probe = ScriptedProbe(
        training=[torch.from_numpy(TRAINING)], validation=torch.tensor([[0.0, -1.0]])
    )
    pruner = Glister(PruningContext(5, 4, 0.8, 0), GlisterOptions(width=2, scoring_epochs=3))
    pruner.prepare(probe)
    assert pruner.select(0).indices.tolist() == [3]
    assert pruner.select(0).weights.tolist() == [1]
    assert [(epochs, width) for epochs, _, width in probe.calls] == [(3, 2)]


@pytest.mark.slow
def test_memory_stays_below_three_times_the_embeddings() -> None:
    rng = np.random.default_rng(0)
    training = rng.normal(size=(20_000, 64)).astype(np.float32)
    validation = rng.normal(size=(3_000, 64)).astype(np.float32)
    tracemalloc.start()
    kept = lower_validation_loss(training, validation, 10_000, rounds=20, step=1.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(np.unique(kept)) == 10_000
    assert peak < 3 * training.nbytes
