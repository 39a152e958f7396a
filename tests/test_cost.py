"""The ledger of a run, added up by hand."""

from __future__ import annotations

import torch

from stprune.base.settings import TrainingSettings
from stprune.records.run import Cost, EpochRecord
from stprune.training.budget import TrainingBudget, peak_memory_bytes, run_cost
from stprune.training.clock import Clock


def epoch(number: int, windows: int, step: float, **parts: float) -> EpochRecord:
    """An epoch of 100 training windows in batches of 10."""
    seconds = {"data": 0.5, "scoring": 0.25, "selection": 0.125} | parts
    train = step + seconds["data"] + seconds["scoring"] + seconds["selection"]
    return EpochRecord(
        epoch=number,
        windows=windows,
        keep_ratio=windows / 100,
        gradient_steps=windows // 10,
        learning_rate=1e-3,
        train_loss=1.0,
        validation_mae=1.0,
        data_seconds=seconds["data"],
        step_seconds=step,
        scoring_seconds=seconds["scoring"],
        selection_seconds=seconds["selection"],
        train_seconds=train,
        validation_seconds=2.0,
        checkpoint_seconds=0.5,
        elapsed_seconds=0.0,
    )


def cost_of(epochs: list[EpochRecord], prune_ratio: float = 0.8, full_epochs: int = 5) -> Cost:
    return run_cost(
        epochs,
        budget=TrainingBudget(TrainingSettings(epochs=full_epochs, batch_size=10), 100),
        prune_ratio=prune_ratio,
        preparation_seconds=3.0,
        test_seconds=7.0,
        peak_memory=123,
    )


def test_a_pruned_run_by_hand() -> None:
    cost = cost_of(
        [
            epoch(0, 100, 8.0),
            epoch(1, 20, 1.0),
            epoch(2, 20, 5.0, scoring=1.0),
            epoch(3, 30, 2.0),
            epoch(4, 100, 10.0),
        ]
    )
    assert (cost.epochs, cost.gradient_steps, cost.windows_visited) == (5, 27, 270)
    assert (cost.training_windows, cost.nominal_keep_ratio) == (100, 1 - 0.8)
    assert cost.realised_keep_ratio == 70 / 3 / 100
    assert cost.overall_keep_ratio == 270 / 500
    # Pruned epochs take 1.875, 6.625 and 2.875; full ones 8.875 and 10.875.
    assert cost.epoch_seconds == 2.875
    assert cost.full_epoch_seconds == 9.875
    assert cost.overhead_seconds == 0.375
    assert cost.train_seconds == 3 + 1.875 + 6.625 + 2.875 + 8.875 + 10.875
    assert (cost.validation_seconds, cost.checkpoint_seconds) == (10.0, 2.5)
    assert cost.total_seconds == cost.train_seconds + 12.5
    assert (cost.test_seconds, cost.peak_memory_bytes) == (7.0, 123)


def test_a_run_without_pruned_epochs_counts_all_of_them() -> None:
    cost = cost_of([epoch(0, 100, 1.0), epoch(1, 100, 3.0)], prune_ratio=0.0)
    assert cost.realised_keep_ratio == 1.0
    assert cost.overall_keep_ratio == 2 / 5
    assert cost.epoch_seconds == cost.full_epoch_seconds == 2.875


def test_a_static_run_has_no_full_epoch() -> None:
    cost = cost_of([epoch(0, 20, 1.0), epoch(1, 20, 1.0)], full_epochs=2)
    assert cost.full_epoch_seconds is None
    assert cost.overall_keep_ratio == 0.2


def test_the_clock_adds_up_phases_and_starts_anew() -> None:
    clock = Clock(torch.device("cpu"))
    for _ in range(2):
        with clock.phase("data"):
            sum(range(1000))
    with clock.wall("selection"):
        sum(range(1000))
    seconds = clock.take()
    assert sorted(seconds) == ["data", "selection"]
    assert min(seconds.values()) > 0
    assert clock.take() == {}


def test_peak_memory_is_in_bytes() -> None:
    """The process holds torch, so at least 50 MB, and no machine holds a petabyte."""
    assert 50e6 < peak_memory_bytes(torch.device("cpu")) < 1e15
