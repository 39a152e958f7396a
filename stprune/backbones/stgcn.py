"""STGCN: gated temporal convolutions around a Chebyshev graph convolution.

Paper: Yu, Yin and Zhu, "Spatio-Temporal Graph Convolutional Networks: A Deep Learning Framework
    for Traffic Forecasting", arXiv 1709.04875.
Venue: IJCAI 2018.
Official code: https://github.com/VeritasYin/STGCN_IJCAI-18
Where we differ: sizes and the direct multi-step head are those of LargeST (NeurIPS 2023); any
    self-loop is taken out of the graph, where LargeST subtracts the identity.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stprune.backbones.base import Backbone, ForecastTask, OptimiserSettings
from stprune.errors import DeclinedError
from stprune.graph import chebyshev_polynomials, scaled_laplacian
from stprune.schema import StrictModel


class StgcnOptions(StrictModel):
    """Sizes of STGCN."""

    blocks: int = Field(2, ge=1, description="Blocks of temporal, graph, temporal convolution.")
    temporal_kernel: int = Field(3, ge=1, description="Steps that a temporal convolution sees.")
    chebyshev_terms: int = Field(3, ge=1, description="Polynomials of the graph convolution.")
    temporal_channels: int = Field(64, ge=1, description="Width of temporal convolutions.")
    graph_channels: int = Field(16, ge=1, description="Width of graph convolutions.")
    output_channels: int = Field(128, ge=1, description="Width of the output layers.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Share dropped after each block.")


class Align(nn.Module):
    """Brings the last axis to another width: projects down, or pads with zeros.

    The projection exists even where the width does not shrink, as in the published model.
    """

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.projection = nn.Linear(width_in, width_out)

    @property
    def projects(self) -> bool:
        """True if the projection takes part."""
        return self.projection.in_features > self.projection.out_features

    def forward(self, values: Tensor) -> Tensor:
        """(..., width_in) to (..., width_out)."""
        if self.projects:
            projected: Tensor = self.projection(values)
            return projected
        missing = self.projection.out_features - self.projection.in_features
        return functional.pad(values, (0, missing)) if missing else values


class GatedTemporalConvolution(nn.Module):
    """(P + x) ⊙ σ(Q) with P and Q causal convolutions of x over time; Equation 6."""

    def __init__(self, width_in: int, width_out: int, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.align = Align(width_in, width_out)
        self.convolution = nn.Conv2d(width_in, 2 * width_out, (kernel, 1))

    def forward(self, values: Tensor) -> Tensor:
        """(B, T, N, width_in) to (B, T - kernel + 1, N, width_out)."""
        # Permuted, not copied: the convolution works on channels-last memory as it stands.
        convolved = self.convolution(values.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        value, gate = convolved.chunk(2, dim=-1)
        aligned: Tensor = self.align(values[:, self.kernel - 1 :])
        gated: Tensor = (value + aligned) * torch.sigmoid(gate)
        return gated


class ChebyshevConvolution(nn.Module):
    """x + Σ_k T_k(L) x Θ_k + b, with x first brought to the width of the output."""

    diffusion: Tensor

    def __init__(self, width_in: int, width_out: int, polynomials: Tensor) -> None:
        super().__init__()
        terms, nodes, _ = polynomials.shape
        self.align = Align(width_in, width_out)
        # T_0 is the identity and needs no product; the others are applied in one.
        stacked = polynomials[1:].reshape((terms - 1) * nodes, nodes)
        self.register_buffer("diffusion", stacked, persistent=False)
        # The published start: both uniform within one over the root of width squared.
        bound = 1.0 / width_out
        self.weight = nn.Parameter(torch.empty(terms, width_out, width_out))
        self.bias = nn.Parameter(torch.empty(width_out))
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, values: Tensor) -> Tensor:
        """(B, T, N, width_in) to (B, T, N, width_out)."""
        aligned: Tensor = self.align(values)
        batch, steps, nodes, width = aligned.shape
        nodes_first = aligned.permute(2, 0, 1, 3).reshape(nodes, -1)
        diffused = (self.diffusion @ nodes_first).view(-1, nodes, batch, steps, width)
        terms = torch.cat([aligned[:, :, :, None], diffused.permute(2, 3, 1, 0, 4)], dim=3)
        mixing = self.weight.reshape(-1, width).T
        return functional.linear(terms.flatten(3), mixing, self.bias) + aligned


class StgcnBlock(nn.Module):
    """Temporal convolution, graph convolution, temporal convolution, normalisation, dropout."""

    def __init__(
        self, width_in: int, nodes: int, polynomials: Tensor, options: StgcnOptions
    ) -> None:
        super().__init__()
        kernel, width = options.temporal_kernel, options.temporal_channels
        self.before = GatedTemporalConvolution(width_in, width, kernel)
        self.graph = ChebyshevConvolution(width, options.graph_channels, polynomials)
        self.after = GatedTemporalConvolution(options.graph_channels, width, kernel)
        self.norm = nn.LayerNorm([nodes, width])
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, values: Tensor) -> Tensor:
        """(B, T, N, width_in) to (B, T - 2 (kernel - 1), N, temporal_channels)."""
        hidden = functional.relu(self.graph(self.before(values)))
        result: Tensor = self.dropout(self.norm(self.after(hidden)))
        return result


class Stgcn(Backbone):
    """The STGCN forecaster.

    Args:
        task: What to forecast.
        options: Sizes.

    Raises:
        DeclinedError: If the history is too short for the temporal convolutions.
        DataError: If the graph has negative weights.
    """

    Options: ClassVar[type[StrictModel]] = StgcnOptions
    optimisation: ClassVar[OptimiserSettings] = OptimiserSettings(
        optimiser="adam", learning_rate=1e-3, weight_decay=5e-4, step_epochs=10, gamma=0.95
    )

    def __init__(self, task: ForecastTask, options: StgcnOptions) -> None:
        super().__init__(task, options)
        consumed = options.blocks * 2 * (options.temporal_kernel - 1)
        if task.history <= consumed:
            raise DeclinedError(
                f"stgcn: a history of {task.history} steps is too short, since {options.blocks}"
                f" blocks with temporal_kernel {options.temporal_kernel} consume {consumed};"
                f" give at least {consumed + 1} steps, or fewer blocks or a smaller kernel"
            )
        polynomials = chebyshev_polynomials(
            scaled_laplacian(task.adjacency), options.chebyshev_terms
        )
        width, output = options.temporal_channels, options.output_channels
        self.blocks = nn.Sequential(
            *(
                StgcnBlock(width if i else task.channels + 2, task.nodes, polynomials, options)
                for i in range(options.blocks)
            )
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

    def unused_parameters(self) -> frozenset[str]:
        """Projections of residual paths that do not shrink; the published model holds them."""
        return frozenset(
            f"{name}.projection.{kind}"
            for name, module in self.named_modules()
            if isinstance(module, Align) and not module.projects
            for kind in ("weight", "bias")
        )
