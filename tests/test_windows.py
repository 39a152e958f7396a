"""Windows: gathered as sliced by hand, split by time, standardised by the past alone."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias, get_args

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
from stprune.data.canonical import RawSeries, read_canonical, write_canonical
from stprune.data.dataset import ForecastData, forecast_data
from stprune.data.stationarity import StationarityMeasure, stationarity
from stprune.data.windows import WindowStore, calendar, cut_splits, fit_scaler


def random_series(steps, nodes, channels, seed=0):
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
    data=st.data(),
)
def test_gather_equals_naive_slicing(history, horizon, nodes, channels, extra, data):
    target = data.draw(st.integers(0, channels - 1))
    series, mask = random_series(history + horizon + extra, nodes, channels, extra)
    mask[0] = True  # every channel is observed at least once
    assume(len(np.unique(series[mask])) > channels)
    opened = forecast_data(
        canonical(series, mask, target_channel=target), history=history, horizon=horizon
    )
    store = data.draw(st.sampled_from(splits_of(opened)))
    assert store.ready is not None
    store = replace(store, ready=data.draw(st.sampled_from([store.ready, None])))
    chosen = data.draw(st.lists(st.integers(0, len(store) - 1), min_size=1, max_size=5))
    batch = store.gather(torch.tensor(chosen))
    mean, std = store.scaler.mean.numpy(), store.scaler.std.numpy()
    filled = np.where(mask, series, mean)
    for row, window in enumerate(chosen):
        start = int(store.starts[window])
        middle, end = start + history, start + history + horizon
        np.testing.assert_array_equal(batch.inputs[row], (filled[start:middle] - mean) / std)
        np.testing.assert_array_equal(batch.mask[row], mask[middle:end, :, target])
        seen = batch.mask[row].numpy()
        np.testing.assert_array_equal(
            batch.targets[row].numpy()[seen], series[middle:end, :, target][seen]
        )


def batches_of(data: ForecastData) -> list[Tensor]:
    """Every part of a batch of all windows of each split."""
    return [part for store in splits_of(data) for part in store.gather(torch.arange(len(store)))]


@settings(max_examples=15)  # each writes a data set
@given(
    part=st.fixed_dictionaries(
        {
            "node_stride": st.integers(1, 3),
            "window_stride": st.integers(1, 4),
            "days": st.sampled_from([None, 3]),
            "target_only": st.booleans(),
        }
    ),
    missing=st.booleans(),
    ready=st.booleans(),
)
def test_batches_from_a_file_are_those_from_memory(part, missing, ready):
    series, mask = random_series(100, 4, 2)
    mask = mask if missing else np.ones_like(mask)
    series = np.where(mask, series, np.float32(0))
    memory = canonical(series, mask, target_channel=1)
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        raw = RawSeries(series, mask, memory.timestamps, memory.adjacency, memory.node_ids)
        write_canonical(raw, memory.card, Path(name))
        file = read_canonical(Path(name))
        expected = batches_of(forecast_data(memory, history=3, horizon=2, **part))
        patch.setattr(windows, "READY_BYTES", 2**20 if ready else 0)
        data = forecast_data(file, history=3, horizon=2, **part)
        # Other training steps have other means to stand in for what is missing.
        forecast_data(file, history=9, horizon=2, **part)
        assert all(map(torch.equal, batches_of(data), expected))
        np.testing.assert_array_equal(file.series, series)
        np.testing.assert_array_equal(memory.series, series)


@pytest.mark.parametrize("step_minutes", [5, 60, 1440])
def test_time_of_day_and_weekday_are_those_of_pandas(step_minutes):
    # Over a leap day, and from before 1970, where a remainder could be negative.
    for start in ("2024-02-27T22:35", "1969-12-30T00:10"):
        times = pd.date_range(start, periods=500, freq=f"{step_minutes}min")
        slot, weekday = calendar(times.to_numpy(), step_minutes)
        np.testing.assert_array_equal(slot, (times.hour * 60 + times.minute) // step_minutes)
        np.testing.assert_array_equal(weekday, times.day_of_week)


@given(
    count=st.integers(3, 5000),
    shares=st.sampled_from([(0.6, 0.2, 0.2), (0.7, 0.1, 0.2), (0.5, 0.25, 0.25)]),
)
def test_splits_partition_all_windows_in_order(count, shares):
    try:
        parts = cut_splits("paper", np.arange(count), 24, count + 23, shares)
    except ConfigError:
        assert round(count * min(shares)) <= 1
        return
    assert [*parts.train, *parts.validation, *parts.test] == list(range(count))
    assert len(parts.train) == round(count * shares[0])
    assert len(parts.validation) == round(count * shares[1])


@pytest.mark.parametrize(
    "options", [{"history": 12, "horizon": 12}, {"days": 2}, {"node_stride": 2}], ids=str
)
def test_too_few_windows_days_or_nodes_are_a_users_mistake(options):
    series, mask = random_series(25, 1, 1)
    with pytest.raises(ConfigError):
        forecast_data(canonical(series, mask), **({"history": 1, "horizon": 1} | options))


def test_a_subset_is_every_kth_node_of_the_first_days():
    series, mask = random_series(24 * 10, 5, 1)
    dataset = canonical(series, mask)
    dataset.adjacency[0, 2] = 1.0
    opened = forecast_data(dataset, history=2, horizon=1, node_stride=2, days=4)
    assert opened.train.series.shape == (96, 3, 1)
    assert opened.adjacency.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert opened.description["nodes"] == 3
    np.testing.assert_array_equal(opened.train.target_mask, mask[:96, ::2, 0])
    assert sum(len(store) for store in splits_of(opened)) == 96 - 2
    # A stride of windows thins training only.
    thin = forecast_data(dataset, history=2, horizon=1, days=4, window_stride=4)
    assert thin.train.starts.equal(opened.train.starts[::4])
    assert len(thin.train) == len(thin.train_times)
    for one, other in zip(splits_of(thin)[1:], splits_of(opened)[1:], strict=True):
        assert one.starts.equal(other.starts)


@pytest.mark.parametrize("block", [50, 2**22])
def test_the_scaler_is_that_of_observed_training_values(block, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_VALUES", block)
    series, mask = random_series(120, 3, 2)
    series[~mask] = 1e6
    opened = forecast_data(canonical(series, mask), history=4, horizon=3)
    seen = len(opened.train) + 4 - 1
    for channel in range(2):
        values = series[:seen, :, channel][mask[:seen, :, channel]].astype(np.float64)
        assert opened.train.scaler.mean[channel] == pytest.approx(values.mean(), rel=1e-6)
        assert opened.train.scaler.std[channel] == pytest.approx(values.std(), rel=1e-6)
    # A channel without spread or values.
    series[..., 1] = 3.0
    with pytest.raises(DataError, match="channel 1"):
        fit_scaler(series, mask, 0)
    mask[..., 0] = False
    with pytest.raises(DataError, match="channel 0"):
        fit_scaler(series, mask, 0)


def opened_days(days, first_hour=6, history=3, horizon=2, kept=None):
    """Hourly days from ``first_hour`` on; each value is the number of its step."""
    times = day_times(days, first_hour)
    series = np.arange(len(times), dtype=np.float32).reshape(-1, 1, 1)
    return forecast_data(
        canonical(series, timestamps=times), history=history, horizon=horizon, days=kept
    )


@given(
    days=st.integers(4, 9),
    first_hour=st.integers(0, 16),
    history=st.integers(1, 4),
    horizon=st.integers(1, 3),
)
def test_no_window_crosses_a_night_and_none_is_left_out(days, first_hour, history, horizon):
    opened = opened_days(days, first_hour, history, horizon)
    steps = []  # of all windows, read off what is gathered
    for store in splits_of(opened):
        batch = store.gather(torch.arange(len(store)))
        inputs = store.scaler.restore(batch.inputs[:, :, 0, 0])
        steps.append(torch.cat([inputs, batch.targets[:, :, 0]], dim=1).round().long())
    found, times = torch.cat(steps).numpy(), day_times(days, first_hour)
    hours, length = 24 - first_hour, history + horizon
    assert (np.diff(times[found], axis=1) == np.timedelta64(1, "h")).all()
    # Where no hour is left out, midnight is no break.
    whole = range(len(times) - length + 1)
    expected = [step for step in whole if first_hour == 0 or step % hours + length <= hours]
    assert found[:, 0].tolist() == expected


def test_days_with_nights_left_out_have_their_own_calendar_scaler_and_count():
    opened = opened_days(10)
    batch = opened.test.gather(torch.tensor([0, 13, 14]))
    assert batch.time_of_day.tolist() == [[6, 7, 8], [19, 20, 21], [6, 7, 8]]
    # The ninth and tenth of January 2024.
    assert batch.day_of_week[:, 0].tolist() == [1, 1, 2]
    # The last two hours of a day are targets only.
    seen = np.arange(6 * 18).reshape(6, 18)[:, :16]
    assert opened.train.scaler.mean[0] == pytest.approx(seen.mean())
    assert opened.train.scaler.std[0] == pytest.approx(seen.std())
    assert opened_days(10, kept=5).train.series.shape == (5 * 18, 1, 1)
    with pytest.raises(ConfigError, match="10 days"):
        opened_days(10, kept=11)
    # Days of four hours hold no window of five.
    with pytest.raises(ConfigError):
        opened_days(10, first_hour=20)


KINDS: tuple[StationarityMeasure, ...] = get_args(StationarityMeasure)
Values: TypeAlias = NDArray[np.float64]
STEPS = 72


def defined(kind: str, window: Values, seen: NDArray[np.bool_], std: float) -> float | None:
    """A measure of one window of one node; the spectrum from sums of waves, no fast transform."""
    if kind == "first_difference":
        pairs = [t for t in range(len(window) - 1) if seen[t] and seen[t + 1]]
        moved = [abs(window[t + 1] - window[t]) for t in pairs]
        return float(np.mean(moved) / std) if moved else None
    if kind == "window_std":
        return float(window[seen].std() / std) if seen.any() else None
    if (window == window[0]).all():
        return 0.0
    length = len(window)
    rates = np.outer(np.arange(1, length // 2 + 1), np.arange(length)) / length
    power = np.abs(np.exp(-2j * np.pi * rates) @ (window - window.mean())) ** 2
    return float(np.exp(np.log(power).mean()) / power.mean())


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(
    block=st.sampled_from([1, 210, 2**22]),
    seed=st.integers(0, 2**32 - 1),
    missing=st.sampled_from([0.0, 0.3, 0.9]),
    nodes=st.integers(1, 4),
    history=st.integers(1, 6),
    horizon=st.integers(1, 5),
    breaks=st.booleans(),
)
def test_it_equals_a_loop_over_windows(kind, block, seed, missing, nodes, history, horizon, breaks):
    rng = np.random.default_rng(seed)
    series = rng.normal(50, 3, size=(STEPS, nodes, 1)).astype(np.float32)
    mask = rng.random(series.shape) >= missing
    # A sensor with one value has no spread to be measured by.
    mask[:2] = True
    times = day_times(4) if breaks else None  # of 18 hours each
    dataset = canonical(series, mask, timestamps=times)
    train = forecast_data(dataset, history=history, horizon=horizon).train
    filled = np.where(mask, series, train.scaler.mean.numpy())[..., 0].astype(np.float64)
    rows = int(train.starts[-1]) + history + horizon
    expected = []
    for start in train.starts.tolist():
        part = slice(start, start + history + horizon)
        each = []
        for node in range(nodes):
            known = filled[:rows, node][mask[:rows, node, 0]]
            std = float(known.std())
            each.append(defined(kind, filled[part, node], mask[part, node, 0], std))
        there = [value for value in each if value is not None]
        expected.append(np.mean(there) if there else 0.0)
    with pytest.MonkeyPatch.context() as patch:  # nothing depends on the blocks
        patch.setattr("stprune.data.stationarity.NODE_BLOCK", 3)
        patch.setattr("stprune.data.stationarity.BLOCK_VALUES", block)
        found = stationarity([train], kind)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 63.7])
def test_a_constant_series_is_as_stationary_as_can_be(kind, value):
    # The data set itself may not be constant; a store of it may.
    train = forecast_data(canonical(random_series(STEPS, 3, 1)[0]), history=4, horizon=2).train
    constant = replace(train, series=torch.full_like(train.series, value))
    assert stationarity([constant], kind).abs().max() < 1e-6
    # Nor does it matter that two of three nodes were never observed.
    seen = torch.zeros(STEPS, 3, dtype=torch.bool)
    seen[:, 0] = True
    assert stationarity([replace(constant, target_mask=seen)], kind).abs().max() < 1e-6
