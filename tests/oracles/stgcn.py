"""STGCN in the form of the public code: each polynomial of the graph applied for itself.

Paper: Yu, Yin and Zhu, "Spatio-Temporal Graph Convolutional Networks", IJCAI 2018.
Form: https://github.com/liuxu77/LargeST, src/models/stgcn.py
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stprune.backbones.base import ForecastTask
from stprune.backbones.layers.graph import scaled_laplacian
from stprune.backbones.stgcn import StgcnOptions

from . import Batch, Weights, in_public_form, with_calendar


class ChannelAlign(nn.Module):
    """Projects to fewer channels, or pads with zeros to more; holds a projection in any case."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.missing = width_out - width_in
        self.align_conv = nn.Conv2d(width_in, width_out, (1, 1))

    def forward(self, values: Tensor) -> Tensor:
        if self.missing < 0:
            projected: Tensor = self.align_conv(values)
            return projected
        if self.missing > 0:
            batch, _, steps, nodes = values.shape
            return torch.cat([values, values.new_zeros(batch, self.missing, steps, nodes)], dim=1)
        return values


class TemporalConvolution(nn.Module):
    """A gated linear unit over ``kernel`` steps of each node."""

    def __init__(self, width_in: int, width_out: int, kernel: int) -> None:
        super().__init__()
        self.width, self.kernel = width_out, kernel
        self.align = ChannelAlign(width_in, width_out)
        self.causal_conv = nn.Conv2d(width_in, 2 * width_out, (kernel, 1))

    def forward(self, values: Tensor) -> Tensor:
        aligned = self.align(values)[:, :, self.kernel - 1 :]
        convolved = self.causal_conv(values)
        value, gate = convolved[:, : self.width], convolved[:, -self.width :]
        gated: Tensor = torch.mul(value + aligned, torch.sigmoid(gate))
        return gated


class ChebyshevWeights(nn.Module):
    """The sum of Chebyshev polynomials of the graph, each with its own weights."""

    gso: Tensor

    def __init__(self, width: int, terms: int, gso: Tensor) -> None:
        super().__init__()
        self.register_buffer("gso", gso, persistent=False)
        self.weight = nn.Parameter(torch.empty(terms, width, width).uniform_(-1 / width, 1 / width))
        self.bias = nn.Parameter(torch.empty(width).uniform_(-1 / width, 1 / width))

    def forward(self, values: Tensor) -> Tensor:
        terms = [values.permute(0, 2, 3, 1)]
        if len(self.weight) > 1:
            terms.append(torch.einsum("hi,btij->bthj", self.gso, terms[0]))
        while len(terms) < len(self.weight):
            twice = torch.einsum("hi,btij->bthj", 2 * self.gso, terms[-1])
            terms.append(twice - terms[-2])
        stacked = torch.stack(terms, dim=2)
        return torch.einsum("btkhi,kij->bthj", stacked, self.weight) + self.bias


class GraphConvolution(nn.Module):
    """Chebyshev convolution with a residual path."""

    def __init__(self, width_in: int, width_out: int, terms: int, gso: Tensor) -> None:
        super().__init__()
        self.align = ChannelAlign(width_in, width_out)
        self.cheb_graph_conv = ChebyshevWeights(width_out, terms, gso)

    def forward(self, values: Tensor) -> Tensor:
        aligned = self.align(values)
        convolved: Tensor = self.cheb_graph_conv(aligned).permute(0, 3, 1, 2)
        return torch.add(convolved, aligned)


class ConvolutionBlock(nn.Module):
    """Temporal, graph, temporal convolution; then normalisation and dropout."""

    def __init__(self, width_in: int, nodes: int, gso: Tensor, options: StgcnOptions) -> None:
        super().__init__()
        width, graph, kernel = (
            options.temporal_channels,
            options.graph_channels,
            options.temporal_kernel,
        )
        self.tmp_conv1 = TemporalConvolution(width_in, width, kernel)
        self.graph_conv = GraphConvolution(width, graph, options.chebyshev_terms, gso)
        self.tmp_conv2 = TemporalConvolution(graph, width, kernel)
        self.tc2_ln = nn.LayerNorm([nodes, width])
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, values: Tensor) -> Tensor:
        hidden = torch.relu(self.graph_conv(self.tmp_conv1(values)))
        hidden = self.tmp_conv2(hidden)
        hidden = self.tc2_ln(hidden.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        dropped: Tensor = self.dropout(hidden)
        return dropped


class OutputBlock(nn.Module):
    """A temporal convolution over all steps that are left, then two layers."""

    def __init__(self, width_in: int, width: int, steps: int, nodes: int, horizon: int) -> None:
        super().__init__()
        self.tmp_conv1 = TemporalConvolution(width_in, width, steps)
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, horizon)
        self.tc1_ln = nn.LayerNorm([nodes, width])

    def forward(self, values: Tensor) -> Tensor:
        hidden = self.tc1_ln(self.tmp_conv1(values).permute(0, 2, 3, 1))
        forecast: Tensor = self.fc2(torch.relu(self.fc1(hidden)))
        return forecast.permute(0, 3, 1, 2)


class Form(nn.Module):
    """STGCN with tensors (B, channels, T, N)."""

    def __init__(self, task: ForecastTask, options: StgcnOptions) -> None:
        super().__init__()
        gso = scaled_laplacian(task.adjacency)
        width = options.temporal_channels
        self.st_blocks = nn.Sequential(
            *(
                ConvolutionBlock(width if i else task.channels + 2, task.nodes, gso, options)
                for i in range(options.blocks)
            )
        )
        left = task.history - options.blocks * 2 * (options.temporal_kernel - 1)
        self.output = OutputBlock(width, options.output_channels, left, task.nodes, task.horizon)

    def forward(self, features: Tensor) -> Tensor:
        forecast: Tensor = self.output(self.st_blocks(features.permute(0, 3, 1, 2)))
        return forecast[:, :, 0]


def forecast(model: Any, batch: Batch) -> Tensor:
    form = Form(model.task, model.options)
    return in_public_form(form, published_state(model), model, with_calendar(model, batch))


def published_state(model: Any) -> Weights:
    """Our weights by the public names."""
    state: Weights = {}

    def take(name: str, layer: Any, pointwise: bool = False) -> None:
        weight = layer.weight[:, :, None, None] if pointwise else layer.weight
        state.update({f"{name}.weight": weight, f"{name}.bias": layer.bias})

    def temporal(name: str, layer: Any) -> None:
        take(f"{name}.causal_conv", layer.convolution)
        take(f"{name}.align.align_conv", layer.align.projection, pointwise=True)

    temporal("output.tmp_conv1", model.last)
    take("output.tc1_ln", model.norm)
    take("output.fc1", model.hidden)
    take("output.fc2", model.regression)
    for i, block in enumerate(model.blocks):
        name = f"st_blocks.{i}"
        temporal(f"{name}.tmp_conv1", block.before)
        take(f"{name}.graph_conv.align.align_conv", block.graph.align.projection, pointwise=True)
        take(f"{name}.graph_conv.cheb_graph_conv", block.graph)
        temporal(f"{name}.tmp_conv2", block.after)
        take(f"{name}.tc2_ln", block.norm)
    return state
