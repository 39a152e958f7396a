"""A series with nights left out: no window crosses one, whatever is done with the windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_stationarity import naive_first_difference
from toy import canonical, day_times

from stprune.base.errors import ConfigError
from stprune.data.dataset import ForecastData, forecast_data
from stprune.data.stationarity import MEASURES, first_difference
from stprune.data.windows import WindowStore, window_starts

HOUR = np.timedelta64(1, "h")


def opened_days(
    days: int, first_hour: int = 6, history: int = 3, horizon: int = 2, kept: int | None = None
) -> ForecastData:
    """Hourly days from ``first_hour`` on; each value is the number of its step."""
    times = day_times(days, first_hour)
    series = np.arange(len(times), dtype=np.float32).reshape(-1, 1, 1)
    return forecast_data(
        canonical(series, timestamps=times), history=history, horizon=horizon, days=kept
    )


def steps_of(store: WindowStore) -> NDArray[np.int64]:
    """(n, T + H) steps of all windows, read off what is gathered."""
    batch = store.gather(torch.arange(len(store)))
    inputs = store.scaler.restore(batch.inputs[:, :, 0, 0])
    return torch.cat([inputs, batch.targets[:, :, 0]], dim=1).round().long().numpy()


@given(
    days=st.integers(4, 9),
    first_hour=st.integers(0, 16),
    history=st.integers(1, 4),
    horizon=st.integers(1, 3),
)
def test_no_window_crosses_a_night_and_none_is_left_out(
    days: int, first_hour: int, history: int, horizon: int
) -> None:
    opened = opened_days(days, first_hour, history, horizon)
    windows = np.concatenate([steps_of(s) for s in (opened.train, opened.validation, opened.test)])
    times = day_times(days, first_hour)
    hours, length = 24 - first_hour, history + horizon
    assert (np.diff(times[windows], axis=1) == HOUR).all()
    expected = [
        step
        for step in range(len(times) - length + 1)
        # Where no hour is left out, midnight is no break.
        if first_hour == 0 or step % hours + length <= hours
    ]
    assert windows[:, 0].tolist() == expected


def test_the_splits_are_by_time() -> None:
    opened = opened_days(10)
    # 18 hours a day hold 14 windows of 5: 140 in all, six days of them for training.
    assert [len(s) for s in (opened.train, opened.validation, opened.test)] == [84, 28, 28]
    assert steps_of(opened.train).max() < 6 * 18 == steps_of(opened.validation).min()
    assert steps_of(opened.validation).max() < 8 * 18 == steps_of(opened.test).min()


def test_the_calendar_is_that_of_each_step() -> None:
    batch = opened_days(10).test.gather(torch.tensor([0, 13, 14]))
    assert batch.time_of_day.tolist() == [[6, 7, 8], [19, 20, 21], [6, 7, 8]]
    # The ninth and tenth of January 2024.
    assert batch.day_of_week[:, 0].tolist() == [1, 1, 2]


def test_the_scaler_is_fitted_to_what_training_inputs_hold() -> None:
    """The last two hours of a day are targets only."""
    opened = opened_days(10)
    seen = np.arange(6 * 18).reshape(6, 18)[:, :16]
    assert opened.train.scaler.mean[0] == pytest.approx(seen.mean())
    assert opened.train.scaler.std[0] == pytest.approx(seen.std())


def test_a_subset_counts_the_days_that_are_there() -> None:
    opened = opened_days(10, kept=5)
    assert opened.train.series.shape == (5 * 18, 1, 1)
    assert opened.description["steps"] == 5 * 18
    with pytest.raises(ConfigError, match="has 10 days and 1 nodes; the subset asks for 11 days"):
        opened_days(10, kept=11)


def test_days_shorter_than_a_window_are_too_few() -> None:
    with pytest.raises(ConfigError, match="0 windows are too few"):
        opened_days(10, first_hour=20)


def test_a_series_shorter_than_a_window_has_none() -> None:
    times = day_times(1)[:3]
    assert window_starts(times, 4, 60).tolist() == []
    assert window_starts(times, 3, 60).tolist() == [0]


def test_stationarity_of_days_equals_a_loop_over_windows() -> None:
    times = day_times(8)
    rng = np.random.default_rng(5)
    series = rng.normal(size=(len(times), 4, 1)).cumsum(0).astype(np.float32)
    mask = rng.random(series.shape) >= 0.3
    opened = forecast_data(canonical(series, mask, timestamps=times), history=3, horizon=2)
    for store in (opened.train, opened.test):
        np.testing.assert_allclose(
            first_difference(store), naive_first_difference(store), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("measure", sorted(MEASURES))
def test_every_measure_is_that_of_the_window_alone(measure: str) -> None:
    """Each day repeats the same values, so the same hour of another day is the same window."""
    times = day_times(8)
    day = np.random.default_rng(6).normal(size=(18, 3, 1)).astype(np.float32)
    opened = forecast_data(
        canonical(np.tile(day, (8, 1, 1)), timestamps=times), history=3, horizon=2
    )
    values = MEASURES[measure](opened.train)
    whole = values[: len(values) // 14 * 14].reshape(-1, 14)
    torch.testing.assert_close(whole, whole[:1].expand_as(whole), rtol=1e-4, atol=1e-5)
    assert whole[0].unique().numel() > 10
