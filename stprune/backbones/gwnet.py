"""Graph WaveNet: dilated gated convolutions in time, diffusion over given and learned graphs.

Paper: Wu et al., "Graph WaveNet for Deep Spatial-Temporal Graph Modeling", arXiv 1906.00121.
Venue: IJCAI 2019.
Official code: https://github.com/nnzhan/Graph-WaveNet
Where we differ: the inputs are those of LargeST (NeurIPS 2023), which adds the weekday. A
    transition matrix P mixes nodes as Pᵀx, which is what the official code does (the paper
    writes Px). Work whose result the official code throws away is not done: skip paths are
    taken at the last step only, and the last layer's graph convolution and normalisation
    keep their parameters but never run.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stprune.backbones.base import Backbone, ForecastTask, OptimiserSettings, uniform
from stprune.backbones.layers.dropout import Dropout
from stprune.backbones.layers.graph import DiffusionConvolution, GraphProduct, powers, walk_powers
from stprune.base.schema import StrictModel

# Parts of LargeST's code that only have another name here.
NAMES = {"bn": "norms", "start_conv": "start", "end_conv_1": "end", "end_conv_2": "regression"}


class GwnetOptions(StrictModel):
    """Sizes of Graph WaveNet."""

    residual_channels: int = Field(32, ge=1, description="Width of the layers.")
    skip_channels: int = Field(256, ge=1, description="Width of the sum of all layers.")
    end_channels: int = Field(512, ge=1, description="Width of the output layer.")
    kernel: int = Field(2, ge=2, description="Steps that a temporal convolution sees.")
    blocks: int = Field(4, ge=1, description="Times that the dilation starts again at 1.")
    layers: int = Field(2, ge=1, description="Layers of a block; each doubles the dilation.")
    diffusion_steps: int = Field(2, ge=1, description="Largest power of each graph.")
    embedding_rank: int = Field(10, ge=1, description="Rank of the learned graph.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Share dropped after a graph mix.")
    self_loops: bool = Field(True, description="Give every node an edge of weight 1 to itself.")
    undirected: bool = Field(
        False, description="Take every edge both ways; `protocol: legacy` does."
    )


class GatedConvolution(nn.Module):
    """tanh(f * x) ⊙ σ(g * x), both convolutions in one; Equation 8."""

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(width, 2 * width, (kernel, 1), dilation=(dilation, 1))

    def forward(self, values: Tensor) -> Tensor:
        """(N, T, B, width) to (N, T - (kernel - 1) dilation, B, width)."""
        # Permuted, not copied: the convolution works on channels-last memory as it stands.
        convolved = self.convolution(values.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        value, gate = convolved.chunk(2, dim=-1)
        return torch.tanh(value) * torch.sigmoid(gate)


class Gwnet(Backbone):
    """Graph WaveNet on tensors (N, T, B, width), so that a graph acts on one matrix of N rows.

    A history longer than the receptive field is cut, a shorter one padded with zeros before it.
    """

    Options = GwnetOptions
    optimisation = OptimiserSettings(weight_decay=1e-4, clip_norm=5.0)
    legacy_options: ClassVar = {"self_loops": False, "undirected": True}

    def __init__(self, task: ForecastTask, options: GwnetOptions) -> None:
        super().__init__(task, options)
        graph = task.adjacency
        graph = torch.maximum(graph, graph.T) if options.undirected else graph
        given = walk_powers(graph, options.diffusion_steps, options.self_loops)
        self.given_graphs = GraphProduct(torch.cat(given, dim=1))
        self.source_embedding = nn.Parameter(torch.randn(task.nodes, options.embedding_rank))
        self.target_embedding = nn.Parameter(torch.randn(options.embedding_rank, task.nodes))

        width = options.residual_channels
        dilations = [2**layer for _ in range(options.blocks) for layer in range(options.layers)]
        self.receptive_field = 1 + (options.kernel - 1) * sum(dilations)
        self.start = nn.Linear(task.channels + 2, width)
        self.gates = nn.ModuleList(GatedConvolution(width, options.kernel, d) for d in dilations)
        # One (skip, width) layer a dilation, side by side, each with a bias as published.
        bound, skip = width**-0.5, options.skip_channels
        self.skip_weight = uniform(bound, skip, len(dilations) * width)
        self.skip_bias = uniform(bound, len(dilations), skip)
        graphs = len(given), options.diffusion_steps
        self.diffusions = nn.ModuleList(DiffusionConvolution(width, *graphs) for _ in dilations)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in dilations)
        self.dropout = Dropout(options.dropout)
        self.end = nn.Linear(options.skip_channels, options.end_channels)
        self.regression = nn.Linear(options.end_channels, task.horizon)

    def forward(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`."""
        values = self.calendar_inputs(inputs, time_of_day, day_of_week)
        values = values[:, -self.receptive_field :].permute(2, 1, 0, 3)
        missing = self.receptive_field - values.shape[1]
        hidden = self.start(functional.pad(values, (0, 0, 0, 0, missing, 0)))

        learned = self._learned_graphs()
        last_steps = []
        for layer, gate in enumerate(self.gates):
            gated = gate(hidden)
            last_steps.append(gated[:, -1])
            if layer + 1 < len(self.gates):
                mixed = self.dropout(self.diffusions[layer](gated, self.given_graphs, learned))
                mixed = mixed + hidden[:, -mixed.shape[1] :]
                hidden = self.norms[layer](mixed.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

        # The sum of all skip paths is one product over their widths side by side.
        skip = functional.linear(
            torch.cat(last_steps, dim=-1), self.skip_weight, self.skip_bias.sum(dim=0)
        )
        forecast: Tensor = self.regression(functional.relu(self.end(functional.relu(skip))))
        return forecast.permute(1, 2, 0)

    @classmethod
    def from_public_weights(cls, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Read LargeST's weights, which keep apart what is one tensor here."""
        layers = range(sum(name.startswith("bn.") and name.endswith(".bias") for name in weights))
        pointwise = {name: w[:, :, 0, 0] if w.ndim == 4 else w for name, w in weights.items()}
        skips = [pointwise[f"skip_convs.{i}.weight"] for i in layers]
        state = {
            "source_embedding": weights["nodevec1"],
            "target_embedding": weights["nodevec2"],
            "skip_weight": torch.cat(skips, dim=1),
            "skip_bias": torch.stack([weights[f"skip_convs.{i}.bias"] for i in layers]),
        }
        for i in layers:
            kernels, state[f"gates.{i}.convolution.bias"] = (
                torch.cat([weights[f"{part}_convs.{i}.{kind}"] for part in ("filter", "gate")])
                for kind in ("weight", "bias")
            )
            # Ours has time before nodes, the public kernel nodes before time.
            state[f"gates.{i}.convolution.weight"] = kernels.transpose(2, 3)
            # (out, terms in) to (terms, in, out).
            mixing = pointwise[f"gconv.{i}.mlp.mlp.weight"]
            mixing = mixing.unflatten(1, (-1, len(mixing))).permute(1, 2, 0)
            state[f"diffusions.{i}.weight"] = mixing
            state[f"diffusions.{i}.bias"] = weights[f"gconv.{i}.mlp.mlp.bias"]
        for name, values in pointwise.items():
            theirs, _, rest = name.partition(".")
            if theirs in NAMES:
                state[f"{NAMES[theirs]}.{rest}"] = values
        return state

    def _learned_graphs(self) -> Tensor:
        """Powers of softmax(relu(E1 E2)), transposed, side by side; Equation 5."""
        scores = functional.relu(self.source_embedding @ self.target_embedding)
        return torch.cat(powers(scores.softmax(dim=1).T, self.options.diffusion_steps), dim=1)
