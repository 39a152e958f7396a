"""STID in the form of the public code: 1 x 1 convolutions over (B, channels, N, 1).

Form: https://github.com/liuxu77/LargeST, src/models/stid.py
"""

from typing import Any

import torch
from torch import Tensor, nn

from stprune.backbones.base import ForecastTask
from stprune.backbones.stid import DAYS_PER_WEEK, StidOptions

from . import Weights, named


class Perceptron(nn.Module):
    """Two 1 x 1 convolutions beside the identity."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.fc1, self.fc2 = (nn.Conv2d(width, width, (1, 1)) for _ in range(2))
        self.drop = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Any:
        return self.fc2(self.drop(torch.relu(self.fc1(hidden)))) + hidden


class Form(nn.Module):
    """STID that takes its identities from the features of the last step."""

    node_emb: nn.Parameter | None
    time_in_day_emb: nn.Parameter | None
    day_in_week_emb: nn.Parameter | None

    def __init__(self, task: ForecastTask, options: StidOptions) -> None:
        super().__init__()
        total = options.series_width
        for name, rows, width in (
            ("node_emb", task.nodes, options.node_width),
            ("time_in_day_emb", task.steps_per_day, options.time_of_day_width),
            ("day_in_week_emb", DAYS_PER_WEEK, options.day_of_week_width),
        ):
            table = nn.init.xavier_uniform_(torch.empty(rows, width)) if width else None
            self.register_parameter(name, None if table is None else nn.Parameter(table))
            total += width
        features = task.history * (task.channels + 2)
        self.time_series_emb_layer = nn.Conv2d(features, options.series_width, (1, 1))
        perceptrons = (Perceptron(total, options.dropout) for _ in range(options.layers))
        self.encoder = nn.Sequential(*perceptrons)
        self.regression_layer = nn.Conv2d(total, task.horizon, (1, 1))

    def forward(self, features: Tensor) -> Any:
        batch, _, nodes, _ = features.shape
        series = features.transpose(1, 2).contiguous().view(batch, nodes, -1)
        parts = [self.time_series_emb_layer(series.transpose(1, 2).unsqueeze(-1))]
        if self.node_emb is not None:
            node = self.node_emb.unsqueeze(0).expand(batch, -1, -1)
            parts.append(node.transpose(1, 2).unsqueeze(-1))
        for table, channel in ((self.time_in_day_emb, -2), (self.day_in_week_emb, -1)):
            if table is not None:
                # Rounded where the public code truncates, which misses some slots of 1440 a day.
                rows = (features[:, -1, :, channel] * len(table)).round().long()
                parts.append(table[rows].transpose(1, 2).unsqueeze(-1))
        return self.regression_layer(self.encoder(torch.cat(parts, dim=1)))[..., 0]


def published_state(model: Any) -> Weights:
    """Our weights by the public names."""
    steps, channels = model.task.history, model.task.channels
    # Public columns go step by step: values, time, weekday; ours are all values, all times, all
    # weekdays.
    values, days, weeks = model.series_embedding.weight.split([steps * channels, steps, steps], 1)
    by_step = [values.unflatten(1, (steps, channels)), days[:, :, None], weeks[:, :, None]]
    layers = {"regression_layer": model.regression}
    for i, layer in enumerate(model.encoder):
        layers |= {f"encoder.{i}.fc1": layer.inner, f"encoder.{i}.fc2": layer.outer}
    tables = {
        "node_emb": model.node_embedding,
        "time_in_day_emb": model.time_of_day_embedding,
        "day_in_week_emb": model.day_of_week_embedding,
    }
    return {
        "time_series_emb_layer.weight": torch.cat(by_step, dim=2).flatten(1)[:, :, None, None],
        "time_series_emb_layer.bias": model.series_embedding.bias,
        **{name: table for name, table in tables.items() if table is not None},
        **named(layers, pointwise=True),
    }
