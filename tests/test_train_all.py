"""Which runs are missing, and how many may be trained side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from toy_runs import key_of

from stprune.base.errors import ConfigError, StpruneError
from stprune.base.layout import ExperimentLayout
from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.config.grid import data_layout, experiment_layout
from stprune.training.run import train
from stprune.workflow.snakemake_state import WorkflowState
from stprune.workflow.train_all import WantedRuns, train_all
from stprune.workflow.warm_runs import last_line

KEY = key_of("st_prune", 0.5)
Reason = Callable[..., str | None]


@pytest.fixture
def layout(toy_config: ExperimentConfig) -> ExperimentLayout:
    """The experiment after one of its two runs."""
    train(toy_config, KEY, ())
    return experiment_layout(toy_config)


def reason(config: ExperimentConfig) -> str | None:
    return WantedRuns(config).reason_to_train(KEY)


def change_record(layout: ExperimentLayout, change: Callable[[dict[str, Any]], object]) -> None:
    path = layout.metrics(KEY)
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def test_a_record_of_what_would_run_now_stands(
    toy_config: ExperimentConfig, layout: ExperimentLayout
) -> None:
    wanted = WantedRuns(toy_config)
    assert wanted.current() == [KEY]
    assert wanted.missing() == [key_of("full")]


def test_each_thing_a_result_depends_on_is_a_reason(
    toy_config: ExperimentConfig, toy_values: dict[str, Any], layout: ExperimentLayout
) -> None:
    longer = parse_config(toy_values | {"training": {"epochs": 5, "batch_size": 32}}, "longer")
    assert reason(longer) == "configuration changed since the record"
    change_record(layout, lambda values: values.update(source_digest="0"))
    assert reason(toy_config) == "source code changed since the record"
    change_record(layout, lambda values: values["data"].update(checksum="0"))
    assert reason(toy_config) == "source code and data changed since the record"
    change_record(layout, lambda values: values.update(record_version=0))
    assert reason(toy_config) == "record not readable, or of another version"


def test_a_run_without_all_its_files_is_missing(
    toy_config: ExperimentConfig, layout: ExperimentLayout
) -> None:
    assert reason(toy_config) is None
    layout.kept(KEY).unlink()
    assert reason(toy_config) == "no record"


def test_the_first_seed_comes_first(toy_values: dict[str, Any]) -> None:
    values = toy_values | {"seeds": [3, 1], "prune_ratios": [0.5, 0.9]}
    seeds = [key.seed for key in WantedRuns(parse_config(values, "two seeds")).keys]
    assert seeds == [3, 3, 3, 1, 1, 1]


@pytest.mark.parametrize(
    ("jobs", "threads", "words"),
    [
        (0, 1, "--jobs 0"),
        (1000, 1, "1000 run(s) at a time want 1000 threads"),
        (2, 500, "2 run(s) at a time want 1000 threads"),
        (None, 1000, "1 run(s) at a time want 1000 threads"),
    ],
)
def test_more_runs_than_cores_are_refused(
    toy_values: dict[str, Any], jobs: int | None, threads: int, words: str
) -> None:
    toy_values["compute"] = {"threads": threads}
    with pytest.raises(ConfigError) as caught:
        train_all(parse_config(toy_values, "toy"), jobs)
    assert words in str(caught.value)


def test_a_second_one_is_kept_out(toy_config: ExperimentConfig) -> None:
    root = experiment_layout(toy_config).root
    root.mkdir(parents=True)
    with (
        FileLock(root / ".train-all.lock"),
        pytest.raises(ConfigError, match="another `stprune train-all` works in"),
    ):
        train_all(toy_config, 1)
    assert not list(root.glob("runs/**/*"))


def test_the_last_line_that_says_anything(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    assert last_line(log) == ""
    log.write_text("first\nstprune: error: the mistake \n\n")
    assert last_line(log) == "the mistake"


def test_elsewhere_snakemake_is_left_alone(
    toy_config: ExperimentConfig,
    layout: ExperimentLayout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a folder where `snakemake` would not find this project there is no state to keep."""
    monkeypatch.chdir(tmp_path)
    state = WorkflowState(layout, data_layout(toy_config))
    before = layout.metrics(KEY).stat().st_mtime_ns
    state.prepare("toy", None)
    state.hand_over(WantedRuns(toy_config).specs.values())
    assert layout.metrics(KEY).stat().st_mtime_ns == before
    assert not (tmp_path / ".snakemake").exists()


def test_snakemake_is_told_of_many_runs_in_parts_that_a_command_line_holds(
    toy_config: ExperimentConfig, layout: ExperimentLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = toy_config.model_copy(update={"seeds": [0, 1, 2]})
    state = WorkflowState(layout, data_layout(many))
    state.here = True
    specs = list(WantedRuns(many).specs.values())
    for spec in specs:
        state.note(spec)
    told: list[list[Path]] = []

    def snakemake(_: WorkflowState, targets: list[Path], *options: str) -> str | None:
        assert options[0] == "--touch"
        told.append(targets)
        return None if len(told) < 3 else "it is locked"

    monkeypatch.setattr(WorkflowState, "_snakemake", snakemake)
    monkeypatch.setattr("stprune.workflow.snakemake_state.AT_ONCE", 2)
    assert len(specs) == 6
    with pytest.raises(StpruneError, match="told of 2 finished run"):
        state.hand_over(specs)
    assert [len(part) for part in told] == [2, 2, 2]
    # What it was not told of is still noted.
    assert state.journal.read_text().split() == [spec.key.path for spec in specs]
