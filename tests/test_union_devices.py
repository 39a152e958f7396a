"""Two devices (here: processes) train on a union what one trains."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from toy_union import KEY, union_config, union_values, write_union

from stprune.config.grid import experiment_layout
from stprune.records.kept import read_kept
from stprune.records.run import read_epochs, read_record
from stprune.training.run import train


@pytest.mark.slow
def test_two_devices_give_the_scores_of_one(tmp_path: Path) -> None:
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
