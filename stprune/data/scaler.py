"""Standardisation with the statistics of the training split only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stprune.errors import DataError


@dataclass(frozen=True)
class Scaler:
    """Z-score per channel.

    Args:
        mean: (C,) float32, mean of the observed training values.
        std: (C,) float32, their standard deviation.
        target_channel: Channel that :meth:`restore` maps back.
    """

    mean: Tensor
    std: Tensor
    target_channel: int

    def standardise(self, values: Tensor) -> Tensor:
        """(..., C) real units to standardised units."""
        return (values - self.mean) / self.std

    def restore(self, forecast: Tensor) -> Tensor:
        """A standardised forecast of the target, any shape, to real units."""
        return forecast * self.std[self.target_channel] + self.mean[self.target_channel]

    def to(self, device: torch.device) -> Scaler:
        """The same on another device."""
        return Scaler(self.mean.to(device), self.std.to(device), self.target_channel)


def fit_scaler(series: NDArray[np.float32], seen: NDArray[np.bool_], target_channel: int) -> Scaler:
    """Fit on what training inputs hold.

    Args:
        series: (T, N, C) float32.
        seen: (T, N, C) bool, True where a value was observed and is in a training input.
        target_channel: Channel that is forecast.

    Raises:
        DataError: If a channel has no observed value there or does not vary.
    """
    channels = series.shape[2]
    mean, std = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    for channel in range(channels):
        values = series[:, :, channel]
        observed = seen[:, :, channel]
        count = np.count_nonzero(observed)
        if count == 0:
            raise DataError(f"channel {channel} has no observed value in the training split")
        # float64 sums: a float32 sum over 10 million values loses digits.
        mean[channel] = average = values.sum(where=observed, dtype=np.float64) / count
        square = np.square(values - average, dtype=np.float64)
        std[channel] = np.sqrt(square.sum(where=observed) / count)
        if std[channel] == 0:
            raise DataError(f"channel {channel} does not vary in the training split")
    return Scaler(torch.from_numpy(mean), torch.from_numpy(std), target_channel)
