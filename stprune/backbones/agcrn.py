"""AGCRN: gated recurrent units with weights of each node's own, on a learned graph.

Paper: Bai et al., "Adaptive Graph Convolutional Recurrent Network for Traffic Forecasting",
    arXiv 2007.02842.
Venue: NeurIPS 2020.
Official code: https://github.com/LeiBAI/AGCRN
Where we differ: the time of day and the weekday are inputs too, as in LargeST (NeurIPS 2023);
    `calendar: false` is the official input. The weights of all nodes are made once a forecast,
    not anew at each step, and all steps of what enters a layer are convolved at once.
"""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stprune.backbones.base import Backbone, ForecastTask, OptimiserSettings
from stprune.backbones.layers.graph import diffuse, gated_states
from stprune.base.schema import StrictModel


class AgcrnOptions(StrictModel):
    """Sizes of AGCRN."""

    hidden_channels: int = Field(64, ge=1, description="Width of the recurrent state.")
    layers: int = Field(2, ge=1, description="Recurrent layers.")
    embedding_width: int = Field(10, ge=1, description="Width of the node embedding.")
    chebyshev_terms: int = Field(2, ge=2, description="Polynomials of the graph convolution.")
    calendar: bool = Field(True, description="Add the time of day and the weekday to the inputs.")


class NodeAdaptiveGru(nn.Module):
    """A gated recurrent unit whose weights are mixed for each node from a pool; Equation 6.

    The weights of an input and of the state are kept apart, so that a whole sequence of inputs
    can be convolved at once. Columns are the two gates (z, r) and the candidate; ``terms`` are
    the K polynomials of the graph with the identity, ``embedding`` is the node embedding's width.
    """

    def __init__(self, width_in: int, width: int, terms: int, embedding: int) -> None:
        super().__init__()
        self.input_pool = nn.Parameter(torch.empty(embedding, terms * width_in, 3 * width))
        self.gate_pool = nn.Parameter(torch.empty(embedding, terms * width, 2 * width))
        self.candidate_pool = nn.Parameter(torch.empty(embedding, terms * width, width))
        self.bias_pool = nn.Parameter(torch.empty(embedding, 3 * width))
        # The published start is Glorot's on (embedding, terms, channels, columns), and on the
        # biases; gates and candidate are two such tensors.
        gates, last = slice(2 * width), slice(2 * width, None)
        for columns, state_pool in ((gates, self.gate_pool), (last, self.candidate_pool)):
            count = state_pool.shape[-1]
            bound = (6 / ((terms + embedding) * (width_in + width) * count)) ** 0.5
            bias_bound = (6 / (embedding + count)) ** 0.5
            with torch.no_grad():
                self.input_pool[..., columns].uniform_(-bound, bound)
                state_pool.uniform_(-bound, bound)
                self.bias_pool[:, columns].uniform_(-bias_bound, bias_bound)

    def forward(self, sequence: Tensor, graph: Tensor, embedding: Tensor) -> Tensor:
        """All states: (N, T, B, width_in) to (N, T, B, width).

        ``graph`` is ((K - 1) N, N), the polynomials after the identity, one below the other;
        ``embedding`` is (N, embedding).
        """
        nodes, steps, batch, _ = sequence.shape
        flat = diffuse(sequence.reshape(nodes, steps * batch, -1), graph.mm)
        bias = (embedding @ self.bias_pool)[:, None]
        convolved = torch.baddbmm(bias, flat, _mix(embedding, self.input_pool))
        states = gated_states(
            convolved.view(nodes, steps, batch, -1),
            (_mix(embedding, self.gate_pool), _mix(embedding, self.candidate_pool)),
            lambda values, own, more: torch.baddbmm(more, diffuse(values, graph.mm), own),
        )
        return torch.stack(states, dim=1)


class Agcrn(Backbone):
    """AGCRN on tensors (N, T, B, width), so that a node's weights act on one matrix; no graph."""

    Options = AgcrnOptions
    optimisation = OptimiserSettings(learning_rate=3e-3)

    def __init__(self, task: ForecastTask, options: AgcrnOptions) -> None:
        super().__init__(task, options)
        width, rank = options.hidden_channels, options.embedding_width
        self.embedding = nn.Parameter(torch.empty(task.nodes, rank))
        nn.init.xavier_uniform_(self.embedding)
        widths = [task.channels + 2 * options.calendar] + [width] * (options.layers - 1)
        self.recurrent = nn.ModuleList(
            NodeAdaptiveGru(width_in, width, options.chebyshev_terms, rank) for width_in in widths
        )
        self.regression = nn.Linear(width, task.horizon)
        # Glorot's bound on the published (horizon, 1, 1, width) kernel.
        bound = (6 / (width + task.horizon * width)) ** 0.5
        nn.init.uniform_(self.regression.weight, -bound, bound)
        nn.init.uniform_(self.regression.bias)

    def forward(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`."""
        values = self.calendar_inputs(inputs, time_of_day, day_of_week)
        hidden, graph = values.permute(2, 1, 0, 3), self._learned_graph()
        for layer in self.recurrent:
            hidden = layer(hidden, graph, self.embedding)
        forecast: Tensor = self.regression(hidden[:, -1])
        return forecast.permute(1, 2, 0)

    def _learned_graph(self) -> Tensor:
        """T_1 ... T_(K-1) of softmax(relu(E Eᵀ)), one below the other; Equation 5."""
        learned = functional.relu(self.embedding @ self.embedding.T).softmax(dim=1)
        polynomials = [torch.eye(len(learned), dtype=learned.dtype, device=learned.device), learned]
        while len(polynomials) < self.options.chebyshev_terms:
            polynomials.append(2 * learned @ polynomials[-1] - polynomials[-2])
        return torch.cat(polynomials[1:])


def _mix(embedding: Tensor, pool: Tensor) -> Tensor:
    """Each node's weights: (N, d) and (d, in, out) to (N, in, out)."""
    return (embedding @ pool.flatten(1)).view(-1, *pool.shape[1:])
