"""Graph WaveNet in the form of the public code: every layer in full, one product a graph.

Form: https://github.com/liuxu77/LargeST, src/models/gwnet.py
"""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from stprune.backbones.base import ForecastTask
from stprune.backbones.gwnet import GwnetOptions
from stprune.backbones.layers.graph import double_transition

from . import Weights, named


class GraphConvolution(nn.Module):
    """The input and its walks of 1 to ``order`` steps over each graph, side by side, then mixed."""

    def __init__(self, width: int, graphs: int, order: int, dropout: float) -> None:
        super().__init__()
        self.order, self.dropout = order, dropout
        mix = nn.Conv2d((1 + graphs * order) * width, width, (1, 1))
        self.mlp = nn.Sequential(OrderedDict(mlp=mix))

    def forward(self, values: Tensor, supports: list[Tensor]) -> Tensor:
        terms = [values]
        for support in supports:
            walked = values
            for _ in range(self.order):
                walked = torch.einsum("bcvt,vw->bcwt", walked, support).contiguous()
                terms.append(walked)
        mixed = self.mlp(torch.cat(terms, dim=1))
        return functional.dropout(mixed, self.dropout, training=self.training)


class Form(nn.Module):
    """Graph WaveNet with tensors (B, channels, N, T)."""

    def __init__(self, task: ForecastTask, options: GwnetOptions) -> None:
        super().__init__()
        adjacency = task.adjacency.clone()
        if options.self_loops:
            adjacency.fill_diagonal_(1.0)
        for number, support in enumerate(double_transition(adjacency)):
            self.register_buffer(f"support{number}", support, persistent=False)
        self.nodevec1 = nn.Parameter(torch.randn(task.nodes, options.embedding_rank))
        self.nodevec2 = nn.Parameter(torch.randn(options.embedding_rank, task.nodes))

        width, skip, end = options.residual_channels, options.skip_channels, options.end_channels
        dilations = [2**layer for _ in range(options.blocks) for layer in range(options.layers)]
        self.receptive_field = 1 + (options.kernel - 1) * sum(dilations)

        def convolutions(width_out: int, kernel: int) -> nn.ModuleList:
            size = (1, kernel)
            return nn.ModuleList(nn.Conv2d(width, width_out, size, dilation=d) for d in dilations)

        self.start_conv = nn.Conv2d(task.channels + 2, width, (1, 1))
        self.filter_convs = convolutions(width, options.kernel)
        self.gate_convs = convolutions(width, options.kernel)
        self.skip_convs = convolutions(skip, 1)
        self.bn = nn.ModuleList(nn.BatchNorm2d(width) for _ in dilations)
        sizes = (width, 3, options.diffusion_steps, options.dropout)
        self.gconv = nn.ModuleList(GraphConvolution(*sizes) for _ in dilations)
        self.end_conv_1 = nn.Conv2d(skip, end, (1, 1))
        self.end_conv_2 = nn.Conv2d(end, task.horizon, (1, 1))

    def forward(self, features: Tensor) -> Any:
        x = features.transpose(1, 3)
        missing = self.receptive_field - x.shape[3]
        if missing > 0:
            x = functional.pad(x, (missing, 0, 0, 0))
        learned = torch.softmax(torch.relu(self.nodevec1 @ self.nodevec2), dim=1)
        supports = [self.get_buffer("support0"), self.get_buffer("support1"), learned]

        x = self.start_conv(x)
        skip = x.new_zeros(())
        parts = (self.filter_convs, self.gate_convs, self.skip_convs, self.gconv, self.bn)
        for value, gate, to_skip, mix, norm in zip(*parts, strict=True):
            residual = x
            x = torch.tanh(value(residual)) * torch.sigmoid(gate(residual))
            # At all time steps, though only the last of the last layer is kept in the end.
            share = to_skip(x)
            skip = share + (skip[..., -share.shape[3] :] if skip.ndim else skip)
            # In the last layer too, where nothing reads the result.
            x = norm(mix(x, supports) + residual[..., -x.shape[3] :])
        hidden = self.end_conv_1(torch.relu(skip))
        return self.end_conv_2(torch.relu(hidden))[..., -1]


def published_state(model: Any) -> Weights:
    """Our weights by the public names; ours merges what the public code keeps apart."""
    width = model.options.residual_channels
    ends = {"start_conv": model.start, "end_conv_1": model.end, "end_conv_2": model.regression}
    state = named(ends, pointwise=True) | named(
        {f"bn.{i}": norm for i, norm in enumerate(model.norms)}
    )
    state |= {"nodevec1": model.source_embedding, "nodevec2": model.target_embedding}
    for i, skip in enumerate(model.skip_weight.split(width, dim=1)):
        convolution, mix = model.gates[i].convolution, model.diffusions[i]
        # Ours has time before nodes, the public kernel nodes before time.
        kernels = convolution.weight.transpose(2, 3).chunk(2)
        for part, kernel, bias in zip(
            ("filter", "gate"), kernels, convolution.bias.chunk(2), strict=True
        ):
            state |= {f"{part}_convs.{i}.weight": kernel, f"{part}_convs.{i}.bias": bias}
        state |= {
            f"skip_convs.{i}.weight": skip[:, :, None, None],
            f"skip_convs.{i}.bias": model.skip_bias[i],
            # (terms, in, out) against (out, terms in, 1, 1).
            f"gconv.{i}.mlp.mlp.weight": mix.weight.permute(2, 0, 1).flatten(1)[:, :, None, None],
            f"gconv.{i}.mlp.mlp.bias": mix.bias,
        }
        # Copies, which a training step of the form may change.
        buffers = model.norms[i].named_buffers()
        state |= {f"bn.{i}.{name}": buffer.clone() for name, buffer in buffers}
    return state
