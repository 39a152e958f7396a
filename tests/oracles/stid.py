"""STID by its equations: one node of one window at a time."""

from typing import Any

import torch
from torch import Tensor

from . import Batch, linear, with_calendar


def forecast(model: Any, batch: Batch) -> Tensor:
    windows = zip(with_calendar(model, batch), *batch[1:], strict=True)
    return torch.stack([_window(model, *window) for window in windows])


def _window(model: Any, series: Tensor, slots: Tensor, weekdays: Tensor) -> Tensor:
    """One window (T, N, C) with its calendar to (H, N)."""
    forecasts = []
    for node, steps in enumerate(series.unbind(1)):
        # All values, step by step, then all times and all weekdays.
        history = torch.cat([steps[:, :-2].flatten(), steps[:, -2], steps[:, -1]])
        identities = [
            (model.node_embedding, node),
            (model.time_of_day_embedding, slots[-1]),
            (model.day_of_week_embedding, weekdays[-1]),
        ]
        rows = [table[row] for table, row in identities if table is not None]
        x = torch.cat([linear(history, model.series_embedding), *rows])
        for layer in model.encoder:
            x = x + linear(torch.relu(linear(x, layer.inner)), layer.outer)
        forecasts.append(linear(x, model.regression))
    return torch.stack(forecasts, dim=1)
