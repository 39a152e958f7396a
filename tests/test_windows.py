"""Windows: gathered as sliced by hand, split by time, standardised by the past alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from toy import canonical, day_times

from stprune.base.errors import ConfigError, DataError
from stprune.data import canonical as blocks
from stprune.data import windows
from stprune.data.canonical import CanonicalDataset, RawSeries, read_canonical, write_canonical
from stprune.data.dataset import ForecastData, forecast_data
from stprune.data.scaler import fit_scaler
from stprune.data.stationarity import MEASURES, StationarityMeasure, stationarity
from stprune.data.windows import WindowStore, calendar, split_windows


def random_series(
    steps: int, nodes: int, channels: int, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Values around 50 and a mask with a fifth missing, in every channel."""
    rng = np.random.default_rng(seed)
    series = rng.normal(50.0, 10.0, (steps, nodes, channels)).astype(np.float32)
    return series, rng.random(series.shape) > 0.2


def splits_of(data: ForecastData) -> list[WindowStore]:
    """The three stores in the order of time."""
    return [data.train, data.validation, data.test]


@given(
    history=st.integers(1, 6),
    horizon=st.integers(1, 6),
    nodes=st.integers(1, 4),
    channels=st.integers(1, 3),
    extra=st.integers(5, 40),
    ready=st.booleans(),
    data=st.data(),
)
def test_gather_equals_naive_slicing(
    history: int,
    horizon: int,
    nodes: int,
    channels: int,
    extra: int,
    ready: bool,
    data: st.DataObject,
) -> None:
    target = data.draw(st.integers(0, channels - 1))
    series, mask = random_series(history + horizon + extra, nodes, channels, extra)
    mask[0] = True  # every channel is observed at least once
    assume(len(np.unique(series[mask])) > channels)
    opened = forecast_data(
        canonical(series, mask, target_channel=target), history=history, horizon=horizon
    )
    store = data.draw(st.sampled_from(splits_of(opened)))
    assert store.ready is not None
    store = store if ready else replace(store, ready=None)
    chosen = data.draw(st.lists(st.integers(0, len(store) - 1), min_size=1, max_size=5))
    batch = store.gather(torch.tensor(chosen))
    mean, std = store.scaler.mean.numpy(), store.scaler.std.numpy()
    filled = np.where(mask, series, mean)
    for row, window in enumerate(chosen):
        start = int(store.starts[window])
        middle, end = start + history, start + history + horizon
        np.testing.assert_array_equal(batch.inputs[row], (filled[start:middle] - mean) / std)
        np.testing.assert_array_equal(batch.mask[row], mask[middle:end, :, target])
        observed = batch.mask[row].numpy()
        np.testing.assert_array_equal(
            batch.targets[row].numpy()[observed], series[middle:end, :, target][observed]
        )


def batches_of(data: ForecastData) -> list[Tensor]:
    """Every part of a batch of all windows of each split."""
    return [part for store in splits_of(data) for part in store.gather(torch.arange(len(store)))]


@settings(max_examples=15)  # each writes a data set
@given(
    node_stride=st.integers(1, 3),
    window_stride=st.integers(1, 4),
    days=st.sampled_from([None, 3]),
    target_only=st.booleans(),
    missing=st.booleans(),
    ready=st.booleans(),
)
def test_batches_from_a_file_are_those_from_memory(
    node_stride: int,
    window_stride: int,
    days: int | None,
    target_only: bool,
    missing: bool,
    ready: bool,
) -> None:
    series, mask = random_series(100, 4, 2)
    mask = mask if missing else np.ones_like(mask)
    series = np.where(mask, series, np.float32(0))
    memory = canonical(series, mask, target_channel=1)
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        raw = RawSeries(series, mask, memory.timestamps, memory.adjacency, memory.node_ids)
        write_canonical(raw, memory.card, Path(name))
        file = read_canonical(Path(name))

        def opened(dataset: CanonicalDataset, history: int) -> ForecastData:
            return forecast_data(
                dataset,
                history=history,
                horizon=2,
                node_stride=node_stride,
                window_stride=window_stride,
                days=days,
                target_only=target_only,
            )

        expected = batches_of(opened(memory, 3))
        patch.setattr(windows, "READY_BYTES", 2**20 if ready else 0)
        data = opened(file, 3)
        # Other training steps have other means to stand in for what is missing.
        opened(file, 9)
        for ours, theirs in zip(batches_of(data), expected, strict=True):
            assert torch.equal(ours, theirs)
        np.testing.assert_array_equal(file.series, series)
        np.testing.assert_array_equal(memory.series, series)


@pytest.mark.parametrize("step_minutes", [5, 60, 1440])
def test_time_of_day_and_weekday_are_those_of_pandas(step_minutes: int) -> None:
    # Over a leap day, and from before 1970, where a remainder could be negative.
    for start in ("2024-02-27T22:35", "1969-12-30T00:10"):
        times = pd.date_range(start, periods=500, freq=f"{step_minutes}min")
        slot, weekday = calendar(times.to_numpy(), step_minutes)
        np.testing.assert_array_equal(slot, (times.hour * 60 + times.minute) // step_minutes)
        np.testing.assert_array_equal(weekday, times.day_of_week)


@given(
    windows=st.integers(3, 5000),
    shares=st.sampled_from([(0.6, 0.2, 0.2), (0.7, 0.1, 0.2), (0.5, 0.25, 0.25)]),
)
def test_splits_partition_all_windows_in_order(
    windows: int, shares: tuple[float, float, float]
) -> None:
    try:
        parts = split_windows(windows, shares)
    except ConfigError:
        assert round(windows * min(shares)) <= 1
        return
    numbers = [*parts.train, *parts.validation, *parts.test]
    assert numbers == list(range(windows))
    assert len(parts.train) == round(windows * shares[0])
    assert len(parts.validation) == round(windows * shares[1])


@pytest.mark.parametrize(
    "options", [{"history": 12, "horizon": 12}, {"days": 2}, {"node_stride": 2}], ids=str
)
def test_too_few_windows_days_or_nodes_are_a_users_mistake(options: dict[str, Any]) -> None:
    series, mask = random_series(25, 1, 1)
    with pytest.raises(ConfigError):
        forecast_data(canonical(series, mask), **({"history": 1, "horizon": 1} | options))


def test_a_subset_is_every_so_many_th_node_of_the_first_days() -> None:
    series, mask = random_series(24 * 10, 5, 1)
    dataset = canonical(series, mask)
    dataset.adjacency[0, 2] = 1.0
    opened = forecast_data(dataset, history=2, horizon=1, node_stride=2, days=4)
    assert opened.train.series.shape == (96, 3, 1)
    assert opened.adjacency.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert opened.description["nodes"] == 3
    assert opened.train.target_mask is not None
    np.testing.assert_array_equal(opened.train.target_mask, mask[:96, ::2, 0])
    assert sum(len(store) for store in splits_of(opened)) == 96 - 2


@pytest.mark.parametrize("block", [50, 2**22])
def test_the_scaler_is_that_of_observed_training_values(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_VALUES", block)
    series, mask = random_series(120, 3, 2)
    series[~mask] = 1e6
    opened = forecast_data(canonical(series, mask), history=4, horizon=3)
    seen = len(opened.train) + 4 - 1
    for channel in range(2):
        values = series[:seen, :, channel][mask[:seen, :, channel]].astype(np.float64)
        assert opened.train.scaler.mean[channel] == pytest.approx(values.mean(), rel=1e-6)
        assert opened.train.scaler.std[channel] == pytest.approx(values.std(), rel=1e-6)


def test_a_channel_without_spread_or_values_is_a_data_error() -> None:
    series, mask = random_series(40, 2, 2)
    series[..., 1] = 3.0
    with pytest.raises(DataError, match="channel 1"):
        fit_scaler(series, mask, 0)
    mask[..., 0] = False
    with pytest.raises(DataError, match="channel 0"):
        fit_scaler(series, mask, 0)


def test_a_window_stride_thins_training_only() -> None:
    data = canonical(np.random.default_rng(0).normal(size=(200, 2, 1)).astype(np.float32))
    whole = forecast_data(data, history=3, horizon=2)
    thin = forecast_data(data, history=3, horizon=2, window_stride=4)
    assert thin.train.starts.tolist() == whole.train.starts.tolist()[::4]
    assert thin.description["train_windows"] == len(thin.train) == len(thin.train_times)
    assert thin.validation.starts.equal(whole.validation.starts)
    assert thin.test.starts.equal(whole.test.starts)
    assert thin.train.scaler.mean.equal(whole.train.scaler.mean)


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
    windows = np.concatenate([steps_of(store) for store in splits_of(opened)])
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
    with pytest.raises(ConfigError, match="10 days"):
        opened_days(10, kept=11)
    # Days of four hours hold no window of five.
    with pytest.raises(ConfigError):
        opened_days(10, first_hour=20)


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


KINDS = tuple(MEASURES)
Values: TypeAlias = NDArray[np.float64]
Seen: TypeAlias = NDArray[np.bool_]
STEPS = 70


def difference(window: Values, seen: Seen, std: float) -> float | None:
    pairs = [t for t in range(len(window) - 1) if seen[t] and seen[t + 1]]
    if not pairs:
        return None
    return float(np.mean([abs(window[t + 1] - window[t]) for t in pairs]) / std)


def spread(window: Values, seen: Seen, std: float) -> float | None:
    return float(window[seen].std() / std) if seen.any() else None


def flatness(window: Values, seen: Seen, std: float) -> float:
    """From a sum of cosines and sines, not from a fast transform."""
    if (window == window[0]).all():
        return 0.0
    length = len(window)
    waves = np.exp(
        -2j * np.pi * np.outer(np.arange(1, length // 2 + 1), np.arange(length)) / length
    )
    power = np.abs(waves @ (window - window.mean())) ** 2
    return float(np.exp(np.log(power).mean()) / power.mean())


DEFINITIONS: dict[str, Callable[[Values, Seen, float], float | None]] = {
    "first_difference": difference,
    "window_std": spread,
    "spectral_flatness": flatness,
}


def plain(kind: str, values: Values, seen: Seen, windows: int, length: int) -> list[float]:
    """The measure of the first windows of (steps, nodes) values, whose gaps are filled."""
    rows = windows + length - 1
    result = []
    for start in range(windows):
        each = []
        for node in range(values.shape[1]):
            known = values[:rows, node][seen[:rows, node]]
            std = float(known.std()) if len(known) else 1.0
            part = slice(start, start + length)
            value = DEFINITIONS[kind](values[part, node], seen[part, node], std)
            each += [] if value is None else [value]
        result.append(float(np.mean(each)) if each else 0.0)
    return result


@pytest.mark.parametrize("kind", KINDS)
@given(
    seed=st.integers(0, 2**32 - 1),
    missing=st.sampled_from([0.0, 0.3, 0.9]),
    nodes=st.integers(1, 4),
    history=st.integers(1, 6),
    horizon=st.integers(1, 5),
)
def test_it_equals_a_loop_over_windows(
    kind: StationarityMeasure, seed: int, missing: float, nodes: int, history: int, horizon: int
) -> None:
    rng = np.random.default_rng(seed)
    series = rng.normal(50, 3, size=(STEPS, nodes, 1)).astype(np.float32)
    mask = rng.random(series.shape) >= missing
    # A sensor with one value has no spread to be measured by.
    mask[:2] = True
    opened = forecast_data(canonical(series, mask), history=history, horizon=horizon)
    filled = np.where(mask, series, opened.train.scaler.mean.numpy())[..., 0].astype(np.float64)
    expected = plain(kind, filled, mask[..., 0], len(opened.train), history + horizon)
    np.testing.assert_allclose(stationarity([opened.train], kind), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("value", "history"), [(0.0, 1), (0.1, 4), (63.7, 5)])
def test_a_constant_series_is_as_stationary_as_can_be(
    kind: StationarityMeasure, value: float, history: int
) -> None:
    # The data set itself may not be constant; a store of it may.
    rng = np.random.default_rng(0)
    moving = rng.normal(size=(STEPS, 3, 1)).astype(np.float32)
    train = forecast_data(canonical(moving), history=history, horizon=2).train
    constant = replace(train, series=torch.full_like(train.series, value))
    assert stationarity([constant], kind).abs().max() < 1e-6
    # Nor does it matter that two of three nodes were never observed.
    seen = torch.zeros(STEPS, 3, dtype=torch.bool)
    seen[:, 0] = True
    assert stationarity([replace(constant, target_mask=seen)], kind).abs().max() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [5 * 7 * 6, 1])
def test_blocks_change_nothing(
    kind: StationarityMeasure, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    series = rng.normal(size=(STEPS, 7, 1)).astype(np.float32)
    store = forecast_data(canonical(series), history=3, horizon=3).train
    whole = stationarity([store], kind)
    monkeypatch.setattr("stprune.data.stationarity.NODE_BLOCK", 3)
    monkeypatch.setattr("stprune.data.stationarity.BLOCK_VALUES", block)
    np.testing.assert_allclose(stationarity([store], kind), whole, rtol=1e-6)
