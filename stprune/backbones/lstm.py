"""LSTM: one recurrent network for all nodes, each node for itself.

Paper: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9 (8); as a
    forecaster with the sizes of Liu et al., "LargeST", arXiv 2306.08259.
Venue: Neural Computation 1997; NeurIPS 2023 (Datasets and Benchmarks).
Official code: https://github.com/liuxu77/LargeST
Where we differ: nothing in what is computed; time goes first in memory, which is how the network
    reads it, and dropout between layers is left out where there is one layer.
"""

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stprune.backbones.base import Backbone, ForecastTask, OptimiserSettings
from stprune.base.schema import StrictModel


class LstmOptions(StrictModel):
    """Sizes of the LSTM of LargeST."""

    input_width: int = Field(32, ge=1, description="Width of an embedded step.")
    hidden_width: int = Field(64, ge=1, description="Width of the state.")
    output_width: int = Field(512, ge=1, description="Width of the layer before the forecast.")
    layers: int = Field(2, ge=1, description="Recurrent layers.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Share dropped between layers.")


class Lstm(Backbone):
    """The LSTM forecaster; it uses no graph."""

    Options = LstmOptions
    optimisation = OptimiserSettings(weight_decay=1e-4, clip_norm=5.0)
    transferable = True

    def __init__(self, task: ForecastTask, options: LstmOptions) -> None:
        super().__init__(task, options)
        self.embedding = nn.Linear(task.channels + 2, options.input_width)
        self.recurrence = nn.LSTM(
            options.input_width,
            options.hidden_width,
            options.layers,
            # Between layers only, so a single layer has none (and PyTorch warns if it is given).
            dropout=options.dropout if options.layers > 1 else 0.0,
        )
        self.hidden = nn.Linear(options.hidden_width, options.output_width)
        self.regression = nn.Linear(options.output_width, task.horizon)

    def forward(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`."""
        batch, steps, nodes, _ = inputs.shape
        features = self.calendar_inputs(inputs, time_of_day, day_of_week)
        series = features.transpose(0, 1).reshape(steps, batch * nodes, -1)
        states, _ = self.recurrence(self.embedding(series))
        hidden = functional.relu(self.hidden(states[-1]))
        forecast: Tensor = self.regression(hidden)
        return forecast.view(batch, nodes, -1).transpose(1, 2)
