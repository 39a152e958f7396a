"""How much a window moves: every measure against its definition, one window at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from toy import canonical

from stprune.data.dataset import forecast_data
from stprune.data.stationarity import MEASURES, StationarityMeasure, stationarity

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
@pytest.mark.parametrize("value", [0.0, 63.7])
@pytest.mark.parametrize("history", [1, 4])
def test_a_constant_series_is_as_stationary_as_can_be(
    kind: StationarityMeasure, value: float, history: int
) -> None:
    # The data set itself may not be constant; a store of it may.
    moving = np.random.default_rng(0).normal(size=(STEPS, 3, 1)).astype(np.float32)
    train = forecast_data(canonical(moving), history=history, horizon=2).train
    constant = replace(train, series=torch.full_like(train.series, value))
    assert stationarity([constant], kind).abs().max() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_change_nothing(kind: StationarityMeasure, monkeypatch: pytest.MonkeyPatch) -> None:
    series = np.random.default_rng(2).normal(size=(STEPS, 7, 1)).astype(np.float32)
    store = forecast_data(canonical(series), history=3, horizon=3).train
    whole = stationarity([store], kind)
    monkeypatch.setattr("stprune.data.stationarity.NODE_BLOCK", 3)
    for values in (5 * 7 * 6, 1):
        monkeypatch.setattr("stprune.data.stationarity.BLOCK_VALUES", values)
        np.testing.assert_allclose(stationarity([store], kind), whole, rtol=1e-6)
