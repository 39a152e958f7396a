"""AGCRN by the paper's equations: one window, one step and one node at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import Weights, linear


def of_window(model: Any, series: Tensor) -> Tensor:
    options, weights = model.options, _published_pools(model)
    width = options.hidden_channels
    graphs = _graphs(model.embedding, options.chebyshev_terms)
    states = [series.new_zeros(series.shape[1], width) for _ in range(options.layers)]
    for x in series:
        for layer, h in enumerate(states):
            gates = _convolve(model, weights, f"{layer}.gate", torch.cat([x, h], 1), graphs)
            z, r = torch.sigmoid(gates).chunk(2, dim=1)
            both = torch.cat([x, z * h], dim=1)
            candidate = torch.tanh(_convolve(model, weights, f"{layer}.update", both, graphs))
            states[layer] = x = r * h + (1 - r) * candidate
    return linear(states[-1], model.regression).T


def _published_pools(model: Any) -> Weights:
    """Pools as published: (d, K, in + width, columns), of the gates and of the candidate."""
    width, terms = model.options.hidden_channels, model.options.chebyshev_terms
    weights = {}
    for index, layer in enumerate(model.recurrent):
        of_input = layer.input_pool.unflatten(1, (terms, -1))
        for name, columns, of_state in (
            ("gate", slice(2 * width), layer.gate_pool),
            ("update", slice(2 * width, None), layer.candidate_pool),
        ):
            both = [of_input[..., columns], of_state.unflatten(1, (terms, -1))]
            weights[f"{index}.{name}.w"] = torch.cat(both, dim=2)
            weights[f"{index}.{name}.b"] = layer.bias_pool[:, columns]
    return weights


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


def _convolve(model: Any, weights: Weights, name: str, x: Tensor, graphs: list[Tensor]) -> Tensor:
    """Equation 6 on one window, node by node: (N, in) to (N, out)."""
    rows = []
    for node, embedded in enumerate(model.embedding):
        total = embedded @ weights[f"{name}.b"]
        for k, graph in enumerate(graphs):
            own = sum(e * pool[k] for e, pool in zip(embedded, weights[f"{name}.w"], strict=True))
            total = total + (graph[node] @ x) @ own
        rows.append(total)
    return torch.stack(rows)
