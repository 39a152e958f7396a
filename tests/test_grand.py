"""GraNd: norms by hand, averaged over models, whole gradients."""

from __future__ import annotations

import torch
from scripted_probe import ScriptedProbe

from baselines.grand import GraNd
from stprune.pruning.base import PruningContext
from stprune.pruning.static import ScoringOptions

FIRST = torch.tensor([[3.0, 4.0], [0.0, 6.0], [1.0, 1.0], [4.0, 4.0]])  # norms 5, 6, 1.4, 5.7
SECOND = torch.tensor([[9.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])


def test_the_largest_norms_are_kept() -> None:
    probe = ScriptedProbe(training=[FIRST])
    pruner = GraNd(PruningContext(4, 4, 0.5, 7), ScoringOptions(scoring_epochs=3))
    pruner.prepare(probe)
    assert pruner.select(0).indices.tolist() == pruner.select(3).indices.tolist() == [1, 3]
    assert pruner.select(0).weights.tolist() == [1, 1]
    ((epochs, seed, width),) = probe.calls
    assert (epochs, width) == (3, None)
    assert seed != 7


def test_norms_are_averaged_over_different_models() -> None:
    probe = ScriptedProbe(training=[FIRST, SECOND])
    pruner = GraNd(PruningContext(4, 4, 0.5, 7), ScoringOptions(scoring_seeds=2))
    pruner.prepare(probe)
    assert pruner.select(0).indices.tolist() == [0, 1]
    assert len({seed for _, seed, _ in probe.calls}) == 2


def test_without_pruning_nothing_is_trained() -> None:
    probe = ScriptedProbe()
    pruner = GraNd(PruningContext(4, 4, 0.0, 7), ScoringOptions())
    pruner.prepare(probe)
    assert probe.calls == []
    assert pruner.select(0).indices.tolist() == [0, 1, 2, 3]
