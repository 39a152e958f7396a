"""EL2N: norms by hand, scores from a probe, the same windows in every epoch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from baselines.el2n import EL2N, error_norm
from stprune.pruning.base import PruningContext
from stprune.pruning.static import ScoringOptions


class ScriptedProbe:
    """Gives window i the error ``scores[call][i]`` everywhere, in batches of two."""

    def __init__(self, *scores: list[float]) -> None:
        self.scores = list(scores)
        self.calls: list[tuple[int, int]] = []

    def train(self, epochs: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        values = torch.tensor(self.scores[len(self.calls)])
        self.calls.append((epochs, seed))
        for indices in torch.arange(len(values)).split(2):
            errors = values[indices][:, None, None].expand(-1, 2, 3)
            yield indices, errors, torch.ones_like(errors, dtype=torch.bool)


def kept(probe: ScriptedProbe, prune_ratio: float, options: ScoringOptions) -> list[int]:
    context = PruningContext(len(probe.scores[0]), 4, prune_ratio, seed=7)
    pruner = EL2N(context, options)
    pruner.prepare(probe)
    selections = [pruner.select(epoch) for epoch in range(4)]
    assert all((chosen.weights == 1).all() for chosen in selections)
    assert len({tuple(chosen.indices) for chosen in selections}) == 1
    indices: list[int] = selections[0].indices.tolist()
    return indices


def test_the_norm_is_a_masked_root_mean_square() -> None:
    errors = torch.tensor([[[3.0, 4.0], [0.0, 0.0]], [[3.0, 0.0], [0.0, 0.0]]])
    mask = torch.tensor([[[True, True], [True, True]], [[True, False], [False, False]]])
    # sqrt(25 / 4) and sqrt(9 / 1).
    assert error_norm(errors, mask).tolist() == [2.5, 3.0]
    assert error_norm(errors * 0, torch.zeros_like(mask)).tolist() == [0.0, 0.0]


def test_the_largest_norms_are_kept() -> None:
    probe = ScriptedProbe([1.0, 5.0, 2.0, 4.0, 3.0])
    assert kept(probe, 0.4, ScoringOptions(scoring_epochs=3)) == [1, 3, 4]
    assert [epochs for epochs, _ in probe.calls] == [3]


def test_scores_are_averaged_over_different_models() -> None:
    probe = ScriptedProbe([9.0, 5.0, 0.0, 1.0], [0.0, 5.0, 8.0, 1.0])
    assert kept(probe, 0.5, ScoringOptions(scoring_seeds=2)) == [0, 1]
    seeds = [seed for _, seed in probe.calls]
    assert len(set(seeds)) == 2
    assert 7 not in seeds


def test_ties_go_to_the_earlier_window() -> None:
    assert kept(ScriptedProbe([1.0, 1.0, 1.0, 1.0]), 0.5, ScoringOptions()) == [0, 1]


@pytest.mark.parametrize(("prune_ratio", "size"), [(0.0, 4), (0.99, 1)])
def test_the_budget_is_exact(prune_ratio: float, size: int) -> None:
    assert len(kept(ScriptedProbe([1.0, 2.0, 3.0, 4.0]), prune_ratio, ScoringOptions())) == size
