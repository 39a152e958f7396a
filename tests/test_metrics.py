"""Errors: worked by hand, equal to plain numpy, and the same however the data are batched."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stprune.pruning.base import absolute_errors, window_mae
from stprune.records.run import Scores
from stprune.training.metrics import ErrorSums

CPU = torch.device("cpu")


def scores_of(
    forecast: Tensor, targets: Tensor, mask: Tensor, floor: float = 1.0, batch: int = 1000
) -> Scores:
    """Scores of all windows, ``batch`` at a time."""
    sums = ErrorSums(forecast.shape[1], floor, CPU)
    for part in zip(forecast.split(batch), targets.split(batch), mask.split(batch), strict=True):
        sums.update(*part)
    return sums.scores()


def random_case(seed: int, windows: int = 20) -> tuple[Tensor, Tensor, Tensor]:
    """Forecast, targets (many of them below 1) and mask of (windows, 4, 3)."""
    generator = torch.Generator().manual_seed(seed)
    targets = 4 * torch.randn(windows, 4, 3, generator=generator)
    forecast = targets + torch.randn(windows, 4, 3, generator=generator)
    return forecast, targets, torch.rand(windows, 4, 3, generator=generator) > 0.3


def test_window_mae_by_hand() -> None:
    targets = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 5.0], [5.0, 5.0]]])
    forecast = torch.tensor([[[2.0, 2.0], [0.0, 9.0]], [[7.0, 1.0], [5.0, 5.0]]])
    mask = torch.tensor([[[True, True], [True, False]], [[False, False], [False, False]]])
    errors = absolute_errors(forecast, targets, mask)
    assert errors.tolist() == [[[1, 0], [3, 0]], [[0, 0], [0, 0]]]
    # (1 + 0 + 3) / 3; the second window has no observed target.
    assert window_mae(errors, mask).tolist() == pytest.approx([4 / 3, 0.0])


def test_an_expanded_mask_will_do() -> None:
    errors = torch.full((2, 3, 4), 2.0)
    mask = torch.ones((), dtype=torch.bool).expand(2, 3, 4)
    assert window_mae(errors, mask).tolist() == [2.0, 2.0]


def test_scores_by_hand() -> None:
    # Two windows, two steps, one node; floor 2 leaves the target of 1 out of MAPE only.
    targets = torch.tensor([[[1.0], [4.0]], [[10.0], [8.0]]])
    forecast = torch.tensor([[[2.0], [1.0]], [[12.0], [0.0]]])
    mask = torch.tensor([[[True], [True]], [[True], [False]]])
    scores = scores_of(forecast, targets, mask, floor=2.0)
    assert scores.mae == pytest.approx((1 + 3 + 2) / 3)
    assert scores.rmse == pytest.approx(math.sqrt((1 + 9 + 4) / 3))
    assert scores.mape == pytest.approx(100 * (3 / 4 + 2 / 10) / 2)
    assert scores.mae_per_horizon == pytest.approx([1.5, 3.0])
    assert scores.rmse_per_horizon == pytest.approx([math.sqrt(2.5), 3.0])
    assert scores.mape_per_horizon == pytest.approx([20.0, 75.0])
    assert (scores.windows, scores.mape_floor) == (2, 2.0)


def test_mape_counts_targets_at_its_floor_and_negative_ones() -> None:
    targets = torch.tensor([[[1.0, 0.999, 0.0, -2.0]]])
    forecast = targets + 1.0
    scores = scores_of(forecast, targets, torch.ones(1, 1, 4, dtype=torch.bool), floor=1.0)
    assert scores.mape == pytest.approx(100 * (1 / 1 + 1 / 2) / 2)
    assert scores.mae == pytest.approx(1.0)


def test_nothing_observed_has_no_score() -> None:
    forecast, targets, mask = random_case(0)
    mask[:, 1] = False
    scores = scores_of(forecast, targets, mask)
    assert scores.mae_per_horizon[1] is None
    assert scores.mape_per_horizon[1] is None
    assert scores.mae is not None
    nothing = scores_of(forecast, targets, torch.zeros_like(mask))
    assert (nothing.mae, nothing.rmse, nothing.mape) == (None, None, None)
    assert nothing.windows == 20
    assert math.isnan(ErrorSums(4, 1.0, CPU).mae())


@given(batch=st.integers(1, 25), seed=st.integers(0, 5))
def test_scores_do_not_depend_on_batching(batch: int, seed: int) -> None:
    case = random_case(seed)
    one, many = scores_of(*case), scores_of(*case, batch=batch)
    assert many.windows == one.windows
    for name in ("mae", "rmse", "mape", "mae_per_horizon", "rmse_per_horizon"):
        assert getattr(many, name) == pytest.approx(getattr(one, name), rel=1e-12)


@given(seed=st.integers(0, 50))
def test_scores_are_those_of_plain_numpy(seed: int) -> None:
    forecast, targets, mask = random_case(seed)
    scores = scores_of(forecast, targets, mask, floor=0.5)
    f, t, m = forecast.double().numpy(), targets.double().numpy(), mask.numpy()
    difference = np.abs(f - t)[m]
    assert scores.mae == pytest.approx(difference.mean(), rel=1e-5)
    assert scores.rmse == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-5)
    counted = m & (np.abs(t) >= 0.5)
    assert scores.mape == pytest.approx(
        100 * np.mean(np.abs(f - t)[counted] / np.abs(t)[counted]), rel=1e-5
    )
    for step in range(4):
        row = np.abs(f - t)[:, step][m[:, step]]
        assert scores.mae_per_horizon[step] == pytest.approx(row.mean(), rel=1e-5)
    errors = absolute_errors(forecast, targets, mask)
    plain = [np.abs(f - t)[i][m[i]].mean() if m[i].any() else 0.0 for i in range(len(f))]
    np.testing.assert_allclose(window_mae(errors, mask), plain, rtol=1e-5)
