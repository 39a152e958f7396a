"""A run made again from its record alone comes out the same, or what differs is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import toy
from toy_runs import key_of
from toy_union import KEY, union_config, union_values, write_union

from stprune.__main__ import main
from stprune.base.errors import RecordError
from stprune.base.layout import RunKey
from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.config.grid import experiment_layout, run_spec
from stprune.records.run import read_record
from stprune.training.rerun import Difference, config_of_record, difference_text, rerun
from stprune.training.run import train


def made_again(config: ExperimentConfig, key: RunKey, folder: Path) -> Difference:
    """Train a run, then make it again knowing its record only."""
    train(config, key, [])
    return again(experiment_layout(config).metrics(key), config.data_directory, folder)


def again(metrics: Path, data: Path, folder: Path) -> Difference:
    record = read_record(metrics)
    return rerun(metrics, record, config_of_record(record, str(metrics), data, folder))


@pytest.mark.parametrize("pruner", ["st_prune", "infobatch", "el2n"])
def test_a_record_is_enough_for_the_same_bits(
    all_pruners: ExperimentConfig, pruner: str, tmp_path: Path
) -> None:
    found = made_again(all_pruners, key_of(pruner), tmp_path / "again")
    assert found.bit_equal
    assert found.not_compared == ()
    assert found.circumstances == ()
    # Scores by four rules and by step ahead, and each of six epochs: not only a few.
    assert found.numbers > 200


def test_what_a_configuration_can_say_is_in_the_record(
    toy_values: dict[str, Any], tmp_path: Path
) -> None:
    """Names of one's own, options, part of the data, a task, another protocol and budget."""
    toy_values["datasets"] = {
        "part": {
            "dataset": toy.DATASET,
            "node_stride": 2,
            "evaluation_stride": 2,
            "task": "impute",
            "training": {"batch_size": 16},
        }
    }
    toy_values["backbones"] = {"tiny": toy_values["backbones"]["stid"] | {"backbone": "stid"}}
    toy_values["pruners"] = {"mine": {"pruner": "st_prune", "options": {"hard_share": 0.25}}}
    toy_values["training"] |= {"epochs": 2, "budget": "total_windows"}
    toy_values["protocol"] = "strict"
    key = RunKey("part", "tiny", "mine", 0.5, 0)
    config = parse_config(toy_values, "the toy configuration")
    found = made_again(config, key, tmp_path / "again")
    assert found.bit_equal
    assert not [change for change in found.circumstances if change.name == "fingerprint"]


def test_a_union_is_made_again_too(tmp_path: Path) -> None:
    values = union_values(write_union(tmp_path / "data"), tmp_path / "results")
    config = union_config(values)
    record_of = config_of_record
    train(config, KEY, [])
    metrics = experiment_layout(config).metrics(KEY)
    rebuilt = record_of(read_record(metrics), "it", config.data_directory, tmp_path / "again")
    assert run_spec(rebuilt, KEY).fingerprint == run_spec(config, KEY).fingerprint


def test_every_difference_is_named(toy_config: ExperimentConfig, tmp_path: Path) -> None:
    key = key_of("st_prune", 0.5)
    train(toy_config, key, [])
    metrics = experiment_layout(toy_config).metrics(key)
    values = json.loads(metrics.read_text())
    values["test"]["mae"] *= 1.25
    values["environment"]["versions"]["torch"] = "1.0.0"
    values["source_digest"] = "0" * 64
    del values["scores_by_rule"]["opencity"]  # as if by a version that did not know that rule
    metrics.write_text(json.dumps(values))
    metrics.with_name("kept.npz").unlink()
    found = again(metrics, toy_config.data_directory, tmp_path / "again")
    assert [change.name for change in found.results] == ["test.mae"]
    assert found.results[0].relative == pytest.approx(0.2)
    names = {change.name for change in found.circumstances}
    assert names == {"environment.versions.torch", "source_digest"}
    text = difference_text(found)
    assert "differs: test.mae: " in text
    assert f"not compared: {len(found.one_sided)} numbers that only one" in text
    assert {name[:23] for name in found.one_sided} == {"scores_by_rule.opencity"}
    assert "(by 0.2 of it)" in text
    assert "not compared: kept.npz" in text
    assert "environment.versions.torch: 1.0.0 then, " in text


def test_other_data_are_refused_before_training(
    toy_config: ExperimentConfig, tmp_path: Path
) -> None:
    key = key_of("full")
    train(toy_config, key, [])
    metrics = experiment_layout(toy_config).metrics(key)
    values = json.loads(metrics.read_text())
    values["data"]["checksum"] = "f" * 64
    metrics.write_text(json.dumps(values))
    with pytest.raises(RecordError, match=r"with checksum f+, but what .* holds has"):
        again(metrics, toy_config.data_directory, tmp_path / "again")
    assert not list((tmp_path / "again").rglob("last.pt"))


def test_a_record_is_never_written_over(toy_config: ExperimentConfig) -> None:
    key = key_of("full")
    train(toy_config, key, [])
    metrics = experiment_layout(toy_config).metrics(key)
    before = metrics.read_bytes()
    with pytest.raises(RecordError, match="give a folder without records"):
        again(metrics, toy_config.data_directory, toy_config.results_directory)
    assert metrics.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dataset": {"name": "toy"}}, "does not say what was run: `config` lacks 'id'"),
        ({"training": None}, "training"),
        ({"pruner": {"name": "x", "id": "gone", "options": {}}}, "unknown pruner `gone`"),
    ],
)
def test_a_record_that_cannot_be_run_is_one_line(
    toy_config: ExperimentConfig,
    tmp_path: Path,
    change: dict[str, Any],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = key_of("full")
    train(toy_config, key, [])
    metrics = experiment_layout(toy_config).metrics(key)
    values = json.loads(metrics.read_text())
    values["config"] |= change
    metrics.write_text(json.dumps(values))
    data = str(toy_config.data_directory)
    words = ["rerun", str(metrics), "--data-directory", data, "--into", str(tmp_path / "again")]
    assert main(words) != 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]
