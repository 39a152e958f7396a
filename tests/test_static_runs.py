"""Whole runs of the static rivals on the toy data: same windows each epoch, preparation charged."""

from __future__ import annotations

from typing import Any

import pytest
from toy_runs import STATIC_RIVALS, key_of

from stprune.config.experiment import parse_config
from stprune.config.grid import experiment_layout
from stprune.records.run import read_epochs
from stprune.training.run import train


@pytest.mark.parametrize("pruner", STATIC_RIVALS)
def test_a_static_rival_pays_for_its_choice(toy_values: dict[str, Any], pruner: str) -> None:
    toy_values["pruners"] = {pruner: None}
    config = parse_config(toy_values, "the toy configuration")
    record = train(config, key_of(pruner, 0.5), [])
    epochs = read_epochs(experiment_layout(config).run_epochs(key_of(pruner, 0.5)))
    # Half of 289 windows, in each of four epochs; two epochs of scoring are on top.
    assert epochs["windows"].tolist() == [144] * 4
    assert record.cost.realised_keep_ratio == pytest.approx(144 / 289)
    assert record.cost.preparation_seconds > 0
    assert record.cost.train_seconds == pytest.approx(
        record.cost.preparation_seconds + epochs["train_seconds"].sum()
    )
