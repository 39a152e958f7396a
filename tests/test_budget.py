"""What a run may spend and what it spent: epochs, windows, steps, time and joules."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from toy_runs import key_of, train_with_stops

from baselines.random_dynamic import RandomDynamic, RandomDynamicOptions
from baselines.random_static import RandomStatic
from stprune.base.schema import NoOptions
from stprune.base.settings import TrainingSettings
from stprune.pruning.base import Pruner, PruningContext
from stprune.records.run import EpochRecord
from stprune.training.budget import TrainingBudget, run_cost
from stprune.training.cost import Energy, device_counters, processor_counters

WINDOWS, EPOCHS, BATCH = 100, 8, 16


def settings(kind: Any, **changes: Any) -> TrainingSettings:
    return TrainingSettings(budget=kind, epochs=EPOCHS, batch_size=BATCH, **changes)


def random_dynamic(prune_ratio: float, **options: Any) -> RandomDynamic:
    context = PruningContext(WINDOWS, EPOCHS, prune_ratio, seed=0)
    return RandomDynamic(context, RandomDynamicOptions(**options))


TRAINING_PARTS = ("data", "step", "scoring", "selection")


def record(epoch: int, windows: int, a_window: float = 0.01, **parts: float) -> EpochRecord:
    """An epoch whose steps take ``a_window`` for each window unless ``parts`` say otherwise."""
    seconds = dict.fromkeys((*TRAINING_PARTS, "validation", "checkpoint"), 0.0)
    seconds |= {"step": a_window * windows} | parts
    return EpochRecord(
        epoch=epoch,
        windows=windows,
        keep_ratio=windows / WINDOWS,
        gradient_steps=-(-windows // BATCH),
        learning_rate=1e-3,
        train_loss=1.0,
        validation_mae=1.0,
        train_seconds=sum(seconds[part] for part in TRAINING_PARTS),
        elapsed_seconds=0.0,
        **{f"{part}_seconds": value for part, value in seconds.items()},
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


@pytest.mark.parametrize(
    ("kind", "prune_ratio", "options", "windows"),
    [
        ("epochs", 0.5, {}, [100, *[50] * 6, 100]),
        # 800 windows at 10 an epoch and none of the schedule's full epochs: 80 epochs.
        ("total_windows", 0.9, {"full_first_epoch": False, "annealing": "none"}, [10] * 80),
        # 100 + 50 a + 100 b <= 800 for E' = 1 + a + b with b = ceil(E' / 8): a = 10, b = 2.
        ("total_windows", 0.5, {}, [100, *[50] * 10, 100, 100]),
        # Full training: 8 x ceil(100 / 16) = 56 steps; 10 windows are one step.
        ("steps", 0.9, {"full_first_epoch": False, "annealing": "none"}, [10] * 56),
    ],
)
def test_epochs_of_a_budget_by_hand(kind, prune_ratio, options, windows):
    pruner = random_dynamic(prune_ratio, **options)
    budget = TrainingBudget(settings(kind), WINDOWS)
    assert [r.windows for r in trained(pruner, budget)] == windows
    assert TrainingBudget(settings("epochs"), WINDOWS).share([record(0, 50)] * 4, 9.0) == 0.5
    # The schedule of the learning rate follows what is spent of 800 windows.
    budget, records = TrainingBudget(settings("total_windows"), WINDOWS), [record(0, 10)] * 85
    steps = [budget.schedule_epoch(records[:done], 0.0) for done in (9, 10, 19, 20, 85)]
    assert steps == [0, 1, 1, 2, EPOCHS]


def test_total_time_counts_overhead_and_validation_and_preparation():
    # A window takes 0.01 s, so a full epoch with its validation 2 s, and full training 16 s.
    # A pruned epoch takes 0.5 + 0.5 + 1 = 2 s as well: nothing is gained.
    pruner = random_dynamic(0.5, full_first_epoch=False, annealing="none")
    budget = TrainingBudget(settings("total_time"), WINDOWS)
    records = trained(pruner, budget, scoring=0.25, selection=0.25, validation=1.0)
    assert len(records) == 8
    assert budget.share(records, 0.0) == pytest.approx(1.0)
    # Without overhead, and validating every other epoch at 0.5 s: 12 s against 1 s.
    pruner = random_dynamic(0.5, full_first_epoch=False, annealing="none")
    rarer = TrainingBudget(settings("total_time", validate_every=2), WINDOWS)
    rarer.plan(pruner, [record(0, 50, validation=1.0)], 0.0)
    assert pruner.epochs == 12  # 1.5 + 11 x 1 = 12.5 s, half an epoch off either way
    static = RandomStatic(PruningContext(WINDOWS, EPOCHS, 0.5, seed=0), NoOptions())
    budget.plan(static, [record(0, 50)], 4.0)
    assert static.epochs == 8  # (8 - 4) / 0.5
    assert budget.share([record(0, 50)] * 8, 4.0) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["total_windows", "steps", "total_time"])
@example(prune_ratio=0.0, annealing="tail")
@given(prune_ratio=st.floats(0, 0.95), annealing=st.sampled_from(["none", "tail", "cosine"]))
def test_no_budget_is_exceeded_or_unspent(kind, prune_ratio, annealing):
    pruner = random_dynamic(prune_ratio, annealing=annealing)
    budget = TrainingBudget(settings(kind), WINDOWS)
    records = trained(pruner, budget, selection=0.001, scoring=0.001)
    share = budget.share(records, 0.0)
    # Time is met to the nearest epoch, the others are not exceeded.
    assert share <= 1 + (0.5 / EPOCHS if kind == "total_time" else 0) + 1e-6
    # One more epoch moves the tail by one at most: two full epochs of eight bound what is left.
    assert share > 1 - 2 / EPOCHS
    if prune_ratio == 0:
        assert len(records) == EPOCHS  # full training is the same under every budget
    if annealing == "tail" and prune_ratio > 0:
        sizes = [r.windows for r in records]
        tail = sizes[::-1].index(min(sizes)) if min(sizes) < WINDOWS else len(sizes)
        assert all(size < WINDOWS for size in sizes[1 : len(sizes) - tail])


def test_full_training_loses_no_epoch_to_a_slow_first_one():
    pruner, records = random_dynamic(0.0), list[EpochRecord]()
    budget = TrainingBudget(settings("total_time"), WINDOWS)
    for a_window in (0.05, *[0.01] * 4, 0.02, 0.01, 0.013):
        records.append(record(len(records), WINDOWS, a_window, validation=0.3 * a_window))
        budget.plan(pruner, records, 0.0)
        assert budget.planned_epochs(pruner) == EPOCHS
    assert budget.share(records, 0.0) == pytest.approx(1.0, abs=0.01)


def epoch(windows: int, step: float, scoring: float = 0.25) -> EpochRecord:
    """An epoch with a time for every part."""
    parts = {"data": 0.5, "selection": 0.125, "validation": 2.0, "checkpoint": 0.5}
    return record(0, windows, step=step, scoring=scoring, **parts)


def test_costs_by_hand():
    budget = TrainingBudget(TrainingSettings(epochs=5, batch_size=BATCH), WINDOWS)
    pruned = [epoch(20, 1.0), epoch(20, 5.0, scoring=1.0), epoch(30, 2.0)]
    first, last = epoch(100, 8.0), epoch(100, 10.0)

    def costs(*epochs: EpochRecord) -> dict[str, Any]:
        measured = {"test_seconds": 7.0, "peak_memory_bytes": 123}
        return run_cost(list(epochs), budget, 0.8, 3.0, **measured).model_dump()

    expected = {
        "epochs": 5,
        "gradient_steps": 7 + 2 + 2 + 2 + 7,
        "windows_visited": 270,
        "training_windows": 100,
        "nominal_keep_ratio": 1 - 0.8,
        "realised_keep_ratio": 70 / 3 / 100,
        "overall_keep_ratio": 270 / 500,
        # Pruned epochs take 1.875, 6.625 and 2.875; full ones 8.875 and 10.875.
        "epoch_seconds": 2.875,
        "full_epoch_seconds": 9.875,
        "overhead_seconds": 0.375,
        "train_seconds": 3 + 1.875 + 6.625 + 2.875 + 8.875 + 10.875,
        "validation_seconds": 10.0,
        "checkpoint_seconds": 2.5,
        "total_seconds": 3 + 31.125 + 12.5,
        "test_seconds": 7.0,
    }
    assert costs(first, *pruned, last).items() >= expected.items()
    full = {"realised_keep_ratio": 1.0, "overall_keep_ratio": 0.4, "full_epoch_seconds": 9.875}
    assert costs(first, last).items() >= full.items()
    static = {"full_epoch_seconds": None, "overall_keep_ratio": 40 / 500}
    assert costs(*pruned[:2]).items() >= static.items()


def zone(powercap: Path, folder: str, name: str, microjoules: int, limit: int = 10**6) -> Path:
    """A zone of powercap as Linux shows it; returns the file of its counter."""
    place = powercap / folder
    place.mkdir(parents=True)
    (place / "name").write_text(f"{name}\n")
    (place / "max_energy_range_uj").write_text(f"{limit * 10**6}\n")
    (place / "energy_uj").write_text(f"{microjoules}\n")
    return place / "energy_uj"


def test_packages_and_memory_count_once(tmp_path, monkeypatch):
    seconds = 0.0
    monkeypatch.setattr("stprune.training.cost.time.monotonic", lambda: seconds)
    package = zone(tmp_path, "intel-rapl:0", "package-0", 999_990_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 1)  # a part of the package
    memory = zone(tmp_path, "intel-rapl:0:1", "dram", 2_500_000)
    zone(tmp_path, "intel-rapl:1", "psys", 1)  # holds the package
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 1)  # the same package again
    meter = Energy({"processor": processor_counters(tmp_path)}, {})
    memory.write_text("3000000\n")
    for microjoules, joules in ((15_000_000, 25.5), (16_000_000, 26.5)):
        seconds += 1999  # 1 MJ at 500 W are 2,000 s; after more it may have begun anew twice
        package.write_text(f"{microjoules}\n")
        meter.update()
        assert meter.joules["processor"] == pytest.approx(joules)
    for damage, waited in (("", 0), ("3000000", 2001)):
        broken = Energy({"processor": processor_counters(tmp_path)}, {})
        memory.write_text(damage)
        seconds += waited
        for _ in range(2):  # a counter that breaks on the way leaves no part of the sum
            broken.update()
            memory.write_text("3000000\n")
        assert broken.joules["processor"] is None
    assert processor_counters(tmp_path / "none") == []
    assert device_counters([]) == []
    assert Energy({"device": []}, {}).joules == {"device": None}
    for before, joules in ((5.0, 7.0), (None, None)):
        meter = Energy({"processor": [iter((10.0, 12.0)).__next__]}, {"processor": before})
        meter.update()
        assert meter.joules["processor"] == joules


def test_devices_are_found_by_their_ids(monkeypatch):
    millijoules: dict[str, int] = {"GPU-a": 1000, "GPU-b": 500}
    nvml: Any = ModuleType("pynvml")
    nvml.nvmlInit = lambda: None
    nvml.nvmlDeviceGetHandleByUUID = lambda uuid: uuid
    nvml.nvmlDeviceGetTotalEnergyConsumption = millijoules.__getitem__
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    meter = Energy({"device": device_counters(["GPU-a", "GPU-b"])}, {})
    millijoules |= {"GPU-a": 3000, "GPU-b": 700}
    meter.update()
    assert meter.joules["device"] == pytest.approx(2.2)


def test_joules_are_resumed(toy_config, monkeypatch):
    """A counter that moves by 1 J a reading: at the start, after each of 4 epochs, at the end."""
    readings = iter(range(100))
    counters = [lambda: float(next(readings))]
    monkeypatch.setattr("stprune.training.run.processor_counters", lambda: counters)
    record = train_with_stops(toy_config, key_of("full"), [1])
    assert record.cost.processor_joules == record.cost.epochs + 1
    assert record.cost.device_joules is None
