"""DLinear node by node: a moving average with its ends repeated, two layers, their sum."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import Batch, linear


def forecast(model: Any, batch: Batch) -> Tensor:
    inputs = batch[0]
    steps = inputs.shape[1]
    # An odd number of steps, no more than the history.
    half = (min(model.options.kernel, steps - (steps + 1) % 2) - 1) // 2
    windows = []
    for window in inputs:
        columns = []
        for series in window.unbind(1):
            trend = torch.stack(
                [
                    sum(
                        (series[min(max(s, 0), steps - 1)] for s in range(t - half, t + half + 1)),
                        torch.zeros(()),
                    )
                    / (2 * half + 1)
                    for t in range(steps)
                ]
            )
            seasonal = linear((series - trend).flatten(), model.seasonal)
            columns.append(seasonal + linear(trend.flatten(), model.trend))
        windows.append(torch.stack(columns, dim=1))
    return torch.stack(windows)
