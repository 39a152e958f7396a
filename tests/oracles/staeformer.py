"""STAEformer by its equations: the tokens of one node or of one step at a time."""

from typing import Any

import torch
from torch import Tensor

from . import Batch, linear, normalised, with_calendar
from .sttn import attention


def forecast(model: Any, batch: Batch) -> Tensor:
    windows = zip(with_calendar(model, batch), *batch[1:], strict=True)
    return torch.stack([_window(model, *window) for window in windows])


def _window(model: Any, series: Tensor, slots: Tensor, weekdays: Tensor) -> Tensor:
    """One window (T, N, C) with its calendar to (H, N)."""
    # As ST-TTC has it, weekday / 7 is truncated, which is always 0.
    weekdays = 0 * weekdays if model.options.legacy_dow else weekdays
    parts = [linear(series, model.input_projection)]
    tables = model.time_of_day_embedding, model.day_of_week_embedding
    for table, rows in zip(tables, (slots, weekdays), strict=True):
        if table is not None:
            parts.append(torch.stack([table.weight[rows]] * series.shape[1], dim=1))
    if model.adaptive_embedding is not None:
        parts.append(model.adaptive_embedding)
    x = torch.cat(parts, dim=-1)
    for axis, layers in ((1, model.temporal_layers), (0, model.spatial_layers)):
        for layer in layers:
            tokens = [_layer(some, layer, model.options.heads) for some in x.unbind(axis)]
            x = torch.stack(tokens, dim=axis)
    return linear(x.transpose(0, 1).flatten(1), model.regression).T


def _layer(x: Tensor, layer: Any, heads: int) -> Tensor:
    """Attention and a perceptron on (L, C) tokens, each added and normalised."""
    norms = [(norm.weight, norm.bias) for norm in (layer.attention_norm, layer.perceptron_norm)]
    x = normalised(x + attention(x, layer, heads), *norms[0])
    return normalised(x + linear(torch.relu(linear(x, layer.inner)), layer.outer), *norms[1])
