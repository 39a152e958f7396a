"""How much a window moves, against a plain loop over windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy import canonical, training_store

from stprune.data.dataset import forecast_data
from stprune.data.stationarity import first_difference
from stprune.data.windows import WindowStore


def naive_first_difference(store: WindowStore) -> list[float]:
    """The definition, one window at a time."""
    length = store.history + store.horizon
    first = int(store.starts[0])
    rows = slice(first, int(store.starts[-1]) + length)
    values = store.series[rows, :, store.target_channel].double().numpy()
    observed = np.ones(values.shape, dtype=bool)
    if store.target_mask is not None:
        observed = store.target_mask[rows].numpy()
    stds = [values[observed[:, v], v].std() for v in range(values.shape[1])]
    result = []
    for window in (store.starts - first).tolist():
        means = []
        for node, std in enumerate(stds):
            moved = [
                abs(values[t + 1, node] - values[t, node]) / std
                for t in range(window, window + length - 1)
                if observed[t, node] and observed[t + 1, node]
            ]
            if moved:
                means.append(np.mean(moved))
        result.append(float(np.mean(means)) if means else 0.0)
    return result


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("nodes", [1, 5])
def test_stationarity_equals_a_loop_over_windows(missing: float, nodes: int) -> None:
    rng = np.random.default_rng(3)
    series = rng.normal(size=(80, nodes, 2)).cumsum(0).astype(np.float32)
    mask = rng.random(series.shape) >= missing
    opened = forecast_data(canonical(series, mask, target_channel=1), history=3, horizon=2)
    for store in (opened.train, opened.validation):
        np.testing.assert_allclose(
            first_difference(store), naive_first_difference(store), rtol=1e-4, atol=1e-6
        )


def test_stationarity_of_many_nodes_is_that_of_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    store = training_store(30, nodes=7)
    whole = first_difference(store)
    monkeypatch.setattr("stprune.data.stationarity.NODE_BLOCK", 3)
    torch.testing.assert_close(first_difference(store), whole)


def test_a_window_that_does_not_move_is_stationary() -> None:
    series = np.zeros((60, 2, 1), dtype=np.float32)
    series[30:] = np.arange(30)[:, None, None]
    train = forecast_data(canonical(series), history=2, horizon=2).train
    values = first_difference(train)
    assert values[0] == 0
    assert values[-1] > 0
