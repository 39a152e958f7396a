"""Standardisation with the statistics of the training split only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stprune.base.errors import DataError
from stprune.data.canonical import step_blocks


@dataclass(frozen=True)
class Scaler:
    """Z-score per channel."""

    mean: Tensor  # (C,) float32, of the observed training values
    std: Tensor  # (C,) float32
    target_channel: int

    def standardise_(self, values: Tensor) -> Tensor:
        """(..., N, C) real units to standardised units, in place; the last two axes contiguous."""
        # Rows of N * C values: three channels would be an inner loop of three steps, which takes
        # ten times as long as the copying of a batch.
        nodes = values.shape[-2]
        rows = values.view(*values.shape[:-2], -1)
        rows.sub_(self.mean.repeat(nodes)).div_(self.std.repeat(nodes))
        return values

    def restore(self, forecast: Tensor) -> Tensor:
        """A standardised forecast of the target, any shape, to real units."""
        return forecast * self.std[self.target_channel] + self.mean[self.target_channel]

    def to(self, device: torch.device) -> Scaler:
        """The same on another device."""
        return Scaler(self.mean.to(device), self.std.to(device), self.target_channel)


def fit_scaler(series: NDArray[np.float32], seen: NDArray[np.bool_], target_channel: int) -> Scaler:
    """Fit to the (T, N, C) float32 series where ``seen``: observed and in a training input.

    Raises a DataError if a channel has no observed value there or does not vary.
    """
    mean, std = np.zeros((2, series.shape[2]), np.float32)
    blocks = list(step_blocks(series.shape))
    for channel in range(series.shape[2]):
        # Views (t, N), so that nothing is copied whole.
        parts = [(series[steps, :, channel], seen[steps, :, channel]) for steps in blocks]
        if not (count := sum(int(np.count_nonzero(observed)) for _, observed in parts)):
            raise DataError(f"channel {channel} has no observed value in the training split")
        # float64 sums: a float32 sum over 10 million values loses digits.
        average = sum(values.sum(where=there, dtype=np.float64) for values, there in parts) / count
        mean[channel], squares = average, 0.0
        for values, observed in parts:
            squares += np.square(values - average, dtype=np.float64).sum(where=observed)
        std[channel] = np.sqrt(squares / count)
        if not std[channel]:
            raise DataError(f"channel {channel} does not vary in the training split")
    return Scaler(torch.from_numpy(mean), torch.from_numpy(std), target_channel)
