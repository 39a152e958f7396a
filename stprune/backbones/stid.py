"""STID: identities of node and time of day, then a few perceptrons shared by all nodes.

Paper: Shao et al., "Spatial-Temporal Identity: A Simple yet Effective Baseline for Multivariate
    Time Series Forecasting", arXiv 2208.05233.
Venue: CIKM 2022.
Official code: https://github.com/GestaltCogTeam/STID
Where we differ: the defaults are those of the UrbanEV logs of ST-TTC (NeurIPS 2025), which have
    no day-of-week embedding; every measured channel is an input, not the target alone.
"""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stprune.backbones.base import Backbone, ForecastTask, OptimiserSettings
from stprune.backbones.layers.dropout import Dropout
from stprune.base.schema import StrictModel

DAYS_PER_WEEK = 7


class StidOptions(StrictModel):
    """Sizes of STID."""

    series_width: int = Field(32, ge=1, description="Width of the embedded history.")
    node_width: int = Field(32, ge=0, description="Width of the node embedding; 0: none.")
    time_of_day_width: int = Field(32, ge=0, description="Width of the time of day; 0: none.")
    day_of_week_width: int = Field(0, ge=0, description="Width of the day of week; 0: none.")
    layers: int = Field(3, ge=0, description="Residual perceptrons.")
    dropout: float = Field(0.15, ge=0, lt=1, description="Share dropped inside a perceptron.")


class ResidualPerceptron(nn.Module):
    """``x + W2 dropout(relu(W1 x + b1)) + b2`` on the last axis; the shape stays."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        self.dropout = Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., width) to (..., width)."""
        # In place on fresh results that no gradient needs: memory is written once, not twice.
        inner = functional.relu(self.inner(hidden), inplace=True)
        change: Tensor = self.outer(self.dropout(inner))
        return change.add_(hidden)


class Stid(Backbone):
    """The STID forecaster; it uses no graph."""

    Options = StidOptions
    optimisation = OptimiserSettings(weight_decay=1e-4, clip_norm=5.0)

    def __init__(self, task: ForecastTask, options: StidOptions) -> None:
        super().__init__(task, options)
        # One layer for values and calendar together, so that its initial scale is that of the
        # published layer; columns are all values (step by step), then time, then weekday.
        self.series_embedding = nn.Linear(task.history * (task.channels + 2), options.series_width)
        self.node_embedding = _table(task.nodes, options.node_width)
        self.time_of_day_embedding = _table(task.steps_per_day, options.time_of_day_width)
        self.day_of_week_embedding = _table(DAYS_PER_WEEK, options.day_of_week_width)
        width = options.series_width + options.node_width
        width += options.time_of_day_width + options.day_of_week_width
        self.encoder = nn.Sequential(
            *(ResidualPerceptron(width, options.dropout) for _ in range(options.layers))
        )
        self.regression = nn.Linear(width, task.horizon)

    def forward(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`; identities are those of the last input step."""
        batch, _, nodes, _ = inputs.shape
        parts = [self._embed_series(inputs, time_of_day, day_of_week)]
        if self.node_embedding is not None:
            parts.append(self.node_embedding.expand(batch, -1, -1))
        tables = (self.time_of_day_embedding, self.day_of_week_embedding)
        for table, slots in zip(tables, (time_of_day, day_of_week), strict=True):
            if table is not None:
                embedded = functional.embedding(slots[:, -1], table)
                parts.append(embedded[:, None, :].expand(-1, nodes, -1))
        # All nodes of all windows are rows of one matrix: the layers' results are then no views,
        # and what changes them in place costs no copies in the backward pass.
        rows = torch.cat(parts, dim=-1).flatten(0, 1)
        encoded = self.encoder(rows).view(batch, nodes, -1)
        forecast: Tensor = self.regression(encoded)
        return forecast.transpose(1, 2)

    def _embed_series(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """Linear layer over (value, fraction of day, weekday / 7) of all steps: (B, N, width).

        The calendar is the same for all nodes, so its share is computed once a window.
        """
        batch, steps, nodes, channels = inputs.shape
        values = inputs.transpose(1, 2).reshape(batch, nodes, steps * channels)
        day = time_of_day.to(inputs.dtype) / self.task.steps_per_day
        calendar = torch.cat([day, day_of_week.to(inputs.dtype) / DAYS_PER_WEEK], dim=1)
        weight, split = self.series_embedding.weight, steps * channels
        shared = functional.linear(calendar, weight[:, split:], self.series_embedding.bias)
        return functional.linear(values, weight[:, :split]) + shared[:, None, :]


def _table(rows: int, width: int) -> nn.Parameter | None:
    """A (rows, width) table of embeddings, or None if there is no width."""
    if width == 0:
        return None
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(rows, width)))
