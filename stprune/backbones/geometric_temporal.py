"""Recurrent layers of PyTorch Geometric Temporal with a linear head.

Paper: Rozemberczki et al., "PyTorch Geometric Temporal: Spatiotemporal Signal Processing with
    Neural Machine Learning Models", arXiv 2104.07788. The layers: GConvGRU and GConvLSTM, Seo
    et al., "Structured Sequence Modeling with Graph Convolutional Recurrent Networks", arXiv
    1612.07659; GC-LSTM, Chen et al., arXiv 1812.04206; T-GCN, Zhao et al., arXiv 1811.05320;
    A3T-GCN, Zhu et al., arXiv 2006.11583.
Venue: CIKM 2021.
Official code: https://github.com/benedekrozemberczki/pytorch_geometric_temporal
Where we differ: graphs are normalised once, not in each convolution of each step, and a batch
    is one graph. The package's A3TGCN starts every step from an empty state, so that its steps
    do not know of each other; `a3tgcn` here hands the state of its T-GCN on and takes the same
    mean of all steps, with learned weights, for the head. The head is one linear layer.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from stprune.backbones.base import Backbone, ForecastTask, OptimiserSettings
from stprune.backbones.layers.geometric_layers import EdgeList, GeometricLayer
from stprune.base.errors import DeclinedError
from stprune.base.schema import StrictModel


class GeometricTemporalOptions(StrictModel):
    """The layer and its sizes."""

    layer: Literal["gconv_gru", "gconv_lstm", "gc_lstm", "tgcn", "a3tgcn"] = Field(
        "gconv_gru", description="Recurrent layer of the package."
    )
    hidden_channels: int = Field(64, ge=1, description="Width of the recurrent state.")
    chebyshev_terms: int = Field(
        3, ge=1, description="Polynomials of the graph; tgcn and a3tgcn have none."
    )
    calendar: bool = Field(True, description="Add the time of day and the weekday to the inputs.")


class GeometricTemporal(Backbone):
    """A recurrent layer of the package as a forecaster.

    Args:
        task: What to forecast.
        options: The layer and its sizes.

    Raises:
        DeclinedError: If torch-geometric-temporal is not installed, or the history is one step.
        DataError: If the graph has negative weights.
    """

    Options: ClassVar[type[StrictModel]] = GeometricTemporalOptions
    optimisation: ClassVar[OptimiserSettings] = OptimiserSettings(
        optimiser="adam", learning_rate=1e-3
    )
    transferable: ClassVar[bool] = True
    edges: EdgeList

    def __init__(self, task: ForecastTask, options: GeometricTemporalOptions) -> None:
        super().__init__(task, options)
        if task.history < 2:
            raise DeclinedError(
                "geometric_temporal: a history of 1 step gives a recurrent layer nothing to"
                " remember; give at least 2"
            )
        entering = task.channels + (2 if options.calendar else 0)
        width = options.hidden_channels
        cell = "tgcn" if options.layer == "a3tgcn" else options.layer
        try:
            self.layer = GeometricLayer(cell, entering, width, options.chebyshev_terms)
        except ImportError as error:
            raise DeclinedError(
                "geometric_temporal: torch-geometric-temporal is not installed; install it with"
                f" `pip install --no-deps torch-geometric-temporal` ({error})"
            ) from None
        self.edges = self.layer.edges(task.adjacency)
        self._known_graphs: dict[str, EdgeList] = {}
        # The start of the package's A3TGCN.
        steps = torch.rand(task.history) if options.layer == "a3tgcn" else None
        self.attention = None if steps is None else nn.Parameter(steps)
        self.regression = nn.Linear(width, task.horizon)

    def forward(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`; N is that of the graph in use."""
        values = inputs
        if self.options.calendar:
            values = self.calendar_inputs(inputs, time_of_day, day_of_week)
        states: Tensor = self.layer(values, self.edges)
        if self.attention is None:
            read = states[:, -1]
        else:
            read = torch.einsum("t,btnw->bnw", self.attention.softmax(dim=0), states)
        forecast: Tensor = self.regression(read)
        return forecast.transpose(1, 2)

    def use_graph(self, name: str, adjacency: Tensor) -> None:
        """See :meth:`Backbone.use_graph`.

        Raises:
            DataError: If the graph has negative weights.
        """
        if name not in self._known_graphs:
            self._known_graphs[name] = self.layer.edges(adjacency)
        self.edges = self._known_graphs[name].to(self.regression.weight)
