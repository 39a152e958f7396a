"""The one definition of every error: per-window loss and pooled scores.

All are masked: entries that were not observed count nowhere. Pooled scores add up numerators
and counts over batches, so they do not depend on how the data were batched.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stprune.records import Scores


def absolute_errors(forecast: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """|forecast - target|, 0 where ``mask`` is False. All (B, H, N), real units."""
    return (forecast - targets).abs() * mask


def window_mae(errors: Tensor, mask: Tensor) -> Tensor:
    """Masked mean absolute error of each window.

    Args:
        errors: (B, H, N) float, absolute errors, 0 where masked.
        mask: (B, H, N) bool.

    Returns:
        (B,) float, real units; 0 for a window without any observed target.
    """
    return errors.sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)


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
        errors = absolute_errors(forecast, targets, mask).double()
        counted = mask & (targets.abs() >= self.mape_floor)
        share = torch.where(counted, errors / targets.double().abs().clamp(min=1e-12), 0.0)
        rows = (errors, errors.square(), mask.double(), share, counted.double())
        self.sums += torch.stack([row.sum((0, 2)) for row in rows])
        self.windows += len(forecast)

    def mae(self) -> float:
        """Pooled masked MAE; NaN if nothing was observed."""
        total, _, count, _, _ = self.sums.sum(1)
        return float(total / count)

    def scores(self) -> Scores:
        """All scores; None where nothing was observed."""
        pooled = _scores_of(self.sums.sum(1, keepdim=True))
        steps = _scores_of(self.sums)
        return Scores(
            mae=pooled["mae"][0],
            rmse=pooled["rmse"][0],
            mape=pooled["mape"][0],
            mae_per_horizon=steps["mae"],
            rmse_per_horizon=steps["rmse"],
            mape_per_horizon=steps["mape"],
            windows=self.windows,
            mape_floor=self.mape_floor,
        )


def _scores_of(sums: Tensor) -> dict[str, list[float | None]]:
    absolute, square, count, share, share_count = sums.cpu()
    columns = {
        "mae": absolute / count,
        "rmse": (square / count).sqrt(),
        "mape": 100 * share / share_count,
    }
    return {
        name: [None if value != value else value for value in column.tolist()]
        for name, column in columns.items()
    }
