"""Task `transfer`: trained on one city, tested on another."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_union import KEY, union_config, union_values, write_union

from stprune.training.run import train


def test_the_test_is_that_of_the_other_city(tmp_path: Path) -> None:
    values = union_values(write_union(tmp_path / "data"), tmp_path / "results")
    entry = {"dataset": "toy_small", "task": "transfer", "zero_shot": ["toy_away"]}
    values["datasets"] = {"cities": entry}
    values["training"] = {"epochs": 1, "batch_size": 32}
    record = train(union_config(values), KEY, [])
    assert record.config["dataset"]["task"] == "transfer"
    assert set(record.test_groups) == {"toy_away"}
    assert record.test.mae == record.transfer["toy_away"].zero_shot.mae
    assert record.test.windows == record.data["test_windows"]
    assert record.data["target_unit"] == "units of its own"
    assert record.test == record.scores_by_rule["paper"]
    # Validation, which chooses the epoch, stays where the model is trained: a hundredth in size.
    assert record.validation_mae < 0.1 * (record.test.mae or 0)


def test_it_is_the_union_of_one_tried_on_the_other(tmp_path: Path) -> None:
    values = union_values(write_union(tmp_path / "data"), tmp_path / "results")
    values["training"] = {"epochs": 1, "batch_size": 32}
    values["datasets"] = {
        "cities": {"dataset": "toy_small", "task": "transfer", "zero_shot": ["toy_away"]}
    }
    transferred = train(union_config(values), KEY, [])
    values["results_directory"] = str(tmp_path / "others")
    values["datasets"] = {"cities": {"union": ["toy_small"], "zero_shot": ["toy_away"]}}
    union = train(union_config(values), KEY, [])
    assert transferred.test.mae == union.transfer["toy_away"].zero_shot.mae
    assert transferred.validation_mae == pytest.approx(union.validation_mae)
