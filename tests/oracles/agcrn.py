"""AGCRN by the paper's equations: one window, one step and one node at a time."""

from typing import Any

import torch
from torch import Tensor

from . import linear


def of_window(model: Any, series: Tensor) -> Tensor:
    width, embedding = model.options.hidden_channels, model.embedding
    graphs = _graphs(embedding, model.options.chebyshev_terms)
    states = [series.new_zeros(series.shape[1], width) for _ in model.recurrent]
    for x in series:
        for number, layer in enumerate(model.recurrent):
            h, columns = states[number], slice(2 * width)
            both = torch.cat([x, h], dim=1)
            gates = _convolve(layer, layer.gate_pool, columns, both, embedding, graphs)
            z, r = torch.sigmoid(gates).chunk(2, dim=1)
            both, columns = torch.cat([x, z * h], dim=1), slice(2 * width, None)
            update = _convolve(layer, layer.candidate_pool, columns, both, embedding, graphs)
            states[number] = x = r * h + (1 - r) * torch.tanh(update)
    return linear(states[-1], model.regression).T


def _graphs(embedding: Tensor, terms: int) -> list[Tensor]:
    """Equation 5, entry by entry, and its Chebyshev polynomials."""
    rows = []
    for own in embedding:
        scores = torch.stack([torch.relu((own * other).sum()) for other in embedding])
        rows.append(torch.exp(scores) / torch.exp(scores).sum())
    graph = torch.stack(rows)
    polynomials = [torch.eye(len(graph), dtype=graph.dtype), graph]
    for _ in range(2, terms):
        polynomials.append(2 * graph @ polynomials[-1] - polynomials[-2])
    return polynomials[:terms]


def _convolve(
    layer: Any, of_state: Tensor, columns: slice, x: Tensor, embedding: Tensor, graphs: list[Tensor]
) -> Tensor:
    """Equation 6 on one window, node by node, with a pool as published: (d, K, in, out)."""
    parts = layer.input_pool[..., columns], of_state
    pools = torch.cat([part.unflatten(1, (len(graphs), -1)) for part in parts], dim=2)
    rows = []
    for node, embedded in enumerate(embedding):
        total = embedded @ layer.bias_pool[:, columns]
        for k, graph in enumerate(graphs):
            own = sum(e * pool[k] for e, pool in zip(embedded, pools, strict=True))
            total = total + (graph[node] @ x) @ own
        rows.append(total)
    return torch.stack(rows)
