"""STAEformer by its equations: one window at a time, one series or one step an attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import Batch, linear, normalised, with_calendar
from .sttn import attention


def forecast(model: Any, batch: Batch) -> Tensor:
    """(B, H, N) of a model in double precision, without dropout."""
    options, (inputs, slots, weekdays) = model.options, batch
    parts = [linear(with_calendar(model, batch), model.input_projection)]
    # Truncated as it stands, weekday / 7 is always 0.
    days = (weekdays / 7).long() if options.legacy_dow else weekdays
    tables = ((model.time_of_day_embedding, slots), (model.day_of_week_embedding, days))
    for table, rows in tables:
        if table is not None:
            parts.append(torch.stack([table.weight[rows]] * inputs.shape[2], dim=2))
    if model.adaptive_embedding is not None:
        parts.append(torch.stack([model.adaptive_embedding] * len(inputs)))
    windows = []
    for x in torch.cat(parts, dim=-1):
        for layer in model.temporal_layers:
            x = torch.stack([_layer(series, layer, options.heads) for series in x.unbind(1)], 1)
        for layer in model.spatial_layers:
            x = torch.stack([_layer(step, layer, options.heads) for step in x])
        windows.append(linear(x.transpose(0, 1).flatten(1), model.regression).T)
    return torch.stack(windows)


def _layer(x: Tensor, layer: Any, heads: int) -> Tensor:
    """Attention and a perceptron on (L, C) tokens, each added and then normalised."""
    first, second = layer.attention_norm, layer.perceptron_norm
    x = normalised(x + attention(x, layer, heads), first.weight, first.bias)
    change = linear(torch.relu(linear(x, layer.inner)), layer.outer)
    return normalised(x + change, second.weight, second.bias)
