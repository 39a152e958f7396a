"""Devices (here: processes) and cores of a run."""

import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from toy_runs import Command, assert_same_outcome, key_of
from toy_union import KEY, union_values, write_union

from stprune.base.errors import DeviceLostError, OutOfMemoryError
from stprune.base.layout import RunKey
from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.config.grid import experiment_layout, run_spec
from stprune.records.kept import read_kept
from stprune.records.run import RunRecord, read_record
from stprune.training.devices import fabric_on, naming_failures
from stprune.training.run import train


def test_the_layout_of_a_cluster_is_not_that_of_a_run(monkeypatch):
    """Fabric would look for four processes that Slurm has not started, and wait for them."""
    for name, value in {"NTASKS": "4", "JOB_NAME": "train", "PROCID": "3", "LOCALID": "3"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    for count in (1, 2):
        fabric = fabric_on(devices=count)
        assert (fabric.world_size, fabric.global_rank) == (count, 0)


def test_numbers_below_the_normal_range_are_zero():
    """A product with a tenth of such weights took ninety times as long as without."""
    torch.set_flush_denormal(False)
    assert torch.tensor([1e-39]) * 1 != 0
    fabric_on()
    assert torch.tensor([1e-39]) * 1 == 0


@pytest.mark.parametrize(
    ("error", "processes", "named"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."), 1, OutOfMemoryError),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), 1, OutOfMemoryError),
        (MemoryError(), 2, OutOfMemoryError),
        (RuntimeError("Connection closed by peer"), 2, DeviceLostError),
        (RuntimeError("Connection closed by peer"), 1, RuntimeError),
        (RuntimeError("shapes differ"), 2, RuntimeError),
    ],
    ids=str,
)
def test_shortage_of_memory_and_lost_processes_are_named(toy_config, error, processes, named):
    spec = run_spec(toy_config, key_of("full"))
    fabric: Any = SimpleNamespace(world_size=processes, global_rank=0)
    with pytest.raises(named) as caught, naming_failures(fabric, spec):
        raise error
    assert type(caught.value) is named


def start_both(folder: Path, *commands: list[str]) -> list[Command]:
    """Run commands in turn as two devices; started by Fabric, none could be killed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    both = []
    for rank in range(2):
        together = {"WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
        together |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        both.append(Command(list(commands), folder, folder / f"{rank}-{port}", together))
        both[-1].start()
    return both


# Where epochs and ratios are such that windows are pruned by scores of both processes.
DYNAMIC = ("random_dynamic", "infobatch", "ucb", "epsilon_greedy", "st_prune")


def _train(path: Path, key: RunKey) -> list[str]:
    words = ["train", "--config", str(path), "--dataset", key.dataset, "--backbone", key.backbone]
    words += ["--pruner", key.pruner, "--prune-ratio", str(key.prune_ratio)]
    return [*words, "--seed", str(key.seed)]


def _configured(values: dict[str, Any], path: Path, results: Path) -> ExperimentConfig:
    """Write a configuration whose results lie in a folder of their own."""
    values = values | {"results_directory": str(results)}
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return parse_config(values, str(path))


def assert_near(one: RunRecord, two: RunRecord) -> None:
    """Float32 sums come in another order; an error of 1e-7 grows in a hundred steps."""
    assert two.cost.windows_visited == one.cost.windows_visited
    for rule, scores in one.scores_by_rule.items():
        merged = two.scores_by_rule[rule]
        assert merged.windows == scores.windows
        assert (merged.mae, merged.rmse) == pytest.approx((scores.mae, scores.rmse), rel=1e-3)


@pytest.mark.slow
def test_two_devices_choose_what_one_chooses(toy_values, tmp_path):
    # Dropout draws on each device by itself, so it cannot be compared.
    toy_values["backbones"]["stid"]["options"]["dropout"] = 0.0
    toy_values["pruners"] = dict.fromkeys(DYNAMIC)
    one = _configured(toy_values, tmp_path / "one.yaml", tmp_path / "one")
    toy_values["compute"] |= {"micro_batch": 3, "devices": 2}
    two = _configured(toy_values, tmp_path / "two.yaml", tmp_path / "two")
    keys = [key_of(pruner, 0.5) for pruner in DYNAMIC]
    for process in start_both(tmp_path, *(_train(tmp_path / "two.yaml", key) for key in keys)):
        code, said = process.end()
        assert code == 0, said
    for key in keys:
        record = train(one, key, [])
        kept = [read_kept(experiment_layout(config).kept(key)) for config in (one, two)]
        assert not kept[0].kept.all()
        # No window is lost on the way to the other device: merged scores choose the same ones.
        np.testing.assert_array_equal(kept[0].kept, kept[1].kept, err_msg=key.pruner)
        assert_near(record, read_record(experiment_layout(two).metrics(key)))


@pytest.mark.slow
def test_a_run_goes_on_after_a_lost_process(toy_values, tmp_path):
    # With dropout: each process must go on with the random numbers that it had come to.
    toy_values["backbones"]["stid"]["options"]["dropout"] = 0.3
    toy_values["training"] |= {"epochs": 12, "batch_size": 8}
    toy_values["compute"]["devices"] = 2
    key = key_of("st_prune", 0.5)
    whole = _configured(toy_values, tmp_path / "whole.yaml", tmp_path / "whole")
    lost = _configured(toy_values, tmp_path / "lost.yaml", tmp_path / "lost")
    first, second = start_both(tmp_path, _train(tmp_path / "lost.yaml", key))
    checkpoint = experiment_layout(lost).checkpoint(key)
    limit = time.monotonic() + 300
    while not checkpoint.exists():
        assert first.is_alive(), first.end()
        assert time.monotonic() < limit
        time.sleep(0.01)
    second.kill()
    code, said = first.end()
    second.join()
    assert code == 1
    assert "Traceback" not in said
    assert not experiment_layout(lost).metrics(key).exists()
    # Once more what was lost, and then the same undisturbed.
    words = (_train(tmp_path / f"{name}.yaml", key) for name in ("lost", "whole"))
    ends = [process.end() for process in start_both(tmp_path, *words)]
    assert [code for code, _ in ends] == [0, 0], ends
    assert read_record(experiment_layout(lost).metrics(key)).resumed == 1
    assert_same_outcome(lost, whole, key)


@pytest.mark.slow
def test_two_devices_train_on_a_union_what_one_trains(tmp_path):
    values = union_values(write_union(tmp_path / "data"), tmp_path / "results")
    values["backbones"]["opencity"]["options"] |= {"dropout": 0.0, "attention_dropout": 0.0}
    values["pruners"] = {"st_prune": {"quota": "per_dataset"}}
    values["datasets"]["cities"]["linear_probe"] = {"epochs": 1}
    key = KEY._replace(pruner="st_prune", prune_ratio=0.6)
    config = _configured(values, tmp_path / "union.yaml", tmp_path / "results")
    layout = experiment_layout(config)
    one = train(config, key, [])
    one_kept = read_kept(layout.kept(key)).kept
    # The block's run starts the second process by itself.
    values["compute"]["devices"] = 2
    _configured(values, tmp_path / "union.yaml", tmp_path / "results")
    words = ["train-block", "cities/opencity/s0", "--config", str(tmp_path / "union.yaml")]
    done = subprocess.run([sys.executable, "-m", "stprune", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    two = read_record(layout.metrics(key))
    assert two.environment["devices"] == 2
    np.testing.assert_array_equal(read_kept(layout.kept(key)).kept, one_kept)
    assert_near(one, two)
    assert two.validation_mae == pytest.approx(one.validation_mae, rel=1e-3)
    first, second = one.transfer["toy_away"], two.transfer["toy_away"]
    assert second.zero_shot.mae == pytest.approx(first.zero_shot.mae, rel=1e-3)
    probed = [part.linear_probe and part.linear_probe.mae for part in (first, second)]
    assert probed[1] == pytest.approx(probed[0], rel=1e-3)
