"""Two devices (here: processes) train what one trains, and neither outlives the other."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from toy_runs import outcome
from toy_union import KEY, union_config, union_values, write_union
from two_processes import end_of, start_both

from stprune.base.layout import RunKey
from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.config.grid import experiment_layout
from stprune.records.kept import read_kept
from stprune.records.run import read_epochs, read_record
from stprune.training.devices import fabric_on
from stprune.training.run import train


@pytest.mark.slow
@pytest.mark.parametrize("micro_batch", [None, 3])
def test_two_devices_give_the_scores_of_one(
    toy_values: dict[str, Any], tmp_path: Path, micro_batch: int | None
) -> None:
    """Batches are split and scores merged, so only the order of sums differs."""
    # Dropout draws on each device by itself, so it cannot be compared.
    toy_values["backbones"]["stid"]["options"]["dropout"] = 0.0
    key = RunKey("toy", "stid", "st_prune", 0.5, 0)
    config = parse_config(toy_values, "the toy configuration")
    one = train(config, key, [])
    one_epochs = read_epochs(experiment_layout(config).run_epochs(key))
    one_kept = read_kept(experiment_layout(config).kept(key))
    toy_values["compute"]["micro_batch"] = micro_batch
    # A process of its own: the second device is another process that runs the same command.
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(toy_values), encoding="utf-8")
    words: list[str | Path] = ["train", "--config", path, "--dataset", "toy", "--backbone", "stid"]
    words += ["--pruner", "st_prune", "--prune-ratio", "0.5", "--devices", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "stprune", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    two = read_record(experiment_layout(config).metrics(key))
    two_epochs = read_epochs(experiment_layout(config).run_epochs(key))
    two_kept = read_kept(experiment_layout(config).kept(key))
    assert two.environment["devices"] == 2
    # No window is lost on the way to the other device: the merged scores choose the same ones.
    np.testing.assert_array_equal(two_kept.kept, one_kept.kept)
    assert 0 < one_kept.kept[1].sum() < one_kept.kept.shape[1]
    np.testing.assert_allclose(two_kept.score_quantiles, one_kept.score_quantiles, rtol=1e-3)
    assert one_epochs["windows"].tolist() == two_epochs["windows"].tolist()
    assert two.test.windows == one.test.windows
    for column in ("train_loss", "validation_mae"):
        np.testing.assert_allclose(two_epochs[column], one_epochs[column], rtol=1e-3)
    assert two.test.mae == pytest.approx(one.test.mae, rel=1e-3)
    for rule, scores in one.scores_by_rule.items():
        merged = two.scores_by_rule[rule]
        assert merged.windows == scores.windows
        assert (merged.mae, merged.rmse) == pytest.approx((scores.mae, scores.rmse), rel=1e-3)


def test_a_job_of_a_cluster_is_not_taken_for_the_layout_of_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fabric would look for four processes that Slurm has not started, and wait for them."""
    for name, value in {"NTASKS": "4", "JOB_NAME": "train", "PROCID": "3", "LOCALID": "3"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    for devices in (1, 2):
        fabric = fabric_on(devices=devices)
        assert fabric.world_size == devices
        assert fabric.global_rank == 0


# Where epochs and ratios are such that windows are pruned by scores of both processes.
DYNAMIC = ("random_dynamic", "infobatch", "ucb", "epsilon_greedy", "st_prune")


def _train(path: Path, key: RunKey) -> list[str]:
    words = ["train", "--config", str(path), "--dataset", key.dataset, "--backbone", key.backbone]
    words += ["--pruner", key.pruner, "--prune-ratio", str(key.prune_ratio)]
    return [*words, "--seed", str(key.seed), "--devices", "2"]


def _configured(values: dict[str, Any], path: Path, results: Path) -> ExperimentConfig:
    """Write a configuration whose results lie in a folder of their own."""
    values = values | {"results_directory": str(results)}
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return parse_config(values, str(path))


@pytest.mark.slow
def test_every_dynamic_pruner_chooses_on_two_devices_what_it_chooses_on_one(
    toy_values: dict[str, Any], tmp_path: Path
) -> None:
    toy_values["backbones"]["stid"]["options"]["dropout"] = 0.0
    toy_values["pruners"] = dict.fromkeys(DYNAMIC)
    one = _configured(toy_values, tmp_path / "one.yaml", tmp_path / "one")
    two = _configured(toy_values, tmp_path / "two.yaml", tmp_path / "two")
    keys = [RunKey("toy", "stid", pruner, 0.5, 0) for pruner in DYNAMIC]
    processes = start_both([_train(tmp_path / "two.yaml", key) for key in keys])
    for process in processes:
        code, said = end_of(process)
        assert code == 0, said
    for key in keys:
        train(one, key, [])
        kept = [read_kept(experiment_layout(config).kept(key)).kept for config in (one, two)]
        assert not kept[0].all()
        np.testing.assert_array_equal(kept[0], kept[1], err_msg=key.pruner)
        # float32 sums in another order; an error of 1e-7 grows in a hundred steps.
        first, second = (read_record(experiment_layout(c).metrics(key)) for c in (one, two))
        assert second.test.mae == pytest.approx(first.test.mae, rel=1e-3)
        assert second.cost.windows_visited == first.cost.windows_visited


@pytest.mark.slow
def test_a_lost_process_ends_the_other_and_the_run_goes_on_to_the_same_bits(
    toy_values: dict[str, Any], tmp_path: Path
) -> None:
    # With dropout: each process must go on with the random numbers that it had come to.
    toy_values["backbones"]["stid"]["options"]["dropout"] = 0.3
    toy_values["training"] |= {"epochs": 12, "batch_size": 8}
    key = RunKey("toy", "stid", "st_prune", 0.5, 0)
    whole = _configured(toy_values, tmp_path / "whole.yaml", tmp_path / "whole")
    lost = _configured(toy_values, tmp_path / "lost.yaml", tmp_path / "lost")
    first, second = start_both([_train(tmp_path / "lost.yaml", key)])
    checkpoint = experiment_layout(lost).checkpoint(key)
    limit = time.monotonic() + 300
    while not checkpoint.exists():
        assert first.poll() is None, end_of(first)
        assert time.monotonic() < limit
        time.sleep(0.01)
    second.kill()
    code, said = end_of(first)
    end_of(second)
    assert code == 1
    assert "one of its 2 processes has ended" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert not experiment_layout(lost).metrics(key).exists()
    # Once more what was lost, and then the same undisturbed.
    again = start_both([_train(tmp_path / f"{name}.yaml", key) for name in ("lost", "whole")])
    ends = [end_of(process) for process in again]
    assert [code for code, _ in ends] == [0, 0], ends
    assert read_record(experiment_layout(lost).metrics(key)).resumed == 1
    (results, epochs), (expected, expected_epochs) = outcome(lost, key), outcome(whole, key)
    assert results == expected
    assert epochs.equals(expected_epochs)


@pytest.mark.slow
def test_two_devices_train_on_a_union_what_one_trains(tmp_path: Path) -> None:
    values = union_values(write_union(tmp_path / "data"), tmp_path / "results")
    # Dropout draws on each device by itself, so it cannot be compared.
    values["backbones"]["opencity"]["options"] |= {"dropout": 0.0, "attention_dropout": 0.0}
    values["pruners"] = {"st_prune": {"quota": "per_dataset"}}
    values["datasets"]["cities"]["linear_probe"] = {"epochs": 1}
    config, key = union_config(values), KEY._replace(pruner="st_prune", prune_ratio=0.6)
    layout = experiment_layout(config)
    one = train(config, key, [])
    one_epochs, one_kept = read_epochs(layout.run_epochs(key)), read_kept(layout.kept(key)).kept
    path = tmp_path / "union.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    words: list[str | Path] = ["train", "--config", path, "--dataset", "cities"]
    words += ["--backbone", "opencity", "--pruner", "st_prune", "--prune-ratio", "0.6"]
    done = subprocess.run(
        [sys.executable, "-m", "stprune", *words, "--devices", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    two = read_record(layout.metrics(key))
    two_epochs, two_kept = read_epochs(layout.run_epochs(key)), read_kept(layout.kept(key)).kept
    assert two.environment["devices"] == 2
    np.testing.assert_array_equal(two_kept, one_kept)
    for column in ("train_loss", "validation_mae"):
        np.testing.assert_allclose(two_epochs[column], one_epochs[column], rtol=1e-3)
    assert two.test.windows == one.test.windows
    assert two.test.mae == pytest.approx(one.test.mae, rel=1e-3)
    first, second = one.transfer["toy_away"], two.transfer["toy_away"]
    assert first.linear_probe is not None
    assert second.linear_probe is not None
    assert second.zero_shot.mae == pytest.approx(first.zero_shot.mae, rel=1e-3)
    assert second.linear_probe.mae == pytest.approx(first.linear_probe.mae, rel=1e-3)
