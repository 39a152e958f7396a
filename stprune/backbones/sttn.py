"""STTN: blocks of attention over nodes, beside a graph convolution, then attention over time.

Paper: Xu et al., "Spatial-Temporal Transformer Networks for Traffic Flow Forecasting",
    arXiv 2001.02908.
Venue: arXiv 2020.
Official code: https://github.com/xumingxingsjtu/STTN; the form used is that of
    https://github.com/liuxu77/LargeST
Where we differ: architecture and sizes are those of LargeST (NeurIPS 2023), whose attention over
    time looks back only, where the paper's looks both ways (`causal: false`). LargeST puts those
    weights through a second softmax, which makes them nearly even and lets later steps in again;
    we take one, and `legacy_softmax` does as LargeST did. The given graphs mix nodes as Pᵀx, as
    in LargeST.
"""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stprune.backbones.base import Backbone, ForecastTask, OptimiserSettings
from stprune.backbones.layers.axis_attention import Axis, attend, split_heads
from stprune.backbones.layers.dropout import Dropout
from stprune.backbones.layers.graph import DiffusionConvolution, GraphProduct, walk_powers
from stprune.base.errors import DeclinedError
from stprune.base.schema import StrictModel


class SttnOptions(StrictModel):
    """Sizes of STTN."""

    channels: int = Field(32, ge=1, description="Width of the blocks.")
    end_channels: int = Field(512, ge=1, description="Width of the output layer.")
    blocks: int = Field(2, ge=1, description="Blocks of spatial, then temporal transformer.")
    heads: int = Field(4, ge=1, description="Heads of each attention; must divide the width.")
    expansion: int = Field(2, ge=1, description="Width inside a perceptron over that of a block.")
    diffusion_steps: int = Field(2, ge=1, description="Largest power of each given graph.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Share dropped after each part.")
    causal: bool = Field(True, description="Steps attend to none later than themselves.")
    legacy_softmax: bool = Field(
        False, description="Normalise weights over time twice, as LargeST."
    )
    self_loops: bool = Field(True, description="Give every node an edge of weight 1 to itself.")


class Attention(nn.Module):
    """Self-attention of all heads along one axis; no biases before the output layer."""

    def __init__(self, axis: Axis, options: SttnOptions) -> None:
        super().__init__()
        width = options.channels
        self.axis: Axis = axis
        self.heads = options.heads
        self.causal = options.causal and axis == "time"
        self.twice = options.legacy_softmax and axis == "time"
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width)
        self.dropout = Dropout(options.dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, N, C) to the same."""
        parts = (self.query(hidden), self.key(hidden), self.value(hidden))
        if self.twice:
            attended = self._attend_twice_normalised(*parts)
        else:
            attended = attend(*parts, self.heads, self.axis, self.causal)
        result: Tensor = self.dropout(self.output(attended))
        return result

    def _attend_twice_normalised(self, *parts: Tensor) -> Tensor:
        """softmax(softmax(Q Kᵀ / √d)) V; a masked weight of 0 becomes one of e⁰ again."""
        query, key, value = (split_heads(part, self.heads, self.axis) for part in parts)
        scores: Tensor = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        if self.causal:
            later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
            scores = scores.masked_fill(later, -torch.inf)
        attended = scores.softmax(dim=-1).softmax(dim=-1) @ value
        return attended.transpose(1, 2).reshape(parts[0].shape)


class Perceptron(nn.Module):
    """W2 gelu(W1 norm(x)), with dropout after each layer."""

    def __init__(self, options: SttnOptions) -> None:
        super().__init__()
        width = options.channels
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, options.expansion * width)
        self.outer = nn.Linear(options.expansion * width, width)
        self.dropout = Dropout(options.dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., C) to the same."""
        inner = self.dropout(functional.gelu(self.inner(self.norm(hidden))))
        result: Tensor = self.dropout(self.outer(inner))
        return result


class Block(nn.Module):
    """Spatial transformer, temporal transformer, normalisation over all but channels; residual."""

    def __init__(self, task: ForecastTask, graphs: list[Tensor], options: SttnOptions) -> None:
        super().__init__()
        width = options.channels
        self.node_embedding = nn.Parameter(torch.randn(task.nodes, width))
        self.node_attention = Attention("nodes", options)
        self.node_perceptron = Perceptron(options)
        self.convolution = DiffusionConvolution(width, len(graphs))
        self.graphs = GraphProduct(torch.cat(graphs, dim=1))
        self.dropout = Dropout(options.dropout)
        self.step_embedding = nn.Parameter(torch.randn(task.history, 1, width))
        self.step_attention = Attention("time", options)
        self.step_perceptron = Perceptron(options)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, entered: Tensor) -> Tensor:
        """(B, T, N, C) to the same."""
        placed = entered + self.node_embedding
        hidden = placed + self.node_attention(placed)
        hidden = hidden + self.node_perceptron(hidden)
        # Nodes first, so that a graph acts on one matrix of N rows.
        mixed = self.dropout(self.convolution(placed.permute(2, 0, 1, 3), self.graphs))
        hidden = hidden + mixed.permute(1, 2, 0, 3) + self.step_embedding
        hidden = hidden + self.step_attention(hidden)
        hidden = hidden + self.step_perceptron(hidden)
        normalised: Tensor = self.norm(hidden.flatten(0, 2))
        return normalised.view(hidden.shape) + entered


class Sttn(Backbone):
    """The STTN forecaster."""

    Options = SttnOptions
    optimisation = OptimiserSettings(weight_decay=1e-4, clip_norm=5.0)

    def __init__(self, task: ForecastTask, options: SttnOptions) -> None:
        super().__init__(task, options)
        if options.channels % options.heads:
            shared = f"{options.heads} heads cannot share {options.channels} channels"
            raise DeclinedError(f"sttn: {shared}; give a number of heads that divides them")
        graphs = walk_powers(task.adjacency, options.diffusion_steps, options.self_loops)
        self.start = nn.Linear(task.channels + 2, options.channels)
        self.blocks = nn.Sequential(*(Block(task, graphs, options) for _ in range(options.blocks)))
        self.end = nn.Linear(options.channels, options.end_channels)
        self.regression = nn.Linear(options.end_channels, task.horizon)

    def forward(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`."""
        values = self.calendar_inputs(inputs, time_of_day, day_of_week)
        hidden = self.blocks(self.start(values))
        forecast: Tensor = self.regression(functional.relu(self.end(hidden[:, -1])))
        return forecast.transpose(1, 2)
