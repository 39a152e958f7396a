"""Budgets: how many epochs windows, steps or time allow, by hand and as bounds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_runs import key_of

from baselines.infobatch import InfoBatch, InfoBatchOptions
from baselines.random_dynamic import RandomDynamic, RandomDynamicOptions
from baselines.random_static import RandomStatic
from stprune.base.schema import NoOptions
from stprune.base.settings import TrainingSettings
from stprune.config.experiment import ExperimentConfig
from stprune.pruning.base import Pruner, PruningContext
from stprune.records.run import Cost, EpochRecord
from stprune.training.budget import TrainingBudget, peak_memory_bytes, run_cost
from stprune.training.clock import Clock
from stprune.training.run import train

WINDOWS, EPOCHS, BATCH = 100, 8, 16


def settings(kind: Any, **changes: Any) -> TrainingSettings:
    return TrainingSettings(budget=kind, epochs=EPOCHS, batch_size=BATCH, **changes)


def random_dynamic(prune_ratio: float, **options: Any) -> RandomDynamic:
    context = PruningContext(WINDOWS, EPOCHS, prune_ratio, seed=0)
    return RandomDynamic(context, RandomDynamicOptions(**options))


def record(epoch: int, windows: int, a_window: float = 0.01, **parts: float) -> EpochRecord:
    """An epoch whose time is ``a_window`` for each window, and what ``parts`` say."""
    seconds = {"scoring": 0.0, "selection": 0.0, "validation": 0.0, "checkpoint": 0.0} | parts
    return EpochRecord(
        epoch=epoch,
        windows=windows,
        keep_ratio=windows / WINDOWS,
        gradient_steps=-(-windows // BATCH),
        learning_rate=1e-3,
        train_loss=1.0,
        validation_mae=1.0,
        data_seconds=0.0,
        step_seconds=a_window * windows,
        scoring_seconds=seconds["scoring"],
        selection_seconds=seconds["selection"],
        train_seconds=a_window * windows + seconds["scoring"] + seconds["selection"],
        validation_seconds=seconds["validation"],
        checkpoint_seconds=seconds["checkpoint"],
        elapsed_seconds=0.0,
    )


def trained(pruner: Pruner, budget: TrainingBudget, **parts: float) -> list[EpochRecord]:
    """Go through a run without training it."""
    records: list[EpochRecord] = []
    budget.plan(pruner, records, 0.0)
    while len(records) < budget.planned_epochs(pruner):
        windows = len(pruner.select(len(records)).indices)
        pruned = parts if windows < WINDOWS else {k: v for k, v in parts.items() if k[0] != "s"}
        records.append(record(len(records), windows, **pruned))
        budget.plan(pruner, records, 0.0)
    return records


def test_epochs_are_the_default_and_change_nothing() -> None:
    pruner = random_dynamic(0.5)
    budget = TrainingBudget(settings("epochs"), WINDOWS)
    assert [r.windows for r in trained(pruner, budget)] == [100, *[50] * 6, 100]
    assert pruner.epochs == EPOCHS
    assert budget.share([record(e, 50) for e in range(4)], 9.0) == 0.5


def test_total_windows_by_hand() -> None:
    # 800 windows at 10 an epoch and none of the schedule's full epochs: 80 epochs.
    pruner = random_dynamic(0.9, full_first_epoch=False, annealing="none")
    records = trained(pruner, TrainingBudget(settings("total_windows"), WINDOWS))
    assert [r.windows for r in records] == [10] * 80
    # 100 + 50 a + 100 b <= 800 for E' = 1 + a + b with b = ceil(E' / 8): a = 10, b = 2.
    pruner = random_dynamic(0.5)
    records = trained(pruner, TrainingBudget(settings("total_windows"), WINDOWS))
    assert [r.windows for r in records] == [100, *[50] * 10, 100, 100]


def test_steps_count_batches() -> None:
    # Full training: 8 x ceil(100 / 16) = 56 steps; 10 windows are one step.
    pruner = random_dynamic(0.9, full_first_epoch=False, annealing="none")
    records = trained(pruner, TrainingBudget(settings("steps"), WINDOWS))
    assert len(records) == 56
    assert sum(r.gradient_steps for r in records) == 56


def test_total_time_counts_overhead_and_validation() -> None:
    # A window takes 0.01 s, so a full epoch with its validation 2 s, and full training 16 s.
    # A pruned epoch takes 0.5 + 0.5 + 1 = 2 s as well: nothing is gained.
    pruner = random_dynamic(0.5, full_first_epoch=False, annealing="none")
    budget = TrainingBudget(settings("total_time"), WINDOWS)
    records = trained(pruner, budget, scoring=0.25, selection=0.25, validation=1.0)
    assert len(records) == 8
    assert budget.share(records, 0.0) == pytest.approx(1.0)
    # Without overhead, and validating every other epoch at 0.5 s: 12 s against 1 s.
    pruner = random_dynamic(0.5, full_first_epoch=False, annealing="none")
    budget = TrainingBudget(settings("total_time", validate_every=2), WINDOWS)
    first = record(0, 50, validation=1.0)
    budget.plan(pruner, [first], 0.0)
    assert pruner.epochs == 12  # 1.5 + 11 x 1 = 12.5 s, half an epoch off either way


def test_preparation_is_paid_from_total_time() -> None:
    context = PruningContext(WINDOWS, EPOCHS, 0.5, seed=0)
    pruner = RandomStatic(context, NoOptions())
    budget = TrainingBudget(settings("total_time"), WINDOWS)
    budget.plan(pruner, [record(0, 50)], 4.0)
    assert pruner.epochs == 8  # (8 - 4) / 0.5
    assert budget.share([record(0, 50)] * 8, 4.0) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["total_windows", "steps", "total_time"])
@given(prune_ratio=st.floats(0, 0.95), annealing=st.sampled_from(["none", "tail", "cosine"]))
def test_no_budget_is_exceeded_nor_left_unspent(
    kind: str, prune_ratio: float, annealing: str
) -> None:
    pruner = random_dynamic(prune_ratio, annealing=annealing)
    budget = TrainingBudget(settings(kind), WINDOWS)
    records = trained(pruner, budget, selection=0.001, scoring=0.001)
    share = budget.share(records, 0.0)
    # Time is met to the nearest epoch, the others are not exceeded.
    assert share <= 1 + (0.5 / EPOCHS if kind == "total_time" else 0) + 1e-6
    # One more epoch moves the tail by one at most: two full epochs of eight bound what is left.
    assert share > 1 - 2 / EPOCHS
    if annealing == "tail" and prune_ratio > 0:
        sizes = [r.windows for r in records]
        tail = sizes[::-1].index(min(sizes)) if min(sizes) < WINDOWS else len(sizes)
        assert all(size < WINDOWS for size in sizes[1 : len(sizes) - tail])


@pytest.mark.parametrize("kind", ["total_windows", "steps", "total_time"])
def test_full_training_is_the_same_under_every_budget(kind: str) -> None:
    pruner = random_dynamic(0.0)
    assert len(trained(pruner, TrainingBudget(settings(kind), WINDOWS), validation=0.5)) == EPOCHS


def test_full_training_loses_no_epoch_to_a_slow_first_one() -> None:
    pruner = random_dynamic(0.0)
    budget = TrainingBudget(settings("total_time"), WINDOWS)
    budget.plan(pruner, (), 0.0)
    records: list[EpochRecord] = []
    for epoch, a_window in enumerate([0.05, *[0.01] * 4, 0.02, 0.01, 0.013]):
        assert budget.planned_epochs(pruner) == EPOCHS
        parts = {"validation": 0.3 * a_window, "scoring": 0.001, "selection": 0.002}
        records.append(record(epoch, WINDOWS, a_window, **parts))
        budget.plan(pruner, records, 0.0)
    assert budget.planned_epochs(pruner) == EPOCHS
    assert budget.share(records, 0.0) == pytest.approx(1.0, abs=0.01)


def test_the_learning_rate_follows_the_budget() -> None:
    budget = TrainingBudget(settings("total_windows"), WINDOWS)
    records = [record(e, 10) for e in range(85)]
    steps = [budget.schedule_epoch(records[:done], 0.0) for done in (9, 10, 19, 20, 85)]
    assert steps == [0, 1, 1, 2, EPOCHS]


def test_the_original_infobatch_is_planned_from_what_it_has_seen() -> None:
    context = PruningContext(WINDOWS, EPOCHS, 0.5, seed=0)
    pruner = InfoBatch(context, InfoBatchOptions(budget="original"))
    assert pruner.epoch_windows(1, EPOCHS) == 75
    pruner.window_state["scores"][:] = 1.0
    pruner.window_state["scores"][:20] = 11.0
    assert pruner.epoch_windows(1, EPOCHS) == 60
    assert len(pruner.select(1).indices) == 60


@pytest.mark.parametrize("kind", ["total_windows", "steps"])
def test_a_run_spends_its_budget_and_says_so(all_pruners: ExperimentConfig, kind: Any) -> None:
    training = all_pruners.training.model_copy(update={"budget": kind, "epochs": 4})
    config = all_pruners.model_copy(update={"training": training})
    record = train(config, key_of("st_prune"), [])
    cost = record.cost
    assert cost.budget == kind
    assert cost.epochs > 4
    assert 0.7 < cost.budget_share <= 1
    steps = 4 * -(-cost.training_windows // training.batch_size)
    spent, limit = {
        "total_windows": (cost.windows_visited, 4 * cost.training_windows),
        "steps": (cost.gradient_steps, steps),
    }[kind]
    assert cost.budget_share == pytest.approx(spent / limit)


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
