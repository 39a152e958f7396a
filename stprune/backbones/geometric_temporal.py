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

import importlib
import importlib.util
import sys
import warnings
from types import ModuleType
from typing import Any, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from stprune.backbones.base import Backbone, ForecastTask
from stprune.backbones.layers.graph import checked_weights, scaled_laplacian
from stprune.base.errors import DeclinedError
from stprune.base.schema import StrictModel


class GeometricTemporalOptions(StrictModel):
    """The layer and its sizes."""

    layer: Literal["gconv_gru", "gconv_lstm", "gc_lstm", "tgcn", "a3tgcn"] = Field(
        "gconv_gru", description="Recurrent layer of the package."
    )
    hidden_channels: int = Field(64, ge=1, description="Width of the recurrent state.")
    chebyshev_terms: int = Field(3, ge=1, description="Polynomials of the graph; none for `tgcn`.")
    calendar: bool = Field(True, description="Add the time of day and the weekday to the inputs.")


CELLS = {"gconv_gru": "GConvGRU", "gconv_lstm": "GConvLSTM", "gc_lstm": "GCLSTM"}
CELLS |= {"tgcn": "TGCN", "a3tgcn": "TGCN"}


def import_geometric_temporal() -> ModuleType:
    """Import ``torch_geometric_temporal``, with or without torch-sparse.

    Version 0.56 only asks whether an object is a ``SparseTensor``, and many machines would have to
    compile torch-sparse. So an empty class of that name stands in while it is imported.
    """
    name = "torch_geometric_temporal"
    if name in sys.modules:
        return sys.modules[name]
    lend = importlib.util.find_spec("torch_sparse") is None
    try:
        with warnings.catch_warnings():
            # Deprecations inside other people's packages are not ours to act on.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            if lend:
                # PyTorch Geometric looks for torch-sparse itself and must not find the stand-in.
                importlib.import_module("torch_geometric.typing")
                stand_in = ModuleType("torch_sparse")
                stand_in.SparseTensor = type("SparseTensor", (), {})  # type: ignore[attr-defined]
                sys.modules["torch_sparse"] = stand_in
            return importlib.import_module(name)
    finally:
        if lend:
            sys.modules.pop("torch_sparse", None)


class EdgeList(nn.Module):
    """The edges of a matrix (N, N), for any number of copies side by side.

    Entry (i, j) is what node j takes of node i, 0 for no edge.
    """

    index: Tensor
    weight: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        index = matrix.nonzero().T.contiguous()
        self.nodes = len(matrix)
        self.register_buffer("index", index, persistent=False)
        self.register_buffer("weight", matrix[index[0], index[1]], persistent=False)

    def copies(self, count: int) -> tuple[Tensor, Tensor]:
        """Edges of ``count`` copies, node n of copy b being b N + n: (2, count E) and (count E)."""
        offsets = torch.arange(count, device=self.index.device)[:, None] * self.nodes
        return (self.index[:, None, :] + offsets).flatten(1), self.weight.repeat(count)


def _take_edges_as_given(cell: nn.Module) -> None:
    """Let the convolutions of a cell that has just been made not normalise their edges."""
    from torch_geometric.nn import ChebConv, GCNConv

    for child in cell.children():
        if isinstance(child, ChebConv):
            child.__norm__ = _edges_as_given
            for _ in range(2):  # as making it anew did: draws are part of the start of every model
                child.reset_parameters()
        elif isinstance(child, GCNConv):
            cast(Any, child).normalize = False


def _edges_as_given(index: Tensor, _nodes: int, weight: Tensor, *_: Any, **__: Any) -> Any:
    """The entries of a scaled Laplacian, for a convolution that would make one of a graph."""
    return index, weight


class GeometricTemporal(Backbone):
    """A recurrent layer of the package; the windows of a batch are copies of the graph."""

    Options = GeometricTemporalOptions
    transferable = True
    graph_form: EdgeList

    def __init__(self, task: ForecastTask, options: GeometricTemporalOptions) -> None:
        super().__init__(task, options)
        if task.history < 2:
            raise DeclinedError(
                "geometric_temporal: recurrence needs a history of at least 2 steps"
            )
        try:
            recurrent = import_geometric_temporal().nn.recurrent
        except ImportError as error:
            advice = "`pip install --no-deps torch-geometric-temporal` installs what is missing"
            raise DeclinedError(f"geometric_temporal: {advice} ({error})") from None
        width, layer = options.hidden_channels, options.layer
        self.chebyshev = not layer.endswith("tgcn")
        self.states = 2 if layer.endswith("lstm") else 1
        terms = (options.chebyshev_terms,) if self.chebyshev else ()
        features = task.channels + 2 * options.calendar
        self.cell = getattr(recurrent, CELLS[layer])(features, width, *terms)
        _take_edges_as_given(self.cell)
        self.graph_form = self.derive_graph(task.adjacency)
        # The start of the package's A3TGCN.
        steps = torch.rand(task.history) if layer == "a3tgcn" else None
        self.attention = None if steps is None else nn.Parameter(steps)
        self.regression = nn.Linear(width, task.horizon)

    def forward(self, inputs: Tensor, time_of_day: Tensor, day_of_week: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`; N is that of the graph in use."""
        values = self.calendar_inputs(inputs, time_of_day, day_of_week)
        batch, steps, nodes, channels = values.shape
        index, weight = self.graph_form.copies(batch)
        # Zeros of our own, since the package makes float32 ones.
        states = (values.new_zeros(batch * nodes, self.options.hidden_channels),) * self.states
        hidden = []
        for step in values.transpose(0, 1).reshape(steps, batch * nodes, channels):
            result = self.cell(step, index, weight, *states)
            states = result if isinstance(result, tuple) else (result,)
            hidden.append(states[0])
        read = hidden[-1]
        if self.attention is not None:
            read = torch.einsum("t,trw->rw", self.attention.softmax(dim=0), torch.stack(hidden))
        forecast: Tensor = self.regression(read.view(batch, nodes, -1))
        return forecast.transpose(1, 2)

    def derive_graph(self, adjacency: Tensor) -> EdgeList:
        """The scaled Laplacian of max(A, Aᵀ) for Chebyshev polynomials, else the propagation.

        That is D^(-1/2) (A + I) D^(-1/2) with D the column sums of A + I (Kipf and Welling 2017); a
        self-loop takes the place of the added one.
        """
        if self.chebyshev:
            return EdgeList(scaled_laplacian(adjacency))
        weights = checked_weights(adjacency)
        weights = weights + torch.diag(torch.where(weights.diagonal() == 0, 1.0, 0.0))
        scale = weights.sum(dim=0).rsqrt()
        return EdgeList((scale[:, None] * weights * scale).to(adjacency.dtype))
