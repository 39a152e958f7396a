"""`stprune plan`: what an experiment takes, before anything of it is there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
import yaml
from toy_runs import key_of
from toy_union import KEY, union_config, union_values, write_union

from stprune.__main__ import main
from stprune.base.layout import DataLayout
from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.config.grid import RunSpec, data_layout, experiment_layout, run_keys, run_spec
from stprune.records.run import read_record
from stprune.training.run import open_run_data, train
from stprune.workflow import cost as costs
from stprune.workflow import estimate
from stprune.workflow.cost import (
    WindowCost,
    Windows,
    Workload,
    measure_costs,
    measured_cost,
    run_windows,
    run_workload,
)
from stprune.workflow.estimate import hours, make_plan, totals

COST = WindowCost(train=0.1, evaluate=0.01, parameters=1000)
# Full: 4 epochs of 289 windows; st_prune: 810 windows; 96 are validated four times and tested once.
FULL, PRUNED = 115.6 + 4.8, 81.0 + 4.8
WINDOWS = Windows(289, 96, 96)


@pytest.fixture
def values(toy_values: dict[str, Any]) -> dict[str, Any]:
    """Two seeds of full training and of a pruner, on all nodes and on every second one."""
    datasets = {"toy": None, "toy_half": {"dataset": "toy", "node_stride": 2}}
    return toy_values | {"datasets": datasets, "prune_ratios": [0.6], "seeds": [0, 1]}


@pytest.fixture
def half_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time runs out after the small data set."""

    def measure(specs: Mapping[Any, RunSpec], data: object, seconds: float) -> dict[Any, Any]:
        return {place: COST for place in specs if place[0] == "toy_half" and seconds}

    monkeypatch.setattr(estimate, "measure_costs", measure)


@pytest.mark.usefixtures("half_measured")
def test_by_hand(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "available_cores", lambda: [0, 1, 2, 3])
    values["compute"] = {"threads": 2}
    plan = make_plan(parse_config(values, "toy"), 1.0)
    whole, half = plan.cells
    assert (whole.nodes, half.nodes) == (8, 4)
    assert (whole.runs, whole.done, whole.steps) == (4, 0, 2 * 40 + 2 * 28)
    # The other one has twice as many nodes.
    assert (half.source, whole.source) == ("measured", "scaled")
    assert half.seconds == pytest.approx(2 * (FULL + PRUNED))
    assert whole.seconds == pytest.approx(2 * (2 * (FULL + PRUNED)))
    folder = data_layout(parse_config(values, "toy")).processed(toy.DATASET)
    assert plan.data_bytes == {"toy": sum(path.stat().st_size for path in folder.iterdir())}
    assert (hours(plan.cells), hours([half])) == ("~ 21 min", "7 min")
    assert plan.runs_together == 2
    assert "10 min" in totals(plan)[0]


@pytest.mark.usefixtures("half_measured")
def test_nothing_is_made_up_where_nothing_was_measured(values: dict[str, Any]) -> None:
    plan = make_plan(parse_config(values, "toy"), 0.0)
    assert [cell.seconds for cell in plan.cells] == [None, None]
    assert hours(plan.cells) == "-"


def test_what_cannot_be_measured_says_why(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {("toy", "stid"): "out of memory", ("toy_half", "stid"): COST}
    monkeypatch.setattr(estimate, "measure_costs", lambda *_: answers)
    plan = make_plan(parse_config(values, "toy"), 1.0)
    assert (plan.cells[0].seconds, plan.cells[0].source) == (None, "out of memory")
    assert hours(plan.cells) == "> 7 min"


@pytest.mark.usefixtures("half_measured")
def test_records_say_what_a_window_costs(values: dict[str, Any]) -> None:
    config = parse_config(values, "toy")
    train(config, key_of("full"), [])
    plan = make_plan(config, 0.0)
    record = read_record(experiment_layout(config).metrics(key_of("full")))
    cost = plan.cells[0].cost
    assert cost is not None
    assert cost.train * 4 * 289 == pytest.approx(record.cost.train_seconds, rel=0.2)
    # Three runs are left; the other data set's are scaled from the records.
    assert (plan.cells[0].source, plan.cells[0].done) == ("records", 1)
    assert plan.cells[0].seconds == pytest.approx(
        cost.train * (4 * 289 + 2 * 810) + 3 * 5 * 96 * cost.evaluate
    )
    assert plan.cells[1].source == "scaled"
    other = {**values, "compute": {"own_cores": False, "precision": "bf16-mixed"}}
    assert make_plan(parse_config(other, "toy"), 0.0).cells[0].cost is None


@pytest.mark.parametrize("backbone", ["stid", "stgcn"])
def test_measuring_trains_the_model_of_the_run(values: dict[str, Any], backbone: str) -> None:
    config = parse_config(values | {"backbones": {backbone: None}}, "toy")
    spec = run_spec(config, key_of("full")._replace(backbone=backbone))
    cost = measured_cost(spec, data_layout(config))
    assert isinstance(cost, WindowCost)
    assert min(cost.train, cost.evaluate) > 0
    if backbone == "stid":
        assert cost.parameters == train(config, key_of("full"), []).parameters


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there(values: dict[str, Any]) -> None:
    values["compute"]["accelerator"] = "cuda"
    config = parse_config(values, "toy")
    reason = measured_cost(run_spec(config, key_of("full")), data_layout(config))
    assert isinstance(reason, str)
    assert "\n" not in reason


class Pool:
    """Measures in this process, and notes what it was asked for."""

    asked: list[str]

    def __enter__(self) -> Pool:
        Pool.asked = []
        return self

    def __exit__(self, *_: object) -> None: ...

    def apply(self, *_: object) -> None: ...

    def apply_async(self, _: object, arguments: tuple[RunSpec, DataLayout]) -> Pool:
        Pool.asked.append(f"{arguments[0].key.dataset} {arguments[0].key.backbone}")
        return self

    def get(self, timeout: float) -> WindowCost:
        return COST


def test_each_backbone_is_measured_before_another_size(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "get_context", lambda _: type("", (), {"Pool": lambda *_: Pool()}))
    config = parse_config(values | {"backbones": {"stid": None, "stgcn": None}}, "toy")
    specs = {(k.dataset, k.backbone): run_spec(config, k) for k in run_keys(config)}
    assert len(measure_costs(specs, data_layout(config), 1.0)) == 4
    assert Pool.asked == ["toy_half stid", "toy_half stgcn", "toy stid", "toy stgcn"]


@pytest.mark.slow
def test_the_command(
    values: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, figures = tmp_path / "toy.yaml", tmp_path / "plan.json"
    file.write_text(yaml.safe_dump(values))
    words = ["plan", "--config", str(file), "--seconds", "599", "--json", str(figures)]
    assert main(words) == 0
    assert "toy_half" in capsys.readouterr().out
    plan = json.loads(figures.read_text())
    assert [cell["source"] for cell in plan["cells"]] == ["measured", "measured"]
    assert all(cell["seconds"] > 0 for cell in plan["cells"])
    assert main(["plan", "--config", str(file), "--seconds", "nan"]) == 1


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
def test_epochs_and_steps_by_hand(
    toy_values: dict[str, Any], pruner: str, ratio: float, epochs: int, trained: int, steps: int
) -> None:
    work = run_workload(spec_of(toy_values, pruner, ratio), WINDOWS)
    assert (work.epochs, work.trained, work.steps) == (epochs, trained, steps)
    assert work.evaluated == (epochs + 1) * 96 + (289 if pruner == "el2n" else 0)


def test_validations_now_and_then_and_last(toy_values: dict[str, Any]) -> None:
    toy_values["training"] |= {"epochs": 7, "validate_every": 3}
    # After epochs 3, 6 and 7, and the test.
    assert run_workload(spec_of(toy_values), WINDOWS).evaluated == 4 * 96


@pytest.mark.parametrize("budget", ["total_windows", "total_time"])
def test_equal_budgets_make_more_epochs(toy_values: dict[str, Any], budget: str) -> None:
    toy_values["training"] |= {"budget": budget}
    work = run_workload(spec_of(toy_values, "random_static"), WINDOWS)
    assert work.epochs in (9, 10)  # 1156 / 116
    assert work.trained == work.epochs * 116


def test_a_backbone_that_does_not_train_takes_no_step(toy_values: dict[str, Any]) -> None:
    values = toy_values | {"backbones": {"last_value": None}, "pruners": {"full": None}}
    config = parse_config(values, "toy")
    work = run_workload(run_spec(config, run_keys(config)[0]), WINDOWS)
    assert work == Workload(epochs=1, steps=0, trained=0, evaluated=481)


def windows_of(spec: RunSpec, layout: DataLayout) -> Windows:
    """Of the data that a run would open."""
    data = open_run_data(spec, layout, torch.device("cpu"))
    return Windows(
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
@pytest.mark.parametrize("protocol", ["paper", "strict"])
def test_windows_are_those_of_a_run(
    toy_values: dict[str, Any], changes: dict[str, Any], protocol: str
) -> None:
    toy_values |= {"datasets": {"toy": changes}, "protocol": protocol}
    spec = spec_of(toy_values)
    layout = DataLayout(Path(toy_values["data_directory"]))
    assert run_windows(spec, layout) == windows_of(spec, layout)


def test_windows_of_what_is_not_prepared(toy_values: dict[str, Any], tmp_path: Path) -> None:
    card = Path(toy_values["data_directory"]) / "toy.yaml"
    (tmp_path / "toy.yaml").write_text(card.read_text())
    # 504 steps are 481 windows of 24: 289, 96 and 96.
    assert run_windows(spec_of(toy_values), DataLayout(tmp_path)) == WINDOWS


def test_windows_of_a_union(tmp_path: Path) -> None:
    config = union_config(union_values(write_union(tmp_path / "data"), tmp_path / "results"))
    spec, layout = run_spec(config, KEY), data_layout(config)
    assert run_windows(spec, layout) == windows_of(spec, layout)


@pytest.mark.parametrize("pruner", ["full_fewer_epochs", "infobatch", "st_prune"])
def test_runs_do_what_was_planned(all_pruners: ExperimentConfig, pruner: str) -> None:
    key = key_of(pruner)
    train(all_pruners, key, [])
    cost = read_record(experiment_layout(all_pruners).metrics(key)).cost
    spec = run_spec(all_pruners, key)
    work = run_workload(spec, run_windows(spec, data_layout(all_pruners)))
    assert (cost.epochs, cost.windows_visited) == (work.epochs, work.trained)
    assert cost.gradient_steps == work.steps
