"""STAEformer in the form of the public code: heads split and joined, attention in three steps.

Form: https://github.com/XDZhelheim/STAEformer, model/STAEformer.py
"""

from typing import Any

import torch
from torch import Tensor, nn

from stprune.backbones.base import ForecastTask
from stprune.backbones.staeformer import DAYS_PER_WEEK, StaeformerOptions

from . import Weights


class Attention(nn.Module):
    """softmax(Q Kᵀ / √d) V over the last axis but one, with the heads along the batch."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.head_width = width // heads
        self.FC_Q, self.FC_K, self.FC_V, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, values: Tensor) -> Any:
        query = self._heads_first(self.FC_Q(values))
        key = self._heads_first(self.FC_K(values)).transpose(-1, -2)
        value = self._heads_first(self.FC_V(values))
        scores = torch.softmax((query @ key) / self.head_width**0.5, dim=-1)
        heads = torch.split(scores @ value, len(values), dim=0)
        return self.out_proj(torch.cat(heads, dim=-1))

    def _heads_first(self, values: Tensor) -> Tensor:
        """(B, ..., width) to (heads B, ..., width / heads)."""
        return torch.cat(torch.split(values, self.head_width, dim=-1), dim=0)


class AttentionLayer(nn.Module):
    """Attention and a perceptron, each with a residual path normalised afterwards."""

    def __init__(self, width: int, options: StaeformerOptions) -> None:
        super().__init__()
        self.attn = Attention(width, options.heads)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, options.feed_forward_width),
            nn.ReLU(inplace=True),
            nn.Linear(options.feed_forward_width, width),
        )
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout1, self.dropout2 = nn.Dropout(options.dropout), nn.Dropout(options.dropout)

    def forward(self, values: Tensor, axis: int) -> Any:
        values = values.transpose(axis, -2)
        hidden = self.ln1(values + self.dropout1(self.attn(values)))
        return self.ln2(hidden + self.dropout2(self.feed_forward(hidden))).transpose(axis, -2)


class Form(nn.Module):
    """STAEformer with tensors (B, T, N, width)."""

    adaptive_embedding: nn.Parameter

    def __init__(self, task: ForecastTask, options: StaeformerOptions) -> None:
        super().__init__()
        self.options = options
        width = options.input_width + options.adaptive_width
        width += options.time_of_day_width + options.day_of_week_width
        self.input_proj = nn.Linear(task.channels + 2, options.input_width)
        if options.time_of_day_width:
            self.tod_embedding = nn.Embedding(task.steps_per_day, options.time_of_day_width)
        if options.day_of_week_width:
            self.dow_embedding = nn.Embedding(DAYS_PER_WEEK, options.day_of_week_width)
        if options.adaptive_width:
            table = torch.empty(task.history, task.nodes, options.adaptive_width)
            self.adaptive_embedding = nn.Parameter(nn.init.xavier_uniform_(table))
        self.output_proj = nn.Linear(task.history * width, task.horizon)
        self.attn_layers_t, self.attn_layers_s = (
            nn.ModuleList(AttentionLayer(width, options) for _ in range(count))
            for count in (options.temporal_layers, options.spatial_layers)
        )

    def forward(self, features: Tensor) -> Any:
        batch, steps, nodes, _ = features.shape
        parts = [self.input_proj(features)]
        if self.options.time_of_day_width:
            day = features[..., -2] * self.tod_embedding.num_embeddings
            parts.append(self.tod_embedding(day.round().long()))
        if self.options.day_of_week_width:
            week = features[..., -1]
            # Truncated as it stands, weekday / 7 is always 0.
            days = week if self.options.legacy_dow else (week * DAYS_PER_WEEK).round()
            parts.append(self.dow_embedding(days.long()))
        if self.options.adaptive_width:
            parts.append(self.adaptive_embedding.expand(batch, -1, -1, -1))
        hidden = torch.cat(parts, dim=-1)
        for axis, layers in ((1, self.attn_layers_t), (2, self.attn_layers_s)):
            for layer in layers:
                hidden = layer(hidden, axis)
        flat = hidden.transpose(1, 2).reshape(batch, nodes, steps * hidden.shape[-1])
        return self.output_proj(flat).transpose(1, 2)


PARTS = {
    "query": "attn.FC_Q",
    "key": "attn.FC_K",
    "value": "attn.FC_V",
    "output": "attn.out_proj",
    "inner": "feed_forward.0",
    "outer": "feed_forward.2",
    "attention_norm": "ln1",
    "perceptron_norm": "ln2",
    "input_projection": "input_proj",
    "regression": "output_proj",
    "time_of_day_embedding": "tod_embedding",
    "day_of_week_embedding": "dow_embedding",
    "temporal_layers": "attn_layers_t",
    "spatial_layers": "attn_layers_s",
}


def published_state(model: Any) -> Weights:
    """Our weights by the public names."""
    return {
        ".".join(PARTS.get(part, part) for part in name.split(".")): parameter
        for name, parameter in model.named_parameters()
    }
