"""Progress: lines where nobody watches, a bar where somebody does."""

from __future__ import annotations

import logging

import pytest

from stprune.base.layout import RunKey
from stprune.config.experiment import ExperimentConfig
from stprune.training.run import train
from stprune.workflow.progress import Progress

KEY = RunKey("toy", "stid", "st_prune", 0.5, 0)


def test_lines_tell_each_epoch_and_the_result(
    toy_config: ExperimentConfig, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="stprune"):
        record = train(toy_config, KEY, [Progress(live=False)])
    lines = [
        entry.getMessage() for entry in caplog.records if entry.name == "stprune.workflow.progress"
    ]
    assert lines[0] == "toy/stid/st_prune/p0.5/s0: 4 epochs"
    assert lines[1].startswith("epoch 1/4: kept 100.0 %")
    assert lines[2].startswith("epoch 2/4: kept 49.8 %")
    assert len(lines) == 6
    assert f"test MAE {record.test.mae:.4g}" in lines[-1]


def test_a_bar_ends_at_the_last_epoch_and_is_closed(
    toy_config: ExperimentConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress(live=True)
    train(toy_config, KEY, [progress])
    assert progress.bar is None
    errors = capsys.readouterr().err
    assert "4/4" in errors
    assert "toy/stid/st_prune/p0.5/s0" in errors
