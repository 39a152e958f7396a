"""Budgets: how many epochs windows, steps or time allow, by hand and as bounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_runs import key_of, outcome

from baselines.infobatch import InfoBatch, InfoBatchOptions
from baselines.random_dynamic import RandomDynamic, RandomDynamicOptions
from baselines.random_static import RandomStatic
from stprune.base.schema import NoOptions
from stprune.base.settings import TrainingSettings
from stprune.config.experiment import ExperimentConfig
from stprune.pruning.base import Pruner, PruningContext
from stprune.records.run import EpochRecord
from stprune.training.budget import TrainingBudget
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


def test_full_training_keeps_its_bits_under_another_budget(all_pruners: ExperimentConfig) -> None:
    full = train(all_pruners, key_of("full"), [])
    training = all_pruners.training.model_copy(update={"budget": "total_windows"})
    config = all_pruners.model_copy(update={"training": training, "experiment": "another_budget"})
    again = train(config, key_of("full"), [])
    assert again.test == full.test
    _, epochs = outcome(config, key_of("full"))
    assert epochs.equals(outcome(all_pruners, key_of("full"))[1])


def test_total_time_is_spent(all_pruners: ExperimentConfig) -> None:
    training = all_pruners.training.model_copy(update={"budget": "total_time", "epochs": 6})
    config = all_pruners.model_copy(update={"training": training})
    record = train(config, key_of("random_dynamic"), [])
    # Times are real here, so only what must hold on any machine: it ran, and says what it spent.
    assert record.cost.budget == "total_time"
    assert record.cost.budget_share > 0
