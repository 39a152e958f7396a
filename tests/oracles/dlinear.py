"""DLinear node by node: a moving average with its ends repeated, two layers, their sum."""

from typing import Any

import torch
from torch import Tensor

from . import linear


def of_window(model: Any, window: Tensor) -> Tensor:
    values = window[..., : model.task.channels]  # no calendar
    steps = len(values)
    # An odd number of steps, no more than the history.
    half = (min(model.options.kernel, steps - (steps + 1) % 2) - 1) // 2
    columns = []
    for series in values.unbind(1):
        around = [
            torch.stack([series[min(max(s, 0), steps - 1)] for s in range(t - half, t + half + 1)])
            for t in range(steps)
        ]
        trend = torch.stack([near.sum(dim=0) / (2 * half + 1) for near in around])
        seasonal = linear((series - trend).flatten(), model.seasonal)
        columns.append(seasonal + linear(trend.flatten(), model.trend))
    return torch.stack(columns, dim=1)
