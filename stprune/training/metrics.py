"""The one definition of every error: per-window loss and pooled scores.

All are masked: entries that were not observed count nowhere. Pooled scores add up numerators
and counts over batches, so they do not depend on how the data were batched.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stprune.pruning.base import absolute_errors
from stprune.records.run import Scores


def batch_mae_parts(errors: Tensor, mask: Tensor) -> Tensor:
    """Each window's part in the pooled masked MAE of its batch: their mean is that MAE.

    Unlike in `window_mae`, a window counts by how many of its targets were observed.

    Args:
        errors: (B, H, N) float, absolute errors, 0 where masked.
        mask: (B, H, N) bool.

    Returns:
        (B,) float, real units.
    """
    return errors.sum((1, 2)) * len(errors) / mask.sum().clamp(min=1)


class ErrorSums:
    """Running sums of errors for each step of the horizon, in float64 on the device.

    Args:
        horizon: H.
        mape_floor: Targets below it (in absolute value) do not count in MAPE.
        device: Where forecasts are.
    """

    def __init__(self, horizon: int, mape_floor: float, device: torch.device) -> None:
        self.mape_floor = mape_floor
        self.windows = 0
        # Rows: absolute, square, count, percentage, count of percentages.
        self.sums = torch.zeros(5, horizon, dtype=torch.float64, device=device)

    def update(self, forecast: Tensor, targets: Tensor, mask: Tensor) -> None:
        """Add one batch; all (B, H, N), real units."""
        counted = mask & (targets.abs() >= self.mape_floor)
        sizes = targets.double().abs().clamp(min=1e-12)
        self.sums += error_rows(absolute_errors(forecast, targets, mask), mask, counted, sizes)
        self.windows += len(forecast)

    def mae(self) -> float:
        """Pooled masked MAE; NaN if nothing was observed."""
        total, _, count, _, _ = self.sums.sum(1)
        return float(total / count)

    def scores(self) -> Scores:
        """All scores; None where nothing was observed."""
        return scores_of_sums(self.sums, self.windows, self.mape_floor)


def error_rows(errors: Tensor, mask: Tensor, in_percent: Tensor, sizes: Tensor) -> Tensor:
    """Sums of one batch for each step of the horizon.

    Args:
        errors: (B, H, N) float32, absolute errors, 0 where masked.
        mask: (B, H, N) bool, which errors count.
        in_percent: (B, H, N) bool, which count in MAPE.
        sizes: (B, H, N) float64, what MAPE divides by.

    Returns:
        (5, H) float64: absolute errors, squares, count, shares of sizes, count of shares.
    """
    errors = errors.double()
    share = torch.where(in_percent, errors / sizes, 0.0)
    rows = (errors, errors.square(), mask.double(), share, in_percent.double())
    return torch.stack([row.sum((0, 2)) for row in rows])


def scores_of_sums(
    sums: Tensor, windows: int, mape_floor: float, mean_of_steps: bool = False
) -> Scores:
    """Scores from the sums of all batches.

    Args:
        sums: (5, H) float64, as of :func:`error_rows`.
        windows: Windows that were evaluated.
        mape_floor: Smallest target that counted in MAPE.
        mean_of_steps: Average the scores of the horizon's steps instead of pooling all errors.

    Returns:
        Scores; None where nothing counted.
    """
    steps = _rates(sums)
    whole = steps.mean(1) if mean_of_steps else _rates(sums.sum(1, keepdim=True))[:, 0]
    mae, rmse, mape = _numbers(whole)
    by_step = [_numbers(row) for row in steps]
    return Scores(
        mae=mae,
        rmse=rmse,
        mape=mape,
        mae_per_horizon=by_step[0],
        rmse_per_horizon=by_step[1],
        mape_per_horizon=by_step[2],
        windows=windows,
        mape_floor=mape_floor,
    )


def _rates(sums: Tensor) -> Tensor:
    """MAE, RMSE and MAPE in percent, (3, steps), not finite where nothing counted."""
    absolute, square, count, share, share_count = sums.cpu()
    return torch.stack([absolute / count, (square / count).sqrt(), 100 * share / share_count])


def _numbers(values: Tensor) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]
