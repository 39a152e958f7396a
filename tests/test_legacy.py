"""Protocol `legacy` against a plain numpy transcription of the released ST-TTC rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import released_rules as released
import torch
from numpy.typing import NDArray
from toy import canonical

from stprune.base.errors import ConfigError
from stprune.config.experiment import parse_config
from stprune.config.grid import run_keys, run_spec
from stprune.data.dataset import ForecastData, alone, forecast_data
from stprune.data.tasks.base import build_task
from stprune.data.windows import LegacyStore
from stprune.pruning.base import everything
from stprune.pruning.batch_order import order_epoch
from stprune.training.devices import fabric_on
from stprune.training.engine import Engine
from stprune.training.evaluation import RULES
from stprune.training.run import refuse_small_splits

STEPS, NODES, HISTORY, HORIZON, BATCH = 230, 3, 5, 4, 16
CPU = torch.device("cpu")


def raw_series(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(STEPS, NODES, 1) counts and fractions with zeros, some of which stand for missing values."""
    rng = np.random.default_rng(seed)
    series = rng.gamma(2.0, 4.0, size=(STEPS, NODES, 1)).astype(np.float32)
    series[rng.random(series.shape) < 0.1] = 0.0
    mask = rng.random(series.shape) > 0.05
    series[~mask] = 0.0
    return series, mask


def opened(few_shot: int = 100) -> ForecastData:
    series, mask = raw_series()
    options = {"share": few_shot / 100}
    task = None if few_shot == 100 else build_task("few_shot", options)
    return forecast_data(
        canonical(series, mask), history=HISTORY, horizon=HORIZON, task=task, protocol="legacy"
    )


def target() -> released.Array:
    return raw_series()[0][:, :, 0].astype(np.float64)


@pytest.mark.parametrize("few_shot", [100, 10, 37])
def test_splits_and_scaler_are_those_released(few_shot: int) -> None:
    data, plain = opened(few_shot), target()
    split = released.st_ttc_split(STEPS, HISTORY, HORIZON, few_shot)
    for store, last_inputs in zip((data.train, data.validation, data.test), split, strict=True):
        np.testing.assert_array_equal(store.starts + HISTORY - 1, last_inputs)
    mean, deviation = released.st_ttc_scaler(plain, split.train, HISTORY)
    assert data.train.scaler.mean.item() == pytest.approx(mean, rel=1e-6)
    assert data.train.scaler.std.item() == pytest.approx(deviation, rel=1e-6)


def test_batches_hold_raw_values_and_the_mask_of_the_lowest_label() -> None:
    data, plain = opened(), target()
    split = released.st_ttc_split(STEPS, HISTORY, HORIZON)
    mean, deviation = released.st_ttc_scaler(plain, split.train, HISTORY)
    for rows in released.whole_batches(np.random.default_rng(1).permutation(split.train), 4):
        batch = data.train.gather(torch.from_numpy(rows - HISTORY + 1))
        labels = released.labels_of(plain, rows, HORIZON)
        np.testing.assert_array_equal(batch.targets, labels)
        np.testing.assert_array_equal(batch.mask, labels != released.st_ttc_null(labels))
        inputs = (released.inputs_of(plain, rows, HISTORY) - mean) / deviation
        np.testing.assert_allclose(batch.inputs[..., 0], inputs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lowest", [0.0, 0.25, 0.999, 1.0, 3.0, -2.0])
def test_the_loss_of_a_batch_is_the_released_masked_mae(lowest: float) -> None:
    rng = np.random.default_rng(3)
    labels = np.maximum(rng.normal(3, 4, size=(6, HORIZON, NODES)), lowest).astype(np.float32)
    labels[0, 0] = lowest
    forecast = rng.normal(3, 4, size=labels.shape).astype(np.float32)
    mask = labels != released.st_ttc_null(labels.astype(np.float64))
    errors = torch.from_numpy(np.abs(forecast - labels) * mask)
    losses = RULES["legacy"].window_losses(errors, torch.from_numpy(mask))
    plain = released.st_ttc_validation(forecast.astype(float), labels.astype(float))
    assert losses.mean().item() == pytest.approx(plain.mae, rel=1e-5)


def test_a_batch_whose_labels_are_all_masked_has_no_loss() -> None:
    mask = torch.zeros(4, HORIZON, NODES, dtype=torch.bool)
    losses = RULES["legacy"].window_losses(torch.zeros(mask.shape), mask)
    assert losses.tolist() == [0.0] * 4


def test_partial_batches_are_dropped_in_training() -> None:
    order = order_epoch(everything(70), 16, np.random.default_rng(0), CPU, drop_partial=True)
    assert order.sizes == [16] * 4
    assert len(order.indices) == len(order.weights) == len(set(order.indices.tolist())) == 64
    with pytest.raises(ConfigError, match="fill no batch of 16"):
        order_epoch(everything(15), 16, np.random.default_rng(0), CPU, drop_partial=True)


def test_splits_smaller_than_a_batch_are_refused() -> None:
    data = opened()
    refuse_small_splits(data, len(data.validation))
    with pytest.raises(ConfigError, match="validation windows fill none of 60"):
        refuse_small_splits(data, 60)


def experiment(folder: Path) -> dict[str, Any]:
    return {
        "experiment": "released",
        "protocol": "legacy",
        "datasets": {"city": {"dataset": "sim_city_1"}},
        "backbones": {"stid": {"options": {"layers": 1}}},
        "pruners": {"full": None, "random_dynamic": None},
        "prune_ratios": [0.5],
        "seeds": [0],
        "training": {
            "history": HISTORY,
            "horizon": HORIZON,
            "epochs": 4,
            "batch_size": BATCH,
            "evaluation_batch_size": 7,
        },
        "results_directory": str(folder),
    }


@pytest.mark.parametrize("pruner", ["full", "random_dynamic"])
def test_a_run_validates_and_tests_as_released(pruner: str, tmp_path: Path) -> None:
    """Forecasts of the trained network, scored in numpy, give the run's own numbers."""
    config = parse_config(experiment(tmp_path), "c.yaml")
    key = next(key for key in run_keys(config) if key.pruner == pruner)
    fabric = fabric_on()
    data = opened()
    assert isinstance(data.train, LegacyStore)
    engine = Engine(run_spec(config, key), alone(data), fabric)
    while not engine.finished:
        last = engine.train_epoch()
    for epoch, record in enumerate(engine.records):
        selected = engine.pruner.epoch_windows(epoch, 4)
        assert record.windows == selected // BATCH * BATCH
        assert record.gradient_steps == selected // BATCH

    plain = target()
    split = released.st_ttc_split(STEPS, HISTORY, HORIZON)
    mean, deviation = released.st_ttc_scaler(plain, split.train, HISTORY)

    def forecasts(last_inputs: NDArray[np.int64]) -> tuple[released.Array, released.Array]:
        """Of whole batches, and the labels."""
        engine.network.eval()
        made, labels = [], []
        for rows in released.whole_batches(last_inputs, BATCH):
            inputs = (released.inputs_of(plain, rows, HISTORY) - mean) / deviation
            times = np.stack([np.arange(row - HISTORY + 1, row + 1) for row in rows])
            with torch.no_grad():
                values = engine.network(
                    torch.from_numpy(inputs[..., None]).float(),
                    torch.from_numpy(times % 24),
                    torch.from_numpy(times // 24 % 7),
                )
            made.append(values.double().numpy() * deviation + mean)
            labels.append(released.labels_of(plain, rows, HORIZON))
        return np.concatenate(made), np.concatenate(labels)

    validation = released.st_ttc_validation(*forecasts(split.validation))
    assert last.validation_mae == pytest.approx(validation.mae, rel=1e-4)
    outcome = engine.test()
    average, _ = released.st_ttc_test(*forecasts(split.test))
    found = outcome.scores.mae, outcome.scores.rmse, outcome.scores.mape
    assert found == pytest.approx(tuple(average), rel=1e-4)
    assert outcome.scores == outcome.by_rule["st_ttc"]
    assert outcome.scores.windows == len(split.test) // BATCH * BATCH
    assert outcome.by_rule["paper"].windows == len(split.test)
