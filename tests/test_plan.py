"""`stprune plan` and requests of a cluster: what an experiment takes, before it is there."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from toy_runs import key_of
from toy_union import KEY, union_config, union_values, write_union

from stprune.__main__ import main
from stprune.base.layout import DataLayout
from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.config.grid import RunSpec, data_layout, experiment_layout, run_keys, run_spec
from stprune.data.canonical import CanonicalDataset
from stprune.data.card import DatasetCard
from stprune.records.run import read_record
from stprune.training.run import open_run_data, train
from stprune.workflow import estimate
from stprune.workflow.estimate import (
    RunRequests,
    WindowCost,
    Workload,
    duration,
    made_up,
    make_plan,
    measured_cost,
    plan_text,
    recorded_cost,
    run_windows,
    run_workload,
    size,
)

COST = WindowCost(train=0.1, evaluate=0.01, parameters=1000)
# Full: 4 epochs of 289 windows; st_prune: 810 windows; 96 are validated four times and tested once.
FULL_SECONDS, PRUNED_SECONDS = 115.6 + 4.8, 81.0 + 4.8
WINDOWS = (289, 96, 96)
FULL, HALF = key_of("full"), key_of("st_prune", 0.5)


@pytest.fixture
def values(toy_values: dict[str, Any]) -> dict[str, Any]:
    """Two seeds of full training and of a pruner, on all nodes and on every second one."""
    datasets = {"toy": None, "toy_half": {"dataset": "toy", "node_stride": 2}}
    return toy_values | {"datasets": datasets, "prune_ratios": [0.6], "seeds": [0, 1]}


def test_by_hand(values, tmp_path, monkeypatch, capsys):
    """One data set is measured, the other has twice as many nodes as are measured."""
    monkeypatch.setattr(estimate, "MOST_NODES", 4)
    monkeypatch.setattr(estimate, "measured_cost", lambda *_: COST)
    plan = make_plan(parse_config(values, "toy"))
    assert plan["nodes"].tolist() == [8, 4]
    assert plan["cost"].tolist() == ["scaled", "measured"]
    assert plan["runs"].tolist() == [4, 4]
    assert plan["steps"].tolist() == [2 * 40 + 2 * 28] * 2
    seconds = 2 * (FULL_SECONDS + PRUNED_SECONDS)
    assert plan["seconds"].tolist() == pytest.approx([2 * seconds, seconds])
    file = tmp_path / "toy.yaml"
    file.write_text(yaml.safe_dump(values))
    assert main(["plan", "--config", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["toy", "toy_half"]
    assert duration(3 * seconds) in lines[3]


def test_nothing_is_made_up_where_nothing_was_measured(values, monkeypatch):
    def measure(spec: RunSpec, *_: object) -> WindowCost:
        if spec.key.dataset == "toy":
            raise RuntimeError("out of\nmemory")
        return COST

    monkeypatch.setattr(estimate, "measured_cost", measure)
    plan = make_plan(parse_config(values, "toy"))
    assert math.isnan(plan["seconds"][0])
    assert plan["cost"].tolist() == ["out of memory", "measured"]
    assert "> 7 min" in plan_text(plan)


def test_records_say_what_a_window_costs(values):
    config = parse_config(values, "toy")
    train(config, FULL, [])
    plan = make_plan(config)
    record = read_record(experiment_layout(config).metrics(FULL))
    cost = recorded_cost(run_spec(config, FULL), experiment_layout(config))
    assert cost.train * 4 * 289 == pytest.approx(record.cost.train_seconds, rel=0.2)
    assert plan[["cost", "done"]].to_numpy().tolist() == [["records", 1], ["measured", 0]]
    # Three runs are left.
    assert plan["seconds"][0] == pytest.approx(
        cost.train * (4 * 289 + 2 * 810) + 3 * 5 * 96 * cost.evaluate
    )
    values["compute"] = {"own_cores": False, "precision": "bf16-mixed"}
    other = run_spec(parse_config(values, "toy"), FULL)
    assert recorded_cost(other, experiment_layout(config)) is None


def test_measuring_trains_the_model_of_the_run(values):
    config = parse_config(values, "toy")
    cost = measured_cost(run_spec(config, FULL), data_layout(config), 8)
    assert min(cost.train, cost.evaluate) > 0
    assert cost.parameters == train(config, FULL, []).parameters


@pytest.mark.parametrize(("quick", "batches"), [(math.inf, [4, 16, 32]), (0.0, [4])])
def test_measured_batches_grow_while_they_are_quick(values, quick, batches, monkeypatch):
    steps: list[int] = []

    def noise(card: DatasetCard, nodes: int, length: int) -> CanonicalDataset:
        steps.append(length)
        return made_up(card, nodes, length)

    monkeypatch.setattr(estimate, "made_up", noise)
    monkeypatch.setattr(estimate, "QUICK_SECONDS", quick)
    spec = run_spec(parse_config(values, "toy"), FULL)
    history, horizon = spec.training.history, spec.training.horizon
    monkeypatch.setattr(estimate, "PROCESSOR_VALUES", 4 * 8 * history)
    measured_cost(spec, data_layout(parse_config(values, "toy")), 8)
    assert steps == [history + horizon + 5 * windows for windows in batches]


def spec_of(values: dict[str, Any], pruner: str = "full", ratio: float = 0.6) -> RunSpec:
    config = parse_config(values | {"pruners": {pruner: None}}, "the toy configuration")
    return run_spec(config, key_of(pruner, ratio))


@pytest.mark.parametrize(
    ("pruner", "ratio", "epochs", "trained", "steps"),
    [
        ("full", 0.0, 4, 1156, 40),
        # A first pass, two epochs of round(0.4 * 289) = 116 windows, a tail of one.
        ("st_prune", 0.6, 4, 2 * 289 + 2 * 116, 10 + 4 + 4 + 10),
        ("random_static", 0.6, 4, 4 * 116, 16),
        # Two epochs of a scoring model before.
        ("el2n", 0.6, 4, 2 * 289 + 4 * 116, 16),
        # round(2 + 2 * 0.4) epochs of all windows.
        ("full_fewer_epochs", 0.6, 3, 867, 30),
    ],
)
def test_epochs_and_steps_by_hand(toy_values, pruner, ratio, epochs, trained, steps):
    work = run_workload(spec_of(toy_values, pruner, ratio), WINDOWS)
    assert (work.epochs, work.trained, work.steps) == (epochs, trained, steps)
    assert work.evaluated == (epochs + 1) * 96 + (289 if pruner == "el2n" else 0)


def test_what_changes_the_work(toy_values):
    values = toy_values | {"training": toy_values["training"] | {"epochs": 7, "validate_every": 3}}
    # After epochs 3, 6 and 7, and the test.
    assert run_workload(spec_of(values), WINDOWS).evaluated == 4 * 96
    for budget in ("total_windows", "total_time"):
        values = toy_values | {"training": toy_values["training"] | {"budget": budget}}
        work = run_workload(spec_of(values, "random_static"), WINDOWS)
        assert work.epochs in (9, 10)  # 1156 / 116
        assert work.trained == work.epochs * 116
    config = parse_config(
        toy_values | {"backbones": {"last_value": None}, "pruners": {"full": None}}, "toy"
    )
    work = run_workload(run_spec(config, run_keys(config)[0]), WINDOWS)
    assert work == Workload(epochs=1, steps=0, trained=0, evaluated=481)


def windows_of(spec: RunSpec, layout: DataLayout) -> estimate.Windows:
    """Of the data that a run would open."""
    data = open_run_data(spec, layout, torch.device("cpu"))
    return (
        sum(len(member.train) for member in data.members.values()),
        sum(len(member.validation) for member in data.members.values()),
        sum(len(tested.test) for tested in data.tested.values()),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"days": 14},
        {"node_stride": 2, "window_stride": 5, "evaluation_stride": 3},
        {"task": "few_shot", "task_options": {"share": 0.2}},
        {"task": "impute"},
        {"training": {"history": 24, "horizon": 6}},
    ],
)
def test_windows_are_those_of_a_run(toy_values, changes):
    layout = DataLayout(Path(toy_values["data_directory"]))
    for protocol in ("paper", "strict"):
        spec = spec_of(toy_values | {"datasets": {"toy": changes}, "protocol": protocol})
        assert run_windows(spec, layout) == windows_of(spec, layout)


def test_windows_of_a_union_and_of_what_is_not_prepared(toy_values, tmp_path):
    config = union_config(union_values(write_union(tmp_path / "data"), tmp_path / "results"))
    spec, layout = run_spec(config, KEY), data_layout(config)
    assert run_windows(spec, layout) == windows_of(spec, layout)
    card = Path(toy_values["data_directory"]) / "toy.yaml"
    (tmp_path / "toy.yaml").write_text(card.read_text())
    # 504 steps are 481 windows of 24: 289, 96 and 96.
    assert run_windows(spec_of(toy_values), DataLayout(tmp_path)) == WINDOWS


@pytest.mark.parametrize("pruner", ["full_fewer_epochs", "infobatch", "st_prune"])
def test_runs_do_what_was_planned(all_pruners, pruner):
    key = key_of(pruner)
    train(all_pruners, key, [])
    cost = read_record(experiment_layout(all_pruners).metrics(key)).cost
    spec = run_spec(all_pruners, key)
    work = run_workload(spec, run_windows(spec, data_layout(all_pruners)))
    assert (cost.epochs, cost.windows_visited) == (work.epochs, work.trained)
    assert cost.gradient_steps == work.steps


@pytest.fixture
def known(toy_values: dict[str, Any]) -> ExperimentConfig:
    """An experiment with one record, by which a window takes a second to train on, none to test."""
    config = parse_config(toy_values, "the toy configuration")
    train(config, FULL, [])
    table = experiment_layout(config).run(FULL) / "epochs.csv"
    epochs = pd.read_csv(table)
    epochs["step_seconds"] = epochs["windows"].astype(float)
    epochs[["data_seconds", "validation_seconds"]] = 0.0
    epochs.to_csv(table, index=False)
    change(config, lambda record: record["cost"].update(peak_memory_bytes=2_000_000_000))
    return config


def change(config: ExperimentConfig, edit: Callable[[dict[str, Any]], object]) -> None:
    file = experiment_layout(config).metrics(FULL)
    record = json.loads(file.read_text())
    edit(record)
    file.write_text(json.dumps(record))


def test_time_is_asked_for_the_windows_that_runs_visit(known):
    requests = RunRequests(known)
    # Four epochs of all windows, a second each, three times that, and ten minutes.
    assert requests.minutes([FULL]) == 10 + math.ceil(3 * 4 * 289 / 60)
    assert requests.minutes([FULL._replace(seed=5)]) == requests.minutes([FULL])
    # A full epoch, two of half the windows (144 or 145), and a full one.
    half = 2 * 289 + 2 * 144.5
    assert requests.minutes([HALF]) == pytest.approx(10 + 3 * half / 60, abs=1)
    both = 10 + 3 * (4 * 289 + half) / 60
    assert requests.minutes([FULL, HALF]) == pytest.approx(both, abs=1)
    assert requests.minutes([HALF], attempt=3) == 3 * requests.minutes([HALF])
    # 800 MB beside one and a half times 2000 MB.
    assert [requests.megabytes(*HALF[:2], attempt) for attempt in (1, 2, 3)] == [3800, 7600, 15200]


def test_what_is_not_known_is_asked_for_generously(known):
    assert RunRequests(known).minutes([FULL]) < 730
    change(known, lambda record: record["environment"].update(device="Some GPU"))
    assert RunRequests(known).megabytes(*FULL[:2]) == 4100  # its peak is the device's
    change(known, lambda record: record["config"]["training"].update(batch_size=7))
    assert RunRequests(known).minutes([FULL]) == 730
    change(known, lambda record: record.update(record_version=0))
    assert RunRequests(known).minutes([FULL]) == 730


def test_times_and_sizes_in_words():
    assert [duration(s) for s in (0, 42.4, 99.6, 5969, 5970, 360_000)] == [
        *("0 s", "42 s", "2 min", "99 min", "1.7 h", "4 days")
    ]
    assert [size(n) for n in (12, 12_345, 3_400_000_000, 2.1e13)] == [
        *("12 B", "12.3 kB", "3.4 GB", "21 TB")
    ]
