"""STID node by node: history and identities side by side, then perceptrons beside the identity."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import Batch, linear


def forecast(model: Any, batch: Batch) -> Tensor:
    """(B, H, N) of a model, without dropout."""
    inputs, slots, weekdays = batch
    fractions = slots.double() / model.task.steps_per_day, weekdays.double() / 7
    columns = []
    for node, values in enumerate(inputs.unbind(2)):
        series = torch.cat([values.flatten(1), *fractions], dim=1)
        parts = [linear(series, model.series_embedding)]
        if model.node_embedding is not None:
            parts.append(torch.stack([model.node_embedding[node]] * len(inputs)))
        if model.time_of_day_embedding is not None:
            parts.append(model.time_of_day_embedding[slots[:, -1]])
        if model.day_of_week_embedding is not None:
            parts.append(model.day_of_week_embedding[weekdays[:, -1]])
        hidden = torch.cat(parts, dim=1)
        for layer in model.encoder:
            hidden = hidden + linear(torch.relu(linear(hidden, layer.inner)), layer.outer)
        columns.append(linear(hidden, model.regression))
    return torch.stack(columns, dim=2)
