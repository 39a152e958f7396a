"""DCRNN: an encoder and a decoder of gated recurrent units that diffuse over the graph.

Paper: Li, Yu, Shahabi and Liu, "Diffusion Convolutional Recurrent Neural Network: Data-Driven
    Traffic Forecasting", arXiv 1707.01926.
Venue: ICLR 2018.
Official code: https://github.com/liyaguang/DCRNN
Where we differ: the decoder is fed its own forecasts in training too, as it is in evaluation;
    scheduled sampling needs the targets, which a backbone does not see. Powers of a walk are
    Chebyshev terms and mix nodes as Pᵀx, as in the official code (the paper writes powers and
    Px); there the second walk goes on from where the first one stopped, here both start at the
    values. The weekday is an input too, as in LargeST (NeurIPS 2023). Adam's epsilon is the
    usual 1e-8, not 1e-3.
"""

import torch
from pydantic import Field
from torch import Tensor, nn

from stprune.backbones.base import Backbone, ForecastTask, OptimiserSettings
from stprune.backbones.layers.graph import (
    GraphProduct,
    chebyshev_polynomials,
    diffuse,
    double_transition,
    gated_states,
)
from stprune.base.schema import StrictModel


class DcrnnOptions(StrictModel):
    """Sizes of DCRNN."""

    hidden_channels: int = Field(64, ge=1, description="Width of the recurrent state.")
    layers: int = Field(2, ge=1, description="Recurrent layers, of encoder and decoder each.")
    diffusion_steps: int = Field(2, ge=1, description="Largest power of each random walk.")
    calendar: bool = Field(True, description="Add the time of day and the weekday to the inputs.")


class DiffusionGru(nn.Module):
    """A gated recurrent unit whose products are diffusion convolutions; Equations 2 and 3.

    The weights of an input and of the state are kept apart, so that a whole sequence of inputs
    can be convolved at once. Columns are the reset gate, the update gate and the candidate;
    ``terms`` are the K diffusions beside the values themselves.
    """

    def __init__(self, width_in: int, width: int, terms: int) -> None:
        super().__init__()
        self.input_weight = nn.Parameter(torch.empty((terms + 1) * width_in, 3 * width))
        self.gate_weight = nn.Parameter(torch.empty((terms + 1) * width, 2 * width))
        self.candidate_weight = nn.Parameter(torch.empty((terms + 1) * width, width))
        self.bias = nn.Parameter(torch.zeros(3 * width))
        # The published start: each convolution by Glorot, and gates that tend to be open.
        rows = (terms + 1) * (width_in + width)
        gate_bound, candidate_bound = (6 / (rows + 2 * width)) ** 0.5, (6 / (rows + width)) ** 0.5
        with torch.no_grad():
            self.input_weight[:, : 2 * width].uniform_(-gate_bound, gate_bound)
            self.input_weight[:, 2 * width :].uniform_(-candidate_bound, candidate_bound)
            self.gate_weight.uniform_(-gate_bound, gate_bound)
            self.candidate_weight.uniform_(-candidate_bound, candidate_bound)
            self.bias[: 2 * width] = 1.0

    def forward(
        self, values: Tensor, batch: int, state: Tensor | None, terms: GraphProduct
    ) -> list[Tensor]:
        """Inputs of all steps, (N, T B, in), to the state after each, (N, B, width).

        ``state`` is that to begin with, None for zeros; ``terms`` multiplies with (K N, N).
        """
        # What enters a layer is known for all steps, so it is diffused in one product.
        convolved = diffuse(values, terms) @ self.input_weight + self.bias
        return gated_states(
            convolved.view(len(values), -1, batch, convolved.shape[-1]),
            (self.gate_weight, self.candidate_weight),
            lambda values, weight, more: diffuse(values, terms) @ weight + more,
            state,
        )


class Dcrnn(Backbone):
    """The DCRNN forecaster.

    Inside, tensors are (N, B, width), so that a graph acts on one matrix of N rows.
    """

    Options = DcrnnOptions
    optimisation = OptimiserSettings(
        learning_rate=1e-2, clip_norm=5.0, milestones=(20, 30, 40, 50), gamma=0.1
    )
    transferable = True
    graph_form: GraphProduct

    def __init__(self, task: ForecastTask, options: DcrnnOptions) -> None:
        super().__init__(task, options)
        self.graph_form = self.derive_graph(task.adjacency)
        width, count = options.hidden_channels, 2 * options.diffusion_steps

        def stack(width_in: int) -> nn.ModuleList:
            widths = [width_in] + [width] * (options.layers - 1)
            return nn.ModuleList(DiffusionGru(entering, width, count) for entering in widths)

        self.encoder = stack(task.channels + 2 * options.calendar)
        self.decoder = stack(1)
        self.projection = nn.Linear(width, 1, bias=False)
        nn.init.xavier_uniform_(self.projection.weight)

    def forward(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`; N is that of the graph in use."""
        values = self.calendar_inputs(inputs, time_of_day, day_of_week)
        hidden, last, batch = values.permute(2, 1, 0, 3), [], len(values)
        for layer in self.encoder:
            states = layer(hidden.flatten(1, 2), batch, None, self.graph_form)
            hidden = torch.stack(states, dim=1)
            last.append(states[-1])
        # The decoder's first input is zero.
        entering = hidden.new_zeros(len(hidden), batch, 1)
        forecasts = []
        for _ in range(self.task.horizon):
            for number, layer in enumerate(self.decoder):
                (entering,) = layer(entering, batch, last[number], self.graph_form)
                last[number] = entering
            entering = self.projection(entering)
            forecasts.append(entering)
        return torch.cat(forecasts, dim=-1).permute(1, 2, 0)

    def derive_graph(self, adjacency: Tensor) -> GraphProduct:
        """T_1(Pᵀ) to T_K(Pᵀ) of the walk along the edges, then of the one against them."""
        terms = self.options.diffusion_steps + 1
        walks = [
            chebyshev_polynomials(walk.T, terms)[1:].flatten(0, 1)
            for walk in double_transition(adjacency.double())
        ]
        return GraphProduct(torch.cat(walks).to(adjacency.dtype))
