"""ASTGCN: Chebyshev graph convolutions weighted by attention over nodes and over steps.

Paper: Guo et al., "Attention Based Spatial-Temporal Graph Convolutional Networks for Traffic
    Flow Forecasting", Proceedings of AAAI 33 (2019), pages 922 to 929.
Venue: AAAI 2019.
Official code: https://github.com/guoshnBJTU/ASTGCN-2019-pytorch
Where we differ: sizes, inputs and graph are those of LargeST (NeurIPS 2023): only the recent
    component, edges without weights, the symmetric normalised Laplacian. As in both codes and
    not as in the paper, attention is normalised over the nodes that are mixed, not over the
    nodes that they are mixed into, and the graph convolution sees the signal as it came: steps
    attend to each other only inside the attention of nodes. The published start (all vectors
    uniform in [0, 1)) puts the sigmoids of the second block at arguments of hundreds, where its
    attention never gets a gradient: our vectors start within one over the root of their length,
    or as layers do. The class of this name in PyTorch Geometric Temporal is another model: all
    its polynomials act on a signal already scaled by the diagonal of the attention, and from
    T_2 on it does not attend along the last hop.
"""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stprune.backbones.base import Backbone, ForecastTask, OptimiserSettings
from stprune.backbones.layers.graph import chebyshev_polynomials, scaled_laplacian
from stprune.base.schema import StrictModel


class AstgcnOptions(StrictModel):
    """Sizes of ASTGCN."""

    blocks: int = Field(2, ge=1, description="Blocks of attention, graph, temporal convolution.")
    chebyshev_terms: int = Field(3, ge=1, description="Polynomials of the graph convolution.")
    graph_channels: int = Field(64, ge=1, description="Width of graph convolutions.")
    temporal_channels: int = Field(64, ge=1, description="Width of temporal convolutions.")


class Attention(nn.Module):
    """Weights between ``attended`` steps or nodes, each summed over ``summed`` of the others."""

    def __init__(self, width: int, summed: int, attended: int) -> None:
        super().__init__()
        self.summing = nn.Parameter(torch.empty(summed))
        self.mixing = nn.Parameter(torch.empty(width, summed))
        self.channel_weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(1, attended, attended))
        self.scoring = nn.Parameter(torch.empty(attended, attended))


class TemporalAttention(Attention):
    """E = softmax(V σ((xᵀ u1) U2 (u3 x) + b)) over steps; Equations 3 and 4."""

    def forward(self, values: Tensor) -> Tensor:
        """(B, N, T, width) to (B, T, T), columns that sum to 1."""
        of_steps = (self.summing @ values.flatten(2)).unflatten(1, values.shape[2:])
        # The two small factors first, which gives the same product.
        of_nodes = self.mixing @ (values @ self.channel_weight)
        scores = self.scoring @ torch.sigmoid(torch.baddbmm(self.bias, of_steps, of_nodes))
        return scores.softmax(dim=1)


class SpatialAttention(Attention):
    """S = softmax(V σ((x w1) W2 (w3 x)ᵀ + b)) over nodes, of x after E; Equations 1 and 2."""

    def forward(self, values: Tensor, between_steps: Tensor) -> Tensor:
        """(B, N, T, width) and E of (B, T, T) to Sᵀ of (B, N, N), rows that sum to 1."""
        # E goes to the weights and to the sum over channels; x E itself is never needed.
        by_step = between_steps @ self.summing
        rows = (values * by_step[:, None, :, None]).sum(dim=2) @ self.mixing
        columns = values @ self.channel_weight @ between_steps
        # Transposed throughout: V then acts on all windows in one product, and both the
        # softmax and what comes after it run along rows.
        bias = self.bias.transpose(1, 2)
        scores = torch.sigmoid(torch.baddbmm(bias, columns, rows.transpose(1, 2)))
        return functional.linear(scores, self.scoring).softmax(dim=2)


class AttendedChebyshev(nn.Module):
    """Σ_k (T_k(L) ⊙ S)ᵀ x Θ_k at each step."""

    polynomials: Tensor

    def __init__(self, width_in: int, width_out: int, polynomials: Tensor) -> None:
        super().__init__()
        # T_0 is the identity and needs no product; the others are symmetric.
        self.register_buffer("polynomials", polynomials[1:], persistent=False)
        self.weight = nn.Parameter(torch.empty(len(polynomials), width_in, width_out))

    def forward(self, values: Tensor, attention: Tensor) -> Tensor:
        """(B, N, T, width_in), and Sᵀ of (B, N, N), to (B, N, T, width_out)."""
        width = values.shape[-1]
        own = values * attention.diagonal(dim1=1, dim2=2)[:, :, None, None]
        mixed = own.reshape(-1, width) @ self.weight[0]
        # All steps at once, one polynomial after the other: a batch of attended graphs is large.
        flat = values.flatten(2)
        for polynomial, weight in zip(self.polynomials, self.weight[1:], strict=True):
            term = torch.bmm(polynomial * attention, flat)
            mixed = torch.addmm(mixed, term.view(-1, width), weight)
        return mixed.view(*values.shape[:3], -1)


class AstgcnBlock(nn.Module):
    """Attention, graph convolution, temporal convolution, residual path, normalisation."""

    def __init__(
        self, width_in: int, steps: int, polynomials: Tensor, options: AstgcnOptions
    ) -> None:
        super().__init__()
        nodes, width = polynomials.shape[-1], options.temporal_channels
        self.temporal_attention = TemporalAttention(width_in, nodes, steps)
        self.spatial_attention = SpatialAttention(width_in, steps, nodes)
        self.graph = AttendedChebyshev(width_in, options.graph_channels, polynomials)
        self.temporal = nn.Conv2d(options.graph_channels, width, (1, 3), padding=(0, 1))
        self.residual = nn.Linear(width_in, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, values: Tensor) -> Tensor:
        """(B, N, T, width_in) to (B, N, T, temporal_channels)."""
        attention = self.spatial_attention(values, self.temporal_attention(values))
        mixed = functional.relu(self.graph(values, attention))
        # Permuted, not copied: the convolution works on channels-last memory as it stands.
        convolved = self.temporal(mixed.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        result: Tensor = self.norm(functional.relu(convolved + self.residual(values)))
        return result


class Astgcn(Backbone):
    """The ASTGCN forecaster."""

    Options = AstgcnOptions
    optimisation = OptimiserSettings(
        weight_decay=1e-4, clip_norm=5.0, schedule="cosine", schedule_unit="epochs", final_rate=1e-3
    )

    def __init__(self, task: ForecastTask, options: AstgcnOptions) -> None:
        super().__init__(task, options)
        edges = task.adjacency.sign()
        polynomials = chebyshev_polynomials(scaled_laplacian(edges), options.chebyshev_terms)
        width = options.temporal_channels
        widths = [task.channels + 2] + [width] * (options.blocks - 1)
        self.blocks = nn.Sequential(
            *(AstgcnBlock(entering, task.history, polynomials, options) for entering in widths)
        )
        # A convolution over channels with a channel a step, as published: its start depends on it.
        self.regression = nn.Conv2d(task.history, task.horizon, (1, width))
        self._start()

    def forward(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`."""
        values = self.calendar_inputs(inputs, time_of_day, day_of_week).transpose(1, 2)
        hidden = self.blocks(values.contiguous()).flatten(2)
        weight = self.regression.weight.flatten(1)
        return functional.linear(hidden, weight, self.regression.bias).transpose(1, 2)

    def _start(self) -> None:
        """Xavier for matrices, as published; vectors of attention within one over a root."""
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                for matrix in parameter if name.endswith("graph.weight") else [parameter]:
                    nn.init.xavier_uniform_(matrix)
            elif "attention" in name:
                bound = len(parameter) ** -0.5
                nn.init.uniform_(parameter, -bound, bound)
