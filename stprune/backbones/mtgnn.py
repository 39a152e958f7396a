"""MTGNN: mix-hop propagation over a learned sparse graph, inception convolutions in time.

Paper: Wu et al., "Connecting the Dots: Multivariate Time Series Forecasting with Graph Neural
    Networks", arXiv 2005.11650.
Venue: KDD 2020.
Official code: https://github.com/nnzhan/MTGNN
Where we differ: sizes are those of the multi-step traffic set-up (three layers; the five layers
    of the paper belong to its single-step set-up), with the weekday as one more input. The
    official code adds noise before it takes the strongest neighbours, to break ties of
    saturated edges, and so forecasts by chance; we rank edges before they saturate. Random
    node subsets and the growing horizon of the official training are left out.
"""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stprune.backbones.base import Backbone, ForecastTask, OptimiserSettings, uniform
from stprune.backbones.layers.graph import powers, terms_of
from stprune.base.schema import StrictModel

KERNELS = (2, 3, 6, 7)


class MtgnnOptions(StrictModel):
    """Sizes of MTGNN."""

    layers: int = Field(3, ge=1, description="Layers of temporal and graph convolution.")
    dilation_growth: int = Field(1, ge=1, description="Factor of the dilation from layer to layer.")
    residual_channels: int = Field(32, ge=1, description="Width between layers.")
    convolution_channels: int = Field(32, ge=4, multiple_of=4, description="Width over time.")
    skip_channels: int = Field(64, ge=1, description="Width of the sum of all layers.")
    end_channels: int = Field(128, ge=1, description="Width of the output layer.")
    mix_depth: int = Field(2, ge=1, description="Hops of a mix-hop propagation.")
    kept_share: float = Field(
        0.05, ge=0, le=1, description="Own share that a node keeps at each hop."
    )
    neighbours: int = Field(20, ge=1, description="Most neighbours of a node; at most all.")
    embedding_rank: int = Field(40, ge=1, description="Width of the node embeddings.")
    saturation: float = Field(3.0, gt=0, description="How steeply learned edges saturate.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Share dropped after a gated convolution.")


class GraphLearning(nn.Module):
    """relu(tanh(a (M1 M2ᵀ - M2 M1ᵀ))), the strongest edges of each node; Equations 1 to 6."""

    def __init__(self, nodes: int, options: MtgnnOptions) -> None:
        super().__init__()
        rank = options.embedding_rank
        self.saturation = options.saturation
        self.neighbours = min(options.neighbours, nodes)
        self.source = nn.Parameter(torch.randn(nodes, rank))
        self.target = nn.Parameter(torch.randn(nodes, rank))
        self.source_projection = nn.Linear(rank, rank)
        self.target_projection = nn.Linear(rank, rank)

    def forward(self) -> Tensor:
        """The (N, N) weights of the edges, in [0, 1]."""
        source = torch.tanh(self.saturation * self.source_projection(self.source))
        target = torch.tanh(self.saturation * self.target_projection(self.target))
        product = source @ target.T
        scores = product - product.T
        strongest = scores.detach().topk(self.neighbours, dim=1).indices
        mask = torch.zeros_like(scores).scatter_(1, strongest, 1.0)
        return functional.relu(torch.tanh(self.saturation * scores)) * mask


class GatedInception(nn.Module):
    """tanh(f * x) ⊙ σ(g * x), a quarter of each width by a kernel of its own; Equation 12."""

    def __init__(self, width_in: int, width_out: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        # Of each kernel the filters, then the gates.
        width = 2, width_out // len(KERNELS)
        self.weights = nn.ParameterList(torch.empty(*width, width_in, 1, k) for k in KERNELS)
        self.biases = nn.ParameterList(torch.empty(width) for _ in KERNELS)
        for kernel, weight, bias in zip(KERNELS, self.weights, self.biases, strict=True):
            bound = (width_in * kernel) ** -0.5
            nn.init.uniform_(weight, -bound, bound)
            nn.init.uniform_(bias, -bound, bound)

    def forward(self, values: Tensor) -> Tensor:
        """(N, B, T, width_in) to (N, B, T - 6 dilation, width_out)."""
        # A shorter kernel sees the last steps of the longest: with zeros before it, all are one.
        longest = KERNELS[-1]
        padded = [functional.pad(w, (longest - w.shape[-1], 0)) for w in self.weights]
        convolved = functional.conv2d(
            values.permute(0, 3, 1, 2),
            torch.stack(padded, dim=1).flatten(0, 2),
            torch.stack(list(self.biases), dim=1).flatten(),
            dilation=(1, self.dilation),
        )
        value, gate = convolved.permute(0, 2, 3, 1).chunk(2, dim=-1)
        return torch.tanh(value) * torch.sigmoid(gate)


class MixHop(nn.Module):
    """Σ_k W_k h_k + b along and against the edges, with h_k = a x + (1 - a) Â h_(k-1), h_0 = x.

    Written out, it is a sum of powers of Â on x, so that both directions and all hops act in
    one matrix product; Equations 7 to 9.
    """

    def __init__(self, width_in: int, width_out: int, options: MtgnnOptions) -> None:
        super().__init__()
        self.kept = options.kept_share
        hops = options.mix_depth + 1
        bound = (width_in * hops) ** -0.5
        self.weight = uniform(bound, hops, 2, width_in, width_out)
        self.bias = uniform(bound, 2, width_out)

    def forward(self, values: Tensor, graphs: Tensor) -> Tensor:
        """(N, B, T, width_in) to (N, B, T, width_out).

        ``graphs`` (N, 2 mix_depth N) are the first powers of Â of both directions side by side,
        then the second ones, and so on.
        """
        nodes = len(values)
        flat = values.reshape(-1, values.shape[-1])
        # What multiplies Â^j x: (1 - a)^j (W_j + a Σ_(k>j) W_k), each (2, in, out).
        later = self.weight.flip(0).cumsum(0).flip(0) - self.weight
        weights = (self.weight + self.kept * later).unbind()
        own, *others = ((1.0 - self.kept) ** power * each for power, each in enumerate(weights))
        mixed = torch.addmm(self.bias.sum(dim=0), flat, own.sum(dim=0)).view(nodes, -1)
        mixed = torch.addmm(mixed, graphs, terms_of(flat, torch.cat(others), nodes))
        return mixed.view(*values.shape[:-1], -1)


class MtgnnLayer(nn.Module):
    """Gated inception, its skip path, mix-hop propagation, residual path and normalisation."""

    def __init__(self, nodes: int, steps: int, dilation: int, options: MtgnnOptions) -> None:
        super().__init__()
        residual, width = options.residual_channels, options.convolution_channels
        left = steps - (KERNELS[-1] - 1) * dilation
        self.gate = GatedInception(residual, width, dilation)
        self.dropout = nn.Dropout(options.dropout)
        self.skip = nn.Linear(left * width, options.skip_channels)
        self.mix = MixHop(width, residual, options)
        self.norm = nn.LayerNorm([nodes, left, residual])
        # What the published model would use without a graph, and always holds.
        self.without_graph = nn.Linear(width, residual)

    def forward(self, values: Tensor, graphs: Tensor) -> tuple[Tensor, Tensor]:
        """(N, B, T, residual) to (N, B, T - 6 dilation, residual) and (N, B, skip_channels)."""
        gated = self.dropout(self.gate(values))
        skip = self.skip(gated.flatten(2))
        mixed = self.mix(gated, graphs) + values[:, :, -gated.shape[2] :]
        # Copied, since the fused normalisation is several times faster on adjacent values.
        return self.norm(mixed.transpose(0, 1).contiguous()).transpose(0, 1), skip


class Mtgnn(Backbone):
    """The MTGNN forecaster; the given graph is not used.

    A history shorter than the receptive field is padded with zeros before it. Inside, tensors
    are (N, B, T, width), so that a graph acts on one matrix of N rows.
    """

    Options = MtgnnOptions
    optimisation = OptimiserSettings(weight_decay=1e-4, clip_norm=5.0)

    def __init__(self, task: ForecastTask, options: MtgnnOptions) -> None:
        super().__init__(task, options)
        dilations = [options.dilation_growth**layer for layer in range(options.layers)]
        self.receptive_field = 1 + (KERNELS[-1] - 1) * sum(dilations)
        self.missing = max(self.receptive_field - task.history, 0)
        features, skip = task.channels + 2, options.skip_channels
        steps = task.history + self.missing

        self.graph = GraphLearning(task.nodes, options)
        self.start = nn.Linear(features, options.residual_channels)
        # One layer over all steps, the padding kept apart since nothing ever reaches it.
        bound = (steps * features) ** -0.5
        self.first_skip = nn.Linear(task.history * features, skip)
        self.padding_skip = nn.Parameter(torch.empty(skip, self.missing * features))
        for parameter in (self.first_skip.weight, self.first_skip.bias, self.padding_skip):
            nn.init.uniform_(parameter, -bound, bound)
        self.dropout = nn.Dropout(options.dropout)
        self.layers = nn.ModuleList()
        for dilation in dilations:
            self.layers.append(MtgnnLayer(task.nodes, steps, dilation, options))
            steps -= (KERNELS[-1] - 1) * dilation
        self.last_skip = nn.Linear(steps * options.residual_channels, skip)
        self.end = nn.Linear(skip, options.end_channels)
        self.regression = nn.Linear(options.end_channels, task.horizon)

    def forward(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`."""
        values = self.calendar_inputs(inputs, time_of_day, day_of_week).permute(2, 0, 1, 3)
        skip = self.first_skip(self.dropout(values).flatten(2))
        hidden = self.start(functional.pad(values, (0, 0, self.missing, 0)))
        graphs = self._propagations()
        for layer in self.layers:
            hidden, more = layer(hidden, graphs)
            skip = skip + more
        skip = skip + self.last_skip(hidden.flatten(2))
        forecast: Tensor = self.regression(functional.relu(self.end(functional.relu(skip))))
        return forecast.permute(1, 2, 0)

    def _propagations(self) -> Tensor:
        """Powers of D⁻¹(A + I) of the learned graph and of its transpose, side by side."""
        learned = self.graph()
        looped = learned + torch.eye(len(learned), dtype=learned.dtype, device=learned.device)
        directions = [m / m.sum(dim=1, keepdim=True) for m in (looped, looped.T)]
        by_power = zip(*(powers(m, self.options.mix_depth) for m in directions), strict=True)
        return torch.cat([graph for pair in by_power for graph in pair], dim=1)
