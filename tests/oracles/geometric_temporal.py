"""The cells of PyTorch Geometric Temporal as they are: window by window, normalising themselves."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from stprune.backbones.geometric_temporal import CELLS, import_geometric_temporal
from stprune.backbones.layers.graph import symmetric_laplacian

from . import linear


def of_window(model: Any, window: Tensor) -> Tensor:
    graph = model.task.adjacency
    options, nodes = model.options, len(graph)
    terms: tuple[int, ...] = ()
    more: dict[str, Any] = {}
    if not options.layer.endswith("tgcn"):
        terms = (options.chebyshev_terms,)
        largest = np.linalg.eigvalsh(symmetric_laplacian(graph).numpy()).max()
        more["lambda_max"] = torch.tensor(float(largest), dtype=torch.float64)
        graph = torch.maximum(graph, graph.T)
    kind = getattr(import_geometric_temporal().nn.recurrent, CELLS[options.layer])
    cell = kind(window.shape[-1], options.hidden_channels, *terms).double()
    weights = dict(model.cell.named_parameters())
    index = graph.nonzero().T
    edge_weight = graph[index[0], index[1]]
    states = [window.new_zeros(nodes, options.hidden_channels)] * model.states
    hidden = []
    for step in window:
        arguments = (step, index, edge_weight, *states)
        result = torch.func.functional_call(cell, weights, arguments, more)
        states = list(result) if isinstance(result, tuple) else [result]
        hidden.append(states[0])
    if model.attention is None:
        return linear(hidden[-1], model.regression).T
    share = torch.exp(model.attention) / torch.exp(model.attention).sum()
    return linear(torch.einsum("t,tnw->nw", share, torch.stack(hidden)), model.regression).T
