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

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stprune.backbones.base import Backbone, ForecastTask, OptimiserSettings
from stprune.backbones.layers.dropout import Dropout
from stprune.backbones.layers.graph import GraphProduct, powers, walk_powers
from stprune.base.schema import StrictModel


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
    self_loops: bool = Field(
        True, description="Give every node an edge of weight 1 to itself, as published graphs have."
    )
    undirected: bool = Field(
        False,
        description="Take every edge both ways. Without self-loops that is the graph of ST-TTC's"
        " release on PEMS08, so `protocol: legacy` does both.",
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


class DiffusionConvolution(nn.Module):
    """x W_0 + Σ_k S_k (x W_k) + b over the powers S_k of all graphs; Equation 7.

    Mixing channels before nodes lets all given graphs act in one matrix product.
    """

    def __init__(self, width: int, graphs: int) -> None:
        super().__init__()
        # The published start is that of one linear layer over all terms.
        bound = (width * (graphs + 1)) ** -0.5
        self.weight = nn.Parameter(torch.empty(graphs + 1, width, width))
        self.bias = nn.Parameter(torch.empty(width))
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, values: Tensor, given: GraphProduct, learned: Tensor) -> Tensor:
        """(N, T, B, width) to the same, by powers of the given graphs and the learned, (N, L N)."""
        nodes, width = values.shape[0], values.shape[-1]
        flat = values.reshape(-1, width)
        learned_count = learned.shape[1] // nodes
        own, by_given, by_learned = self.weight.split(
            [1, len(self.weight) - 1 - learned_count, learned_count]
        )
        # Apart, so that no gradient is computed for the given graphs.
        mixed = torch.addmm(self.bias, flat, own[0]).view(nodes, -1)
        mixed = mixed + given(_terms(flat, by_given, nodes))
        mixed = torch.addmm(mixed, learned, _terms(flat, by_learned, nodes))
        return mixed.view(values.shape)


def _terms(flat: Tensor, weights: Tensor, nodes: int) -> Tensor:
    """x W_k for all k below each other: (rows, width) and (K, width, width) to (K N, rows / N)."""
    count = len(weights)
    return torch.bmm(flat.expand(count, -1, -1), weights).view(count * nodes, -1)


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
        graphs = len(given) + options.diffusion_steps
        self.start = nn.Linear(task.channels + 2, width)
        self.gates = nn.ModuleList(GatedConvolution(width, options.kernel, d) for d in dilations)
        # One (skip, width) layer a dilation, side by side, each with a bias as published.
        self.skip_weight = nn.Parameter(torch.empty(options.skip_channels, len(dilations) * width))
        self.skip_bias = nn.Parameter(torch.empty(len(dilations), options.skip_channels))
        for parameter in (self.skip_weight, self.skip_bias):
            nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)
        self.diffusions = nn.ModuleList(DiffusionConvolution(width, graphs) for _ in dilations)
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
        """Of LargeST's code, which keeps apart what is one tensor here."""
        layers = range(sum(name.startswith("bn.") and name.endswith(".bias") for name in weights))
        pointwise = {name: w[:, :, 0, 0] for name, w in weights.items() if w.ndim == 4}
        state = {
            "source_embedding": weights["nodevec1"],
            "target_embedding": weights["nodevec2"],
            "skip_weight": torch.cat([pointwise[f"skip_convs.{i}.weight"] for i in layers], dim=1),
            "skip_bias": torch.stack([weights[f"skip_convs.{i}.bias"] for i in layers]),
        }
        ends = {"start": "start_conv", "end": "end_conv_1", "regression": "end_conv_2"}
        for ours, theirs in ends.items():
            state[f"{ours}.weight"] = pointwise[f"{theirs}.weight"]
            state[f"{ours}.bias"] = weights[f"{theirs}.bias"]
        for i in layers:
            gate = f"gates.{i}.convolution"
            kernels, biases = (
                torch.cat([weights[f"{part}_convs.{i}.{kind}"] for part in ("filter", "gate")])
                for kind in ("weight", "bias")
            )
            # Ours has time before nodes, the public kernel nodes before time.
            state |= {f"{gate}.weight": kernels.transpose(2, 3), f"{gate}.bias": biases}
            # (out, terms in) to (terms, in, out).
            mixing = pointwise[f"gconv.{i}.mlp.mlp.weight"]
            width = len(mixing)
            state[f"diffusions.{i}.weight"] = mixing.view(width, -1, width).permute(1, 2, 0)
            state[f"diffusions.{i}.bias"] = weights[f"gconv.{i}.mlp.mlp.bias"]
        norms = {name for name in weights if name.startswith("bn.")}
        return state | {name.replace("bn.", "norms.", 1): weights[name] for name in norms}

    def unused_parameters(self) -> frozenset[str]:
        """The last graph convolution and normalisation, which come after the last skip path."""
        last = len(self.gates) - 1
        unused = [f"diffusions.{last}.", f"norms.{last}."]
        if last == 0:
            unused += ["source_embedding", "target_embedding"]
        names = (name for name, _ in self.named_parameters())
        return frozenset(name for name in names if name.startswith(tuple(unused)))

    def _learned_graphs(self) -> Tensor:
        """Powers of softmax(relu(E1 E2)), transposed, side by side; Equation 5."""
        scores = functional.relu(self.source_embedding @ self.target_embedding)
        return torch.cat(powers(scores.softmax(dim=1).T, self.options.diffusion_steps), dim=1)
