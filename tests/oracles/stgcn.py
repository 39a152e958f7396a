"""STGCN in the form of the public code: each polynomial of the graph applied for itself.

Form: https://github.com/liuxu77/LargeST, src/models/stgcn.py
"""

from typing import Any

import torch
from torch import Tensor, nn

from stprune.backbones.base import ForecastTask
from stprune.backbones.layers.graph import scaled_laplacian
from stprune.backbones.stgcn import StgcnOptions

from . import Weights, named


class ChannelAlign(nn.Module):
    """Projects to fewer channels, or pads with zeros to more; holds a projection in any case."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.missing = width_out - width_in
        self.align_conv = nn.Conv2d(width_in, width_out, (1, 1))

    def forward(self, values: Tensor) -> Any:
        if self.missing < 0:
            return self.align_conv(values)
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

    def forward(self, values: Tensor) -> Any:
        aligned = self.align(values)[:, :, self.kernel - 1 :]
        convolved = self.causal_conv(values)
        value, gate = convolved[:, : self.width], convolved[:, -self.width :]
        return torch.mul(value + aligned, torch.sigmoid(gate))


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

    def forward(self, values: Tensor) -> Any:
        aligned = self.align(values)
        return torch.add(self.cheb_graph_conv(aligned).permute(0, 3, 1, 2), aligned)


class ConvolutionBlock(nn.Module):
    """Temporal, graph, temporal convolution; then normalisation and dropout."""

    def __init__(self, width_in: int, nodes: int, gso: Tensor, options: StgcnOptions) -> None:
        super().__init__()
        width, kernel = options.temporal_channels, options.temporal_kernel
        graph, terms = options.graph_channels, options.chebyshev_terms
        self.tmp_conv1 = TemporalConvolution(width_in, width, kernel)
        self.graph_conv = GraphConvolution(width, graph, terms, gso)
        self.tmp_conv2 = TemporalConvolution(graph, width, kernel)
        self.tc2_ln = nn.LayerNorm([nodes, width])
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, values: Tensor) -> Any:
        hidden = self.tmp_conv2(torch.relu(self.graph_conv(self.tmp_conv1(values))))
        hidden = self.tc2_ln(hidden.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.dropout(hidden)


class OutputBlock(nn.Module):
    """A temporal convolution over all steps that are left, then two layers."""

    def __init__(self, width_in: int, width: int, steps: int, nodes: int, horizon: int) -> None:
        super().__init__()
        self.tmp_conv1 = TemporalConvolution(width_in, width, steps)
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, horizon)
        self.tc1_ln = nn.LayerNorm([nodes, width])

    def forward(self, values: Tensor) -> Any:
        hidden = self.tc1_ln(self.tmp_conv1(values).permute(0, 2, 3, 1))
        return self.fc2(torch.relu(self.fc1(hidden))).permute(0, 3, 1, 2)


class Form(nn.Module):
    """STGCN with tensors (B, channels, T, N)."""

    def __init__(self, task: ForecastTask, options: StgcnOptions) -> None:
        super().__init__()
        gso, width = scaled_laplacian(task.adjacency), options.temporal_channels
        widths = [task.channels + 2, *[width] * (options.blocks - 1)]
        blocks = (ConvolutionBlock(entering, task.nodes, gso, options) for entering in widths)
        self.st_blocks = nn.Sequential(*blocks)
        left = task.history - options.blocks * 2 * (options.temporal_kernel - 1)
        self.output = OutputBlock(width, options.output_channels, left, task.nodes, task.horizon)

    def forward(self, features: Tensor) -> Any:
        return self.output(self.st_blocks(features.permute(0, 3, 1, 2)))[:, :, 0]


def published_state(model: Any) -> Weights:
    """Our weights by the public names."""
    temporal = {"output.tmp_conv1": model.last}
    layers = {"output.tc1_ln": model.norm, "output.fc1": model.hidden}
    layers["output.fc2"] = model.regression
    aligned = {}
    for i, block in enumerate(model.blocks):
        name = f"st_blocks.{i}"
        temporal |= {f"{name}.tmp_conv1": block.before, f"{name}.tmp_conv2": block.after}
        layers |= {f"{name}.graph_conv.cheb_graph_conv": block.graph, f"{name}.tc2_ln": block.norm}
        aligned[f"{name}.graph_conv"] = block.graph
    layers |= {f"{name}.causal_conv": layer.convolution for name, layer in temporal.items()}
    projections = {
        f"{name}.align.align_conv": layer.align for name, layer in (aligned | temporal).items()
    }
    return named(layers) | named(projections, pointwise=True)
