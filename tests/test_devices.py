"""Two devices (here: processes) train what one trains."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from stprune.config import parse_config
from stprune.grid import experiment_layout
from stprune.kept import read_kept
from stprune.layout import RunKey
from stprune.records import read_epochs, read_record
from stprune.run import train


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
