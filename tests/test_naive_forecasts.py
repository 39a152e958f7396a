"""Forecasts without weights: means by slot, kind of day and node, and the last value."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from toy import canonical

from stprune.backbones.base import BACKBONES, Backbone, ForecastTask
from stprune.base.errors import DataError
from stprune.data.dataset import forecast_data
from stprune.data.windows import Scaler, WindowStore


def build(store: WindowStore, per_day: int, days: str = "weekend") -> Backbone:
    nodes = store.series.shape[1]
    backbone_class = BACKBONES.load("historical_average")
    task = ForecastTask(
        nodes, store.history, store.horizon, 1, store.target_channel, per_day, torch.eye(nodes)
    )
    return backbone_class(task, backbone_class.Options(days=days))


def plain_forecast(store: WindowStore, days: str, slot: int, weekday: int) -> NDArray[np.float64]:
    """Mean of each node at a slot and weekday, in real units, by loops over windows and steps."""
    steps = {int(s) + store.history + h for s in store.starts for h in range(store.horizon)}
    kinds = {"same": lambda _: 0, "weekend": lambda d: int(d >= 5), "weekday": lambda d: int(d)}
    kind = kinds[days]
    seen = []
    for s in sorted(steps):
        cell = int(store.time_of_day[s]), kind(store.day_of_week[s])
        for node, value in enumerate(store.series[s, :, store.target_channel].tolist()):
            if store.target_mask is None or store.target_mask[s, node]:
                seen.append((node, *cell, value))
    means = []
    for node in range(store.series.shape[1]):
        pools = [
            [v for n, t, k, v in seen if (n, t, k) == (node, slot, kind(weekday))],
            [v for n, t, _, v in seen if (n, t) == (node, slot)],
            [v for n, _, _, v in seen if n == node],
            [v for *_, v in seen],
        ]
        means.append(np.mean(next(pool for pool in pools if pool)))
    return np.array(means)


def a_store(window_stride: int) -> WindowStore:
    """Five weeks of six-hourly values with gaps, a node seen twice, and one never."""
    rng = np.random.default_rng(0)
    series = rng.normal(50.0, 10.0, (140, 4, 2)).astype(np.float32)
    mask = rng.random(series.shape) > 0.3
    mask[:, 2] = False
    mask[[20, 30], 2] = True
    mask[:, 3, 1] = False
    data = canonical(series, mask, target_channel=1, step_minutes=360)
    return forecast_data(data, history=3, horizon=2, window_stride=window_stride).train


@pytest.mark.parametrize("days", ["same", "weekend", "weekday"])
@pytest.mark.parametrize("window_stride", [1, 9])
def test_every_slot_of_the_week_as_counted_by_hand(days: str, window_stride: int) -> None:
    store = a_store(window_stride)
    model = build(store, 4, days).double()
    model.fit(store)
    inputs = torch.zeros(1, 3, 4, 2, dtype=torch.float64)
    for weekday in range(7):
        for slot in range(4):
            last = torch.tensor([[0, 0, slot]]), torch.tensor([[0, 0, weekday]])
            forecast = store.scaler.restore(model(inputs, *last))[0]
            for step, ahead in enumerate(forecast.numpy(), start=1):
                then = weekday * 4 + slot + step
                expected = plain_forecast(store, days, then % 4, then // 4 % 7)
                np.testing.assert_allclose(ahead, expected, rtol=1e-6)


def steps_of(values: list[float], starts: list[int], mask: Tensor | None = None) -> WindowStore:
    """One node, two slots a day from a Monday on, history 1 and horizon 2."""
    steps = torch.arange(len(values))
    return WindowStore(
        series=torch.tensor(values)[:, None, None],
        target_mask=mask,
        time_of_day=steps % 2,
        day_of_week=steps // 2 % 7,
        history=1,
        horizon=2,
        target_channel=0,
        scaler=Scaler(torch.tensor([1.0]), torch.tensor([2.0]), 0),
        starts=torch.tensor(starts),
    )


def test_a_step_counts_once_and_only_as_a_target() -> None:
    """Windows 0, 1 and 4: targets are steps 1 to 3, 5 and 6; step 2 is in two of them."""
    store = steps_of([100.0, 1.0, 5.0, 3.0, 100.0, 8.0, 9.0, 100.0], [0, 1, 4])
    model = build(store, 2, "same")
    model.fit(store)
    # Slot 0: steps 2 and 6, mean 7; slot 1: steps 1, 3 and 5, mean 4; less 1, over 2.
    forecast = model(torch.zeros(1, 1, 1, 1), torch.tensor([[1]]), torch.tensor([[0]]))
    assert forecast.flatten().tolist() == [3.0, 1.5]
    # Without an observed target it says so.
    store = steps_of([1.0, 2.0, 3.0, 4.0], [0, 1], mask=torch.zeros(4, 1, dtype=torch.bool))
    with pytest.raises(DataError, match="historical_average"):
        build(store, 2).fit(store)


def test_last_value_repeats_the_last_step_of_the_target() -> None:
    inputs = torch.arange(24.0).reshape(2, 2, 3, 2)
    calendar = torch.zeros(2, 2, dtype=torch.int64)
    task = ForecastTask(3, 2, 4, 2, 1, 24, torch.eye(3))
    backbone_class = BACKBONES.load("last_value")
    model = backbone_class(task, backbone_class.Options())
    expected = torch.tensor([[7.0, 9.0, 11.0], [19.0, 21.0, 23.0]])
    assert torch.equal(model(inputs, calendar, calendar), expected[:, None].repeat(1, 4, 1))
