"""Forecasters that do not train are runs like others: one pass, a record, and no pruner."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from toy_runs import Listener, StoppedError, elsewhere

from stprune.base.errors import ConfigError
from stprune.base.layout import RunKey
from stprune.config.experiment import ExperimentConfig, parse_config
from stprune.config.grid import experiment_layout, run_keys
from stprune.data.dataset import ForecastData
from stprune.records.run import RunRecord, read_epochs
from stprune.training.run import train

UNTRAINED = ("historical_average", "last_value")


@pytest.fixture
def untrained(toy_values: dict[str, Any]) -> ExperimentConfig:
    """Both of them beside a network, under full training and one pruner."""
    backbones = {name: {} for name in ("stid", *UNTRAINED)}
    pruners = {"full": {}, "random_dynamic": {}}
    return parse_config(toy_values | {"backbones": backbones, "pruners": pruners}, "here")


def key_of(backbone: str) -> RunKey:
    return RunKey("toy", backbone, "full", 0.0, 0)


def run(config: ExperimentConfig, backbone: str) -> RunRecord:
    return train(config, key_of(backbone), [])


def test_only_full_training_is_run_with_them(untrained: ExperimentConfig) -> None:
    pruners: dict[str, set[str]] = {}
    for key in run_keys(untrained):
        pruners.setdefault(key.backbone, set()).add(key.pruner)
    assert pruners["stid"] == {"full", "random_dynamic"}
    assert all(pruners[name] == {"full"} for name in UNTRAINED)


def test_a_grid_without_full_training_says_so(toy_values: dict[str, Any]) -> None:
    changes: dict[str, Any] = {"backbones": {"last_value": {}}, "pruners": {"random_dynamic": {}}}
    config = parse_config(toy_values | changes, "here")
    with pytest.raises(ConfigError, match=r"`last_value` does not train, so it runs with .*full"):
        run_keys(config)


def test_a_pruner_is_refused(untrained: ExperimentConfig) -> None:
    key = RunKey("toy", "last_value", "random_dynamic", 0.5, 0)
    with pytest.raises(ConfigError, match="does not train, so its pruner is `full`, not `random_"):
        train(untrained, key, [])


@pytest.mark.parametrize("backbone", UNTRAINED)
def test_one_pass_without_steps(untrained: ExperimentConfig, backbone: str) -> None:
    record = run(untrained, backbone)
    epochs = read_epochs(experiment_layout(untrained).run_epochs(key_of(backbone)))
    assert record.parameters == record.cost.gradient_steps == 0
    assert record.cost.epochs == len(epochs) == 1
    assert record.best_epoch == 0
    assert epochs["validation_mae"].tolist() == [record.validation_mae]


def test_last_value_scores_as_numpy_does(
    untrained: ExperimentConfig, toy_forecast: ForecastData
) -> None:
    record = run(untrained, "last_value")
    store = toy_forecast.test
    errors, count = 0.0, 0.0
    for start in store.starts.tolist():
        end = start + store.history
        last = store.series[end - 1, :, 0].numpy()
        truth = store.series[end : end + store.horizon, :, 0].numpy()
        seen = np.ones_like(truth, dtype=bool)
        if store.target_mask is not None:
            seen = store.target_mask[end : end + store.horizon].numpy()
        errors += float(np.abs(truth - last)[seen].astype(np.float64).sum())
        count += float(seen.sum())
    assert record.test.mae == pytest.approx(errors / count, rel=1e-6)


def test_historical_average_is_fitted_on_training_windows(
    untrained: ExperimentConfig,
) -> None:
    """The toy days repeat, so their mean beats the last value by far."""
    average, last = (run(untrained, name).test.mae for name in UNTRAINED)
    assert average is not None
    assert last is not None
    assert average < 0.5 * last


def test_a_stopped_one_resumes_to_the_same_scores(untrained: ExperimentConfig) -> None:
    key = key_of("historical_average")
    whole = train(elsewhere(untrained, "whole"), key, [])
    config = elsewhere(untrained, "stopped")
    with pytest.raises(StoppedError):
        train(config, key, [Listener(stop_after=0)])
    resumed = train(config, key, [])
    assert (resumed.resumed, whole.resumed) == (1, 0)
    assert resumed.test == whole.test
