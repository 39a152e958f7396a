"""UCB: bounds by hand, running means, and that rarely visited windows come back."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from baselines.ucb import UCB, UCBOptions, upper_bounds
from stprune.pruning.base import PruningContext


def show(pruner: UCB, windows: list[int], values: list[float]) -> None:
    """Let the pruner observe a uniform error for each window."""
    errors = torch.tensor(values)[:, None, None].expand(-1, 2, 3).clone()
    pruner.observe(torch.tensor(windows), errors, torch.ones_like(errors, dtype=torch.bool))


def test_bounds_by_hand() -> None:
    means = np.array([1.0, 3.0, 0.0], np.float32)
    visits = np.array([4.0, 1.0, 0.0], np.float32)
    bounds = upper_bounds(means, visits, rounds=4, exploration=2.0)
    # The standard deviation of the seen means, 1 and 3, is 1.
    assert bounds[0] == pytest.approx(1 + 2 * math.sqrt(math.log(5) / 4))
    assert bounds[1] == pytest.approx(3 + 2 * math.sqrt(math.log(5)))
    assert bounds[2] == math.inf
    assert np.isinf(upper_bounds(means, np.zeros(3, np.float32), 1, 1.0)).all()


def test_means_are_over_all_visits() -> None:
    pruner = UCB(PruningContext(4, 8, 0.5, 0), UCBOptions())
    show(pruner, [2, 0], [4.0, 1.0])
    show(pruner, [2], [8.0])
    show(pruner, [2], [0.0])
    assert pruner.window_state["means"].tolist() == pytest.approx([1, math.inf, 4, math.inf])
    assert pruner.window_state["visits"].tolist() == [1, 0, 3, 0]


def test_masked_entries_do_not_count() -> None:
    pruner = UCB(PruningContext(1, 8, 0.0, 0), UCBOptions())
    mask = torch.tensor([[[True, False]]])
    pruner.observe(torch.tensor([0]), torch.tensor([[[6.0, 0.0]]]), mask)
    assert pruner.window_state["means"].tolist() == [6.0]


def test_without_exploration_the_largest_means_are_kept() -> None:
    pruner = UCB(PruningContext(5, 16, 0.6, 0), UCBOptions(exploration=0))
    assert pruner.select(0).indices.tolist() == [0, 1, 2, 3, 4]
    show(pruner, [0, 1, 2, 3, 4], [1.0, 5.0, 5.0, 4.0, 5.0])
    chosen = pruner.select(1)
    assert chosen.indices.tolist() == [1, 2]
    assert chosen.weights.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("exploration", "distinct"), [(0.0, 2), (20.0, 6)])
def test_exploration_brings_every_window_back(exploration: float, distinct: int) -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    pruner = UCB(PruningContext(6, 40, 2 / 3, 0), UCBOptions(exploration=exploration))
    show(pruner, list(range(6)), values)
    kept = set()
    for epoch in range(1, 12):
        windows = pruner.select(epoch).indices.tolist()
        assert len(windows) == 2
        kept |= set(windows)
        show(pruner, windows, [values[window] for window in windows])
    assert len(kept) == distinct


def test_the_schedule_is_that_of_the_other_dynamic_pruners() -> None:
    pruner = UCB(PruningContext(10, 8, 0.5, 0), UCBOptions())
    sizes = [len(pruner.select(epoch).indices) for epoch in range(8)]
    assert sizes == [10, 5, 5, 5, 5, 5, 5, 10]
    steady = UCB(PruningContext(10, 8, 0.5, 0), UCBOptions(annealing="none"))
    assert len(steady.select(7).indices) == 5
