"""What runs will have to do, against numbers by hand and against what runs did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from toy_runs import key_of
from toy_union import KEY, union_config, union_values, write_union

from stprune.base.errors import DeclinedError
from stprune.base.layout import DataLayout
from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.config.grid import RunSpec, data_layout, experiment_layout, run_keys, run_spec
from stprune.records.run import read_record
from stprune.training.run import open_run_data, train
from stprune.workflow.step_seconds import StepSeconds
from stprune.workflow.workload import Preparation, Windows, Workload, run_windows, run_workload

STEP = StepSeconds(train=0.1, evaluate=0.01, parameters=1, batch=1)
# Of 289 training windows.
WINDOWS = Windows(289, 96, 96)
CPU = torch.device("cpu")


def spec_of(values: dict[str, Any], pruner: str = "full", ratio: float = 0.6) -> RunSpec:
    config = parse_config(values | {"pruners": {pruner: None}}, "the toy configuration")
    return run_spec(config, key_of(pruner, ratio))


def test_time_by_hand() -> None:
    ready = Preparation(epochs=2, evaluations=1, gradients=1, validation_gradients=1)
    work = Workload(Windows(100, 10, 20), 3, 250, 9, 3, ready)
    # 250 + 3 * 100 + 10 windows as in training; 100 + 3 * 10 + 20 evaluated.
    assert work.seconds(STEP) == pytest.approx(560 * 0.1 + 150 * 0.01)


@pytest.mark.parametrize(
    ("pruner", "ratio", "epochs", "visited", "steps"),
    [
        ("full", 0.0, 4, 1156, 40),
        # A first pass, two epochs of round(0.4 * 289) = 116 windows, a tail of one.
        ("st_prune", 0.6, 4, 2 * 289 + 2 * 116, 10 + 4 + 4 + 10),
        ("random_static", 0.6, 4, 4 * 116, 16),
        # round(2 + 2 * 0.4) epochs of all windows.
        ("full_fewer_epochs", 0.6, 3, 867, 30),
    ],
)
def test_epochs_and_steps_by_hand(
    toy_values: dict[str, Any], pruner: str, ratio: float, epochs: int, visited: int, steps: int
) -> None:
    work = run_workload(spec_of(toy_values, pruner, ratio), WINDOWS)
    assert (work.epochs, work.visited, work.steps) == (epochs, visited, steps)
    assert work.validations == epochs


@pytest.mark.parametrize(
    ("pruner", "expected"),
    [
        ("el2n", Preparation(epochs=2, evaluations=1)),
        ("grand", Preparation(epochs=2, gradients=1)),
        ("herding", Preparation(epochs=2, gradients=1)),
        ("glister", Preparation(epochs=2, gradients=1, validation_gradients=1)),
        ("infobatch", Preparation()),
    ],
)
def test_what_pruners_do_before_training(
    toy_values: dict[str, Any], pruner: str, expected: Preparation
) -> None:
    assert run_workload(spec_of(toy_values, pruner), WINDOWS).preparation == expected


def test_forgetting_watches_as_many_epochs_as_it_is_told(toy_values: dict[str, Any]) -> None:
    values = toy_values | {"pruners": {"forgetting": {"options": {"scoring_epochs": 7}}}}
    spec = run_spec(parse_config(values, "toy"), key_of("forgetting"))
    assert run_workload(spec, WINDOWS).preparation == Preparation(epochs=7)


def test_a_static_pruner_that_keeps_everything_prepares_nothing(toy_values: dict[str, Any]) -> None:
    assert run_workload(spec_of(toy_values, "herding", 0.001), WINDOWS).preparation == Preparation()


def test_validations_now_and_then_and_last(toy_values: dict[str, Any]) -> None:
    toy_values["training"] |= {"epochs": 7, "validate_every": 3}
    assert run_workload(spec_of(toy_values), WINDOWS).validations == 3  # after 3, 6 and 7


def test_equal_windows_make_more_epochs(toy_values: dict[str, Any]) -> None:
    toy_values["training"] |= {"budget": "total_windows"}
    work = run_workload(spec_of(toy_values, "random_static"), WINDOWS)
    assert work.epochs == 9  # 1156 // 116
    assert work.visited == 9 * 116


def test_equal_time_is_planned_by_the_clock(toy_values: dict[str, Any]) -> None:
    toy_values["training"] |= {"budget": "total_time"}
    spec = spec_of(toy_values, "random_static")
    assert run_workload(spec, WINDOWS).epochs == 4
    full = run_workload(spec_of(toy_values), WINDOWS, STEP)
    work = run_workload(spec, WINDOWS, STEP)
    # Full: 4 * (28.9 + 0.96) s; an epoch of this pruner takes 11.6 + 0.96 s.
    assert work.epochs == 10
    assert work.seconds(STEP) == pytest.approx(full.seconds(STEP), rel=0.06)


def test_a_backbone_that_does_not_train_takes_no_step(toy_values: dict[str, Any]) -> None:
    values = toy_values | {"backbones": {"last_value": None}, "pruners": {"full": None}}
    config = parse_config(values, "toy")
    work = run_workload(run_spec(config, run_keys(config)[0]), WINDOWS)
    assert (work.epochs, work.steps, work.visited) == (1, 0, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"days": 14},
        {"node_stride": 2, "window_stride": 5, "evaluation_stride": 3},
        {"task": "few_shot", "task_options": {"share": 0.2}},
        {"task": "impute"},
        {"training": {"history": 24, "horizon": 6}},
    ],
)
@pytest.mark.parametrize("protocol", ["paper", "strict"])
def test_windows_are_those_of_a_run(
    toy_values: dict[str, Any], changes: dict[str, Any], protocol: str
) -> None:
    toy_values |= {"datasets": {"toy": changes}, "protocol": protocol}
    spec = spec_of(toy_values)
    layout = DataLayout(Path(toy_values["data_directory"]))
    data = open_run_data(spec, layout, CPU)
    counted = run_windows(spec, layout)
    sizes = len(data.train), len(data.validation), len(data.test)
    assert (counted.train, counted.validation, counted.test) == sizes
    assert counted.train > 10


def test_windows_of_what_is_not_prepared(toy_values: dict[str, Any], tmp_path: Path) -> None:
    card = Path(toy_values["data_directory"]) / "toy.yaml"
    (tmp_path / "toy.yaml").write_text(card.read_text())
    # 504 steps are 481 windows of 24: 289, 96 and 96.
    assert run_windows(spec_of(toy_values), DataLayout(tmp_path)) == WINDOWS


def test_a_union(tmp_path: Path) -> None:
    values = union_values(write_union(tmp_path / "data"), tmp_path / "results")
    config = union_config(values)
    spec, layout = run_spec(config, KEY), data_layout(config)
    data = open_run_data(spec, layout, CPU)
    sizes = Windows(len(data.train), len(data.validation), len(data.test))
    assert run_windows(spec, layout) == sizes
    declined = union_config(values | {"pruners": {"el2n": None}})
    with pytest.raises(DeclinedError, match="el2n"):
        run_workload(run_spec(declined, KEY._replace(pruner="el2n", prune_ratio=0.6)), sizes)


@pytest.mark.parametrize("pruner", ["full_fewer_epochs", "infobatch", "st_prune", "el2n"])
def test_runs_do_what_was_planned(all_pruners: ExperimentConfig, pruner: str) -> None:
    key = key_of(pruner)
    train(all_pruners, key, [])
    cost = read_record(experiment_layout(all_pruners).metrics(key)).cost
    spec = run_spec(all_pruners, key)
    work = run_workload(spec, run_windows(spec, data_layout(all_pruners)))
    assert cost.training_windows == work.windows.train
    assert (cost.epochs, cost.windows_visited) == (work.epochs, work.visited)
    assert cost.gradient_steps == work.steps
