"""STGCN: gated temporal convolutions around a Chebyshev graph convolution.

Paper: Yu, Yin and Zhu, "Spatio-Temporal Graph Convolutional Networks: A Deep Learning Framework
    for Traffic Forecasting", arXiv 1709.04875.
Venue: IJCAI 2018.
Official code: https://github.com/VeritasYin/STGCN_IJCAI-18
Where we differ: sizes and the direct multi-step head are those of LargeST (NeurIPS 2023); any
    self-loop is taken out of the graph, where LargeST subtracts the identity.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stprune.backbones.base import (
    Backbone,
    ForecastTask,
    OptimiserSettings,
    fitting_windows,
    uniform,
)
from stprune.backbones.layers.dropout import Dropout
from stprune.backbones.layers.graph import GraphProduct, scaled_laplacian
from stprune.base.errors import DeclinedError
from stprune.base.schema import StrictModel

# Parts of LargeST's code by our names.
NAMES = {
    "st_blocks.": "blocks.",
    "output.tmp_conv1": "last",
    "output.tc1_ln": "norm",
    "output.fc1": "hidden",
    "output.fc2": "regression",
    "tmp_conv1": "before",
    "tmp_conv2": "after",
    "graph_conv.cheb_graph_conv": "graph",
    "graph_conv.align": "graph.align",
    "tc2_ln": "norm",
    "align.align_conv": "align",
    "causal_conv": "convolution",
}


class StgcnOptions(StrictModel):
    """Sizes of STGCN."""

    blocks: int = Field(2, ge=1, description="Blocks of temporal, graph, temporal convolution.")
    temporal_kernel: int = Field(3, ge=1, description="Steps that a temporal convolution sees.")
    chebyshev_terms: int = Field(3, ge=1, description="Polynomials of the graph convolution.")
    temporal_channels: int = Field(64, ge=1, description="Width of temporal convolutions.")
    graph_channels: int = Field(16, ge=1, description="Width of graph convolutions.")
    output_channels: int = Field(128, ge=1, description="Width of the output layers.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Share dropped after each block.")
    subtract_identity: bool = Field(
        False,
        description="Subtract the identity from the graph instead of its self-loops, as LargeST's"
        " code does; `protocol: legacy` does.",
    )


class Align(nn.Linear):
    """Brings the last axis to another width: projects down, or pads with zeros.

    Its weights exist even where the width does not shrink, as in the published model.
    """

    def matrix(self) -> tuple[Tensor, Tensor | None]:
        """The (width_out, width_in) matrix and bias, if any, that do so."""
        weight = self.weight
        if self.in_features > self.out_features:
            return weight, self.bias
        return torch.eye(*weight.shape, dtype=weight.dtype, device=weight.device), None


class GatedTemporalConvolution(nn.Module):
    """(P + x) ⊙ σ(Q) with P and Q causal convolutions of x over time; Equation 6."""

    def __init__(self, width_in: int, width_out: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.align = Align(width_in, width_out)
        self.convolution = nn.Conv2d(width_in, 2 * width_out, (kernel, 1))

    def forward(self, values: Tensor) -> Tensor:
        """(B, T, N, width_in) to (B, T - kernel + 1, N, width_out)."""
        kernel, bias = self.convolution.weight, self.convolution.bias
        # The aligned last step of x is linear too, so it joins P.
        matrix, shift = self.align.matrix()
        last_step = functional.pad(matrix[:, :, None, None], (0, 0, self.kernel - 1, 0))
        kernel = kernel + functional.pad(last_step, (0, 0, 0, 0, 0, 0, 0, len(matrix)))
        if bias is not None and shift is not None:
            bias = bias + functional.pad(shift, (0, len(matrix)))
        # Permuted, not copied: the convolution works on channels-last memory as it stands.
        convolved = functional.conv2d(values.permute(0, 3, 1, 2), kernel, bias)
        # One kernel each way, which needs no copies of the halves and saves their input alone.
        return functional.glu(convolved.permute(0, 2, 3, 1), dim=-1)


class ChebyshevConvolution(nn.Module):
    """x + Σ_k T_k(L) x Θ_k + b, with x first brought to the width of the output."""

    def __init__(self, width_in: int, width_out: int, terms: int, laplacian: Tensor) -> None:
        super().__init__()
        self.align = Align(width_in, width_out)
        self.laplacian = GraphProduct(laplacian)
        # The published start: both uniform within one over the root of width squared.
        bound = 1.0 / width_out
        self.weight = uniform(bound, terms, width_out, width_out)
        self.bias = uniform(bound, width_out)

    def forward(self, values: Tensor) -> Tensor:
        """(B, T, N, width_in) to (B, T, N, width_out)."""
        aligned = functional.linear(values, *self.align.matrix())
        batch, steps, nodes, width = aligned.shape
        # Nodes first, so that a graph acts on one matrix of N rows.
        polynomials = [aligned.permute(2, 0, 1, 3).reshape(nodes, -1)]
        for term in range(1, len(self.weight)):
            walked = self.laplacian(polynomials[-1])
            polynomials.append(walked if term == 1 else 2 * walked - polynomials[-2])
        # x itself is one more T_0(L) x, so it joins the first weight.
        identity = torch.eye(width, dtype=values.dtype, device=values.device)
        mixed: Tensor = self.bias
        weights = [self.weight[0] + identity, *self.weight[1:]]
        for polynomial, weight in zip(polynomials, weights, strict=True):
            mixed = torch.addmm(mixed, polynomial.view(-1, width), weight)
        return mixed.view(nodes, batch, steps, width).permute(1, 2, 0, 3).contiguous()


class StgcnBlock(nn.Module):
    """Temporal convolution, graph convolution, temporal convolution, normalisation, dropout."""

    def __init__(self, width_in: int, nodes: int, laplacian: Tensor, options: StgcnOptions) -> None:
        super().__init__()
        kernel, width = options.temporal_kernel, options.temporal_channels
        self.before = GatedTemporalConvolution(width_in, width, kernel)
        self.graph = ChebyshevConvolution(
            width, options.graph_channels, options.chebyshev_terms, laplacian
        )
        self.after = GatedTemporalConvolution(options.graph_channels, width, kernel)
        self.norm = nn.LayerNorm([nodes, width])
        self.dropout = Dropout(options.dropout)

    def forward(self, values: Tensor) -> Tensor:
        """(B, T, N, width_in) to (B, T - 2 (kernel - 1), N, temporal_channels)."""
        hidden = functional.relu(self.graph(self.before(values)), inplace=True)
        result: Tensor = self.dropout(self.norm(self.after(hidden)))
        return result


class Stgcn(Backbone):
    """The STGCN forecaster."""

    Options = StgcnOptions
    optimisation = OptimiserSettings(weight_decay=5e-4, step_epochs=10, gamma=0.95)
    legacy_options: ClassVar = {"subtract_identity": True}

    def __init__(self, task: ForecastTask, options: StgcnOptions) -> None:
        super().__init__(task, options)
        consumed = options.blocks * 2 * (options.temporal_kernel - 1)
        if task.history <= consumed:
            use = f"{options.blocks} blocks, temporal_kernel {options.temporal_kernel}"
            advice = f"give at least {consumed + 1}, or fewer blocks or a smaller kernel"
            raise DeclinedError(f"stgcn: a history of {task.history} is too short: {use}; {advice}")
        laplacian = scaled_laplacian(task.adjacency, options.subtract_identity)
        width, output = options.temporal_channels, options.output_channels
        widths = [task.channels + 2] + [width] * (options.blocks - 1)
        self.blocks = nn.Sequential(
            *(StgcnBlock(entering, task.nodes, laplacian, options) for entering in widths)
        )
        self.last = GatedTemporalConvolution(width, output, task.history - consumed)
        self.norm = nn.LayerNorm([task.nodes, output])
        self.hidden = nn.Linear(output, output)
        self.regression = nn.Linear(output, task.horizon)

    def forward(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`."""
        values = self.calendar_inputs(inputs, time_of_day, day_of_week)
        last = self.norm(self.last(self.blocks(values)))[:, 0]
        forecast: Tensor = self.regression(functional.relu(self.hidden(last)))
        return forecast.transpose(1, 2)

    @classmethod
    def from_public_weights(cls, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Read the weights of LargeST's code."""
        state = {}
        for name, values in weights.items():
            for theirs, ours in NAMES.items():
                name = name.replace(theirs, ours)
            state[name] = values[:, :, 0, 0] if name.endswith("align.weight") else values
        return state

    def micro_batch(self) -> int | None:
        """As many windows as have small enough gated convolutions for a processor."""
        gated = 2 * self.options.temporal_channels
        return fitting_windows(self.task.history * self.task.nodes * gated)
