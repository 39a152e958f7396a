"""Forgetting events by hand, and ties without a favourite."""

from __future__ import annotations

import numpy as np
from scripted_probe import ScriptedProbe

from baselines.forgetting import Forgetting, ForgettingOptions, forgetting_events
from stprune.pruning.base import PruningContext

ERRORS = np.array(
    [
        # falls, up and down, rises, forgotten once
        [9.0, 5.0, 1.0, 4.0],
        [8.0, 4.0, 2.0, 3.0],  # medians of what was: 9, 5, 1, 4
        [7.0, 6.0, 3.0, 2.0],  # 8.5, 4.5, 1.5, 3.5
        [6.0, 4.0, 4.0, 9.0],  # 8, 5, 2, 3
        [5.0, 9.0, 5.0, 9.0],  # 7.5, 4.5, 2.5, 3.5
    ],
    dtype=np.float32,
)


def test_events_by_hand() -> None:
    # The second is forgotten in epochs 2 and 4; the third never was learned: 5.
    assert forgetting_events(ERRORS).tolist() == [0, 2, 5, 1]


def test_the_most_forgotten_are_kept_whatever_the_order_of_visits() -> None:
    probe = ScriptedProbe(errors=ERRORS.tolist())
    pruner = Forgetting(PruningContext(4, 4, 0.5, 0), ForgettingOptions(scoring_epochs=5))
    pruner.prepare(probe)
    for epoch in range(4):
        assert pruner.select(epoch).indices.tolist() == [1, 2]
        assert pruner.select(epoch).weights.tolist() == [1, 1]


def test_ties_do_not_favour_early_windows() -> None:
    kept = np.zeros(20)
    for seed in range(400):
        pruner = Forgetting(PruningContext(20, 4, 0.5, seed), ForgettingOptions(scoring_epochs=3))
        pruner.prepare(ScriptedProbe(errors=[[1.0] * 20] * 3))
        kept[pruner.select(0).indices] += 1
    # Four standard errors of a share of one half.
    assert np.abs(kept / 400 - 0.5).max() < 4 * 0.5 / np.sqrt(400)
