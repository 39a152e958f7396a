"""ST-Prune as a pruner: its schedule, its memory and its options."""

from __future__ import annotations

import pytest
import torch
from toy import training_store

from stprune.errors import DeclinedError
from stprune.pruners.base import PruningContext
from stprune.pruners.st_prune import STPrune, STPruneOptions


def pruner(windows: int, prune_ratio: float, epochs: int = 8) -> STPrune:
    context = PruningContext(windows, epochs, prune_ratio, 0, store=training_store(windows))
    return STPrune(context, STPruneOptions(loss_scale="sum"))


def test_without_pruning_every_epoch_is_full() -> None:
    full = pruner(50, 0.0)
    for epoch in range(8):
        chosen = full.select(epoch)
        assert chosen.indices.tolist() == list(range(50))
        assert (chosen.weights == 1).all()


def test_the_first_epoch_and_the_tail_are_full_and_the_hardest_stay() -> None:
    subject = pruner(50, 0.8)
    assert len(subject.select(0).indices) == 50
    errors = torch.arange(50.0)[:, None, None].expand(50, 2, 3)
    mask = torch.ones((), dtype=torch.bool).expand(50, 2, 3)
    subject.observe(torch.arange(50), errors, mask)
    for epoch in range(1, 7):
        chosen = subject.select(epoch)
        assert len(chosen.indices) == 10
        assert set(range(45, 50)) <= set(chosen.indices.tolist())
        # 5 hard windows weigh 1 each; the 5 easy ones stand for no more than the other 45.
        assert chosen.weights[-5:].tolist() == [1.0] * 5
    assert len(subject.select(7).indices) == 50


def test_it_declines_to_work_without_windows() -> None:
    with pytest.raises(DeclinedError, match="training windows"):
        STPrune(PruningContext(10, 4, 0.5, 0), STPruneOptions())
