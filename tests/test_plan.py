"""`stprune plan`: what an experiment takes, before anything of it is there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
import yaml
from toy_runs import key_of

from stprune.__main__ import main
from stprune.base.layout import step_seconds_file
from stprune.config.experiment import parse_config
from stprune.config.grid import data_layout, experiment_layout, run_spec
from stprune.records.run import read_record
from stprune.training.run import train
from stprune.workflow import known_seconds, step_seconds
from stprune.workflow.estimate import make_plan
from stprune.workflow.estimate_text import hours, notes, totals
from stprune.workflow.step_seconds import Setting, StepSeconds, attempt, measuring_order

# Full: 4 epochs of 289 windows; st_prune: 810 windows; 96 are validated four times and tested once.
STEP = StepSeconds(train=0.1, evaluate=0.01, parameters=1000, batch=32)
FULL, PRUNED = 115.6 + 4.8, 81.0 + 4.8


@pytest.fixture
def values(toy_values: dict[str, Any]) -> dict[str, Any]:
    """Two seeds of full training and of a pruner, on all nodes and on every second one."""
    datasets = {"toy": None, "toy_half": {"dataset": "toy", "node_stride": 2}}
    return toy_values | {"datasets": datasets, "prune_ratios": [0.6], "seeds": [0, 1]}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Time runs out after the first setting; notes nodes of what was asked for."""
    asked: list[list[int]] = []

    def measure(
        settings: Sequence[Setting], layout: object, seconds: float
    ) -> dict[int, StepSeconds | str]:
        asked.append([setting.nodes for setting in settings])
        return {measuring_order(settings)[0]: STEP} if settings and seconds else {}

    monkeypatch.setattr(known_seconds, "measure_all", measure)
    return asked


def test_by_hand(values: dict[str, Any], measured: list[list[int]]) -> None:
    plan = make_plan(parse_config(values, "toy"), 1.0)
    whole, half = plan.cells
    assert (whole.nodes, half.nodes) == (8, 4)
    assert (whole.runs, whole.done, whole.steps) == (4, 0, 2 * 40 + 2 * 28)
    # The small one is measured first; the other one has twice as many nodes.
    assert (half.source, whole.source) == ("measured", "scaled")
    assert half.seconds == pytest.approx(2 * (FULL + PRUNED))
    assert whole.seconds == pytest.approx(2 * half.seconds)
    # 504 steps of 8 nodes, 4 bytes and one of mask; times; the graph. But it is prepared here.
    folder = data_layout(parse_config(values, "toy")).processed(toy.DATASET)
    assert plan.data_bytes == {"toy": sum(path.stat().st_size for path in folder.iterdir())}
    assert hours(plan.cells) == "~ 21 min"
    assert hours([half]) == "7 min"
    assert "8 runs without a record: ~ 21 min" in totals(plan)[0]
    assert any("scaled" in line for line in notes(plan, 1.0))


def test_asking_again_goes_on_from_there(values: dict[str, Any], measured: list[list[int]]) -> None:
    config = parse_config(values, "toy")
    make_plan(config, 1.0)
    assert measured == [[8, 4]]
    plan = make_plan(config, 1.0)
    assert measured[1:] == [[8]]
    assert [cell.source for cell in plan.cells] == ["measured", "measured"]
    # Another length of training does not change what a window costs; another batch does.
    longer = {**values, "training": {**values["training"], "epochs": 9}}
    make_plan(parse_config(longer, "toy"), 1.0)
    assert measured[2:] == [[]]
    larger = {**values, "training": {**values["training"], "batch_size": 16}}
    make_plan(parse_config(larger, "toy"), 1.0)
    assert measured[3:] == [[8, 4]]


def test_nothing_is_made_up_where_nothing_was_measured(
    values: dict[str, Any], measured: list[list[int]]
) -> None:
    plan = make_plan(parse_config(values, "toy"), 0.0)
    assert [cell.seconds for cell in plan.cells] == [None, None]
    assert hours(plan.cells) == "-"
    assert "Not known (-) for 2: not measured yet." in notes(plan, 0.0)
    assert not step_seconds_file(Path(values["results_directory"])).exists()


def test_what_cannot_be_measured_says_why(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {0: "out of memory", 1: STEP}
    monkeypatch.setattr(known_seconds, "measure_all", lambda *_: answers)
    plan = make_plan(parse_config(values, "toy"), 1.0)
    assert plan.cells[0].seconds is None
    assert hours(plan.cells) == "> 7 min"
    assert "Not known (-) for 1: out of memory." in notes(plan, 1.0)


def test_a_busy_machine_is_told_of_and_measured_again(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = STEP.model_copy(update={"core_share": 0.1})
    monkeypatch.setattr(known_seconds, "measure_all", lambda *_: {0: busy, 1: STEP})
    plan = make_plan(parse_config(values, "toy"), 1.0)
    assert any("1 of these had a core for 10% of the time" in line for line in notes(plan, 1.0))
    kept = json.loads(step_seconds_file(Path(values["results_directory"])).read_text())
    assert len(kept["measured"]) == 1


def test_records_say_what_a_window_costs(values: dict[str, Any], measured: list[list[int]]) -> None:
    config = parse_config(values, "toy")
    train(config, key_of("full"), [])
    plan = make_plan(config, 0.0)
    assert plan.cells[0].source == "records"
    assert measured == [[4]]
    cost = read_record(experiment_layout(config).metrics(key_of("full"))).cost
    step = plan.cells[0].step
    assert step is not None
    assert step.train * 4 * 289 == pytest.approx(cost.train_seconds, rel=0.2)
    assert plan.cells[0].done == 1
    # Three runs are left; the other data set's are scaled from the records.
    assert plan.cells[0].seconds == pytest.approx(
        step.train * (4 * 289 + 2 * 810) + 3 * 5 * 96 * step.evaluate
    )
    assert plan.cells[1].source == "scaled"
    other = {**values, "compute": {"own_cores": False, "precision": "bf16-mixed"}}
    assert make_plan(parse_config(other, "toy"), 0.0).cells[0].source == "not measured yet"


def test_side_by_side(values: dict[str, Any], measured: list[list[int]], monkeypatch: Any) -> None:
    monkeypatch.setattr("stprune.workflow.estimate.available_cores", lambda: [0, 1, 2, 3])
    values["compute"] = {"threads": 2}
    plan = make_plan(parse_config(values, "toy"), 1.0)
    assert plan.together == 2
    assert totals(plan)[0].endswith("~ 21 min one after another, 10 min with 2 at a time here.")


def test_each_backbone_is_measured_before_another_size(values: dict[str, Any]) -> None:
    config = parse_config(values | {"backbones": {"stid": None, "stgcn": None}}, "toy")
    settings = [
        Setting(run_spec(config, key_of("full")._replace(backbone=backbone)), nodes)
        for backbone, nodes in (("stid", 900), ("stid", 100), ("stgcn", 300), ("stgcn", 200))
    ]
    assert measuring_order(settings) == [1, 3, 2, 0]


@pytest.mark.parametrize("task", ["forecast", "impute", "few_shot"])
def test_measuring_trains_the_model_of_the_run(values: dict[str, Any], task: str) -> None:
    values["datasets"] = {"toy": {"task": task}}
    config = parse_config(values, "toy")
    step = attempt(Setting(run_spec(config, key_of("full")), 8), data_layout(config))
    assert isinstance(step, StepSeconds)
    assert step.batch == 32
    assert min(step.train, step.evaluate) > 0
    if task == "forecast":
        assert step.parameters == train(config, key_of("full"), []).parameters


def test_large_graphs_are_measured_in_small_batches(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_seconds, "PROCESSOR_VALUES", 8 * 12 * 5)
    config = parse_config(values, "toy")
    step = attempt(Setting(run_spec(config, key_of("full")), 8), data_layout(config))
    assert isinstance(step, StepSeconds)
    assert step.batch == 5


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there(values: dict[str, Any]) -> None:
    values["compute"]["accelerator"] = "cuda"
    config = parse_config(values, "toy")
    reason = attempt(Setting(run_spec(config, key_of("full")), 8), data_layout(config))
    assert isinstance(reason, str)
    assert "\n" not in reason


@pytest.mark.slow
def test_the_command(
    values: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, figures = tmp_path / "toy.yaml", tmp_path / "plan.json"
    file.write_text(yaml.safe_dump(values))
    words = ["plan", "--config", str(file), "--seconds", "599", "--cells", "--json", str(figures)]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "toy: 8 runs" in text
    assert "toy_half" in text
    assert "Left out:" in text
    plan = json.loads(figures.read_text())
    assert [cell["source"] for cell in plan["cells"]] == ["measured", "measured"]
    assert all(cell["seconds"] > 0 for cell in plan["cells"])


def test_mistakes(
    values: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "toy.yaml"
    file.write_text(yaml.safe_dump(values))
    results = Path(values["results_directory"])
    results.mkdir()
    step_seconds_file(results).write_text("{")
    for words, said in (
        (["--seconds", "-1"], "--seconds -1"),
        (["--seconds", "nan"], "--seconds nan"),
        ([], "delete it to measure again"),
    ):
        assert main(["plan", "--config", str(file), *words]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert said in error
