"""Standardisation with the statistics of the training split only."""

from __future__ import annotations

from collections.abc import Iterator
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

    Raises:
        DataError: If a channel has no observed value there or does not vary.
    """
    channels = series.shape[2]
    count, total, squares = np.zeros(channels, np.int64), np.zeros(channels), np.zeros(channels)
    for values, observed, channel in _columns(series, seen):
        count[channel] += np.count_nonzero(observed)
        # float64 sums: a float32 sum over 10 million values loses digits.
        total[channel] += values.sum(where=observed, dtype=np.float64)
    if not count.all():
        channel = int(np.flatnonzero(count == 0)[0])
        raise DataError(f"channel {channel} has no observed value in the training split")
    average = total / count
    for values, observed, channel in _columns(series, seen):
        square = np.square(values - average[channel], dtype=np.float64)
        squares[channel] += square.sum(where=observed)
    mean, std = average.astype(np.float32), np.sqrt(squares / count).astype(np.float32)
    if not std.all():
        channel = int(np.flatnonzero(std == 0)[0])
        raise DataError(f"channel {channel} does not vary in the training split")
    return Scaler(torch.from_numpy(mean), torch.from_numpy(std), target_channel)


def _columns(
    series: NDArray[np.float32], seen: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_], int]]:
    """Each channel of blocks of steps, (t, N) values and where they count, and its number."""
    for steps in step_blocks(series.shape):
        for channel in range(series.shape[2]):
            yield series[steps, :, channel], seen[steps, :, channel], channel
