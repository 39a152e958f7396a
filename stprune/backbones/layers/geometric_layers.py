"""Recurrent layers of PyTorch Geometric Temporal as batched forecasters on one graph.

The layers take one graph and normalise it anew in each convolution of each step. Here the
(N, N) adjacency becomes a normalised edge list once; the windows of a batch are copies of it
side by side in one graph, whose edge list is kept for each size of a batch; and the layers'
convolutions take the edges as they are given.

Version 0.56 has other layers that are not offered: its DCRNN weighs edges by degrees alone and
is not a number where no edge enters a node, its AGCRN mixes the weights of all nodes anew at
each step (we have both as backbones of our own), EvolveGCN sees the last step only or pools over
all windows of a batch, and DyGrEncoder cannot take a single node.
"""

from __future__ import annotations

import functools
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from stprune.backbones.layers.geometric_temporal import import_geometric_temporal
from stprune.backbones.layers.graph import scaled_laplacian
from stprune.base.errors import DataError

LayerName = Literal["gconv_gru", "gconv_lstm", "gc_lstm", "tgcn"]
CELLS: dict[LayerName, str] = {
    "gconv_gru": "GConvGRU",
    "gconv_lstm": "GConvLSTM",
    "gc_lstm": "GCLSTM",
    "tgcn": "TGCN",
}
KEPT_SIZES = 4


def gcn_propagation(adjacency: Tensor) -> Tensor:
    """D^(-1/2) (A + I) D^(-1/2) with D the column sums of A + I (Kipf and Welling 2017).

    A self-loop of the graph takes the place of the added one.

    Args:
        adjacency: (N, N) float, weights of at least 0.

    Returns:
        (N, N) float; as in A, a row is where an edge begins.

    Raises:
        DataError: If a weight is negative or not finite.
    """
    weights = adjacency.double()
    if not bool((torch.isfinite(weights) & (weights >= 0)).all()):
        raise DataError("the graph has weights that are not finite and at least 0")
    own = weights.diagonal()
    weights = weights + torch.diag(torch.where(own == 0, 1.0, 0.0))
    scale = weights.sum(dim=0).rsqrt()
    return (scale[:, None] * weights * scale[None, :]).to(adjacency.dtype)


class EdgeList(nn.Module):
    """The edges of a matrix, for any number of copies side by side.

    Args:
        matrix: (N, N) float; entry (i, j) is what node j takes of node i, 0 for no edge.
    """

    index: Tensor
    weight: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        index = matrix.nonzero().T.contiguous()
        self.nodes = len(matrix)
        self.register_buffer("index", index, persistent=False)
        self.register_buffer("weight", matrix[index[0], index[1]], persistent=False)
        self._kept: dict[tuple[int, torch.dtype, torch.device], tuple[Tensor, Tensor]] = {}

    def copies(self, count: int) -> tuple[Tensor, Tensor]:
        """Edges of ``count`` copies, node n of copy b being b N + n.

        Returns:
            (2, count E) int64 and (count E) float.
        """
        key = (count, self.weight.dtype, self.weight.device)
        if key not in self._kept:
            if len(self._kept) >= KEPT_SIZES:
                del self._kept[next(iter(self._kept))]
            offsets = torch.arange(count, device=self.index.device)[:, None] * self.nodes
            index = (self.index[:, None, :] + offsets).flatten(1)
            self._kept[key] = index, self.weight.repeat(count)
        return self._kept[key]


class GeometricLayer(nn.Module):
    """A recurrent layer of the package, run over all steps of a batch of windows.

    Args:
        layer: Which one.
        width_in: Channels of the input.
        width: Channels of the state.
        chebyshev_terms: Polynomials of the graph, for the layers that have them.

    Raises:
        ImportError: If the package is not installed.
    """

    def __init__(self, layer: LayerName, width_in: int, width: int, chebyshev_terms: int) -> None:
        super().__init__()
        recurrent = import_geometric_temporal().nn.recurrent
        self.width = width
        self.chebyshev = layer != "tgcn"
        self.states = 2 if layer.endswith("lstm") else 1
        terms = (chebyshev_terms,) if self.chebyshev else ()
        cell: nn.Module = getattr(recurrent, CELLS[layer])(width_in, width, *terms)
        _take_edges_as_given(cell)
        self.cell = cell

    def edges(self, adjacency: Tensor) -> EdgeList:
        """What the layer's convolutions mix nodes with, from an (N, N) adjacency.

        For a layer with Chebyshev polynomials the scaled Laplacian of max(A, Aᵀ), else the
        propagation of a graph convolutional network along the directed edges.

        Raises:
            DataError: If the graph has negative weights.
        """
        prepare = scaled_laplacian if self.chebyshev else gcn_propagation
        return EdgeList(prepare(adjacency))

    def forward(self, sequence: Tensor, edges: EdgeList) -> Tensor:
        """Run over all steps from a state of zeros.

        Args:
            sequence: (B, T, N, width_in).
            edges: See :meth:`edges`; their nodes are N.

        Returns:
            (B, T, N, width), the states.
        """
        batch, steps, nodes, channels = sequence.shape
        index, weight = edges.copies(batch)
        # Zeros of our own, since the package makes float32 ones.
        states = (sequence.new_zeros(batch * nodes, self.width),) * self.states
        hidden = []
        for step in sequence.transpose(0, 1).reshape(steps, batch * nodes, channels):
            result = self.cell(step, index, weight, *states)
            states = result if isinstance(result, tuple) else (result,)
            hidden.append(states[0])
        return torch.stack(hidden).view(steps, batch, nodes, -1).transpose(0, 1)


def _take_edges_as_given(cell: nn.Module) -> None:
    """Let the convolutions of a cell that has just been made not normalise their edges."""
    from torch_geometric.nn import ChebConv, GCNConv

    for name, child in list(cell.named_children()):
        if isinstance(child, ChebConv):
            sizes = child.in_channels, child.out_channels, len(child.lins)
            setattr(cell, name, _prepared_chebyshev()(*sizes))
        elif isinstance(child, GCNConv):
            cast(Any, child).normalize = False


@functools.cache
def _prepared_chebyshev() -> Any:
    """A Chebyshev convolution that takes the entries of a scaled Laplacian for a graph."""
    from torch_geometric.nn import ChebConv

    class PreparedChebConv(ChebConv):  # type: ignore[misc]
        def __norm__(
            self, edge_index: Tensor, _nodes: int, edge_weight: Tensor, *_args: Any, **_kwargs: Any
        ) -> tuple[Tensor, Tensor]:
            return edge_index, edge_weight

    return PreparedChebConv
