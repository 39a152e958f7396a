"""The contract of every task that is found, with its default options."""

from __future__ import annotations

import pytest
import torch
from toy import NODES, STEPS, canonical, toy_series

from stprune.data.dataset import ForecastData, forecast_data
from stprune.data.tasks.base import TASKS, build_task

STEPS_IN, STEPS_OUT = 8, 8


@pytest.fixture(params=TASKS.ids())
def data(request: pytest.FixtureRequest) -> ForecastData:
    series = toy_series()[:, :, None].astype("float32")
    task = build_task(request.param, {})
    opened = canonical(series, series != 0)
    return forecast_data(opened, history=STEPS_IN, horizon=STEPS_OUT, task=task)


def test_batches_have_the_shapes_that_backbones_and_the_engine_take(data: ForecastData) -> None:
    for store in (data.train, data.validation, data.test):
        batch = store.gather(torch.tensor([0, len(store) - 1]))
        assert batch.inputs.shape == (2, STEPS_IN, NODES, data.channels)
        assert batch.targets.shape == batch.mask.shape == (2, STEPS_OUT, NODES)
        assert batch.time_of_day.shape == batch.day_of_week.shape == (2, STEPS_IN)
        assert (batch.inputs.dtype, batch.targets.dtype) == (torch.float32, torch.float32)
        assert batch.mask.dtype == torch.bool
        assert bool(batch.inputs.isfinite().all())
        assert bool(batch.mask.any())


def test_windows_lie_in_the_series_and_splits_follow_each_other(data: ForecastData) -> None:
    stores = (data.train, data.validation, data.test)
    for store in stores:
        assert int(store.starts[0]) >= 0
        assert int(store.starts[-1]) + max(store.length, store.history) <= STEPS
    assert int(data.train.starts[-1]) < int(data.validation.starts[0])
    assert int(data.validation.starts[-1]) < int(data.test.starts[0])
    assert len(data.train_times) == len(data.train)


def test_targets_are_the_series_values_and_evaluation_never_changes(data: ForecastData) -> None:
    windows = torch.arange(3)
    for store in (data.validation, data.test):
        first = store.gather(windows)
        store.begin_epoch(7)
        again = store.gather(windows)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        start = int(store.starts[0]) + store.target_offset
        values = store.series[start : start + STEPS_OUT, :, store.target_channel]
        assert torch.equal(first.targets[0], values)
