"""STAEformer: an embedding for each node and step, then attention over time and over nodes.

Paper: Liu et al., "Spatio-Temporal Adaptive Embedding Makes Vanilla Transformer SOTA for Traffic
    Forecasting", arXiv 2308.10425.
Venue: CIKM 2023.
Official code: https://github.com/XDZhelheim/STAEformer
Where we differ: optimiser settings and the dropped share are those of ST-TTC (NeurIPS 2025) for
    PEMS08 and UrbanEV. ST-TTC looks up the weekday's embedding with weekday / 7 cut to an
    integer, so always at 0; we use the weekday, and `legacy_dow` does as ST-TTC did. The bias of
    the keys adds the same to all scores of a query, so no forecast depends on it; it is kept for
    the published size and left out of the computation. All else is computed as published, in
    another order of axes.
"""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stprune.backbones.base import Backbone, ForecastTask, OptimiserSettings, fitting_windows
from stprune.backbones.layers.axis_attention import Axis, attend
from stprune.backbones.layers.dropout import Dropout
from stprune.base.errors import DeclinedError
from stprune.base.schema import StrictModel

DAYS_PER_WEEK = 7


class StaeformerOptions(StrictModel):
    """Sizes of STAEformer."""

    input_width: int = Field(24, ge=1, description="Width of an embedded value.")
    time_of_day_width: int = Field(24, ge=0, description="Width of the time of day; 0: none.")
    day_of_week_width: int = Field(24, ge=0, description="Width of the day of week; 0: none.")
    adaptive_width: int = Field(80, ge=0, description="Width of each step and node; 0: none.")
    feed_forward_width: int = Field(256, ge=1, description="Width inside a perceptron.")
    heads: int = Field(4, ge=1, description="Heads of each attention; must divide the width.")
    temporal_layers: int = Field(3, ge=0, description="Layers of attention over time.")
    spatial_layers: int = Field(3, ge=0, description="Layers of attention over nodes.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Share dropped after each part of a layer.")
    legacy_dow: bool = Field(False, description="Embed every day as a Monday, as ST-TTC does.")


class AttentionLayer(nn.Module):
    """Attention over one axis, then a perceptron; each is added, then normalised (post-norm)."""

    def __init__(self, axis: Axis, width: int, options: StaeformerOptions) -> None:
        super().__init__()
        self.axis = axis
        self.heads = options.heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.inner = nn.Linear(width, options.feed_forward_width)
        self.outer = nn.Linear(options.feed_forward_width, width)
        self.attention_norm = nn.LayerNorm(width)
        self.perceptron_norm = nn.LayerNorm(width)
        self.dropout = Dropout(options.dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, N, C) to (B, T, N, C)."""
        # Tokens in rows: the layers then return matrices of their own, not views, and a step
        # in place on a view would copy its gradient.
        tokens = hidden.flatten(0, 2)
        attended = attend(
            self.query(tokens).view(hidden.shape),
            functional.linear(tokens, self.key.weight).view(hidden.shape),
            self.value(tokens).view(hidden.shape),
            self.heads,
            self.axis,
        )
        change = self.output(attended.view(tokens.shape))
        tokens = self.attention_norm(self.dropout(change) + tokens)
        change = self.outer(functional.relu_(self.inner(tokens)))
        result: Tensor = self.perceptron_norm(self.dropout(change) + tokens)
        return result.view(hidden.shape)


class Staeformer(Backbone):
    """The STAEformer forecaster; it uses no graph."""

    Options = StaeformerOptions
    optimisation = OptimiserSettings(
        weight_decay=1.5e-3, clip_norm=5.0, milestones=(25, 45, 65), gamma=0.1
    )

    def __init__(self, task: ForecastTask, options: StaeformerOptions) -> None:
        super().__init__(task, options)
        width = options.input_width + options.adaptive_width
        width += options.time_of_day_width + options.day_of_week_width
        if width % options.heads:
            parts = "the sum of input_width, time_of_day_width, day_of_week_width, adaptive_width"
            heads = f"{options.heads} heads cannot share it; give a number that divides it"
            raise DeclinedError(f"staeformer: the width is {width}, {parts}; {heads}")
        self.input_projection = nn.Linear(task.channels + 2, options.input_width)
        self.time_of_day_embedding = _table(task.steps_per_day, options.time_of_day_width)
        self.day_of_week_embedding = _table(DAYS_PER_WEEK, options.day_of_week_width)
        self.adaptive_embedding = None
        if options.adaptive_width:
            table = torch.empty(task.history, task.nodes, options.adaptive_width)
            self.adaptive_embedding = nn.Parameter(nn.init.xavier_uniform_(table))
        self.temporal_layers = nn.Sequential(
            *(AttentionLayer("time", width, options) for _ in range(options.temporal_layers))
        )
        self.spatial_layers = nn.Sequential(
            *(AttentionLayer("nodes", width, options) for _ in range(options.spatial_layers))
        )
        self.regression = nn.Linear(task.history * width, task.horizon)

    def forward(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`."""
        hidden = self._embed(inputs, time_of_day, day_of_week)
        hidden = self.spatial_layers(self.temporal_layers(hidden))
        # One layer over all steps of a node ("mixed projection").
        forecast: Tensor = self.regression(hidden.transpose(1, 2).flatten(2))
        return forecast.transpose(1, 2)

    def micro_batch(self) -> int | None:
        """As many windows as have few enough tokens for a processor."""
        width = self.regression.in_features // self.task.history
        return fitting_windows(self.task.history * self.task.nodes * width)

    def _embed(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """Embedded value, time of day, weekday, and step and node, side by side: (B, T, N, C)."""
        shape = (*inputs.shape[:3], -1)
        parts = [self.input_projection(self.calendar_inputs(inputs, time_of_day, day_of_week))]
        if self.options.legacy_dow:
            day_of_week = torch.zeros_like(day_of_week)
        tables = (self.time_of_day_embedding, self.day_of_week_embedding)
        for table, slots in zip(tables, (time_of_day, day_of_week), strict=True):
            if table is not None:
                parts.append(table(slots)[:, :, None].expand(shape))
        if self.adaptive_embedding is not None:
            parts.append(self.adaptive_embedding.expand(shape))
        return torch.cat(parts, dim=-1)


def _table(rows: int, width: int) -> nn.Embedding | None:
    """A (rows, width) table of embeddings, or None if there is no width."""
    return nn.Embedding(rows, width) if width else None
