"""Errors of single windows: what a training step has anyway, and what scores are made of."""

from __future__ import annotations

from torch import Tensor


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
