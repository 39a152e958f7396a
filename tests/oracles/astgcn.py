"""ASTGCN by the paper's equations, window by window and step by step."""

from typing import Any

import torch
from torch import Tensor

from . import linear, normalised, polynomials


def of_window(model: Any, window: Tensor) -> Tensor:
    edges = (model.task.adjacency.numpy() != 0).astype(float)
    terms = polynomials(edges, model.options.chebyshev_terms)
    weight, bias = model.regression.weight[:, :, 0], model.regression.bias
    x = window.permute(1, 2, 0)
    for block in model.blocks:
        x = _block(block, x, terms)
    return torch.einsum("nft,htf->hn", x, weight) + bias[:, None]


def _columns(scores: Tensor) -> Tensor:
    return torch.stack([column.softmax(0) for column in scores.T], dim=1)


def _block(block: Any, x: Tensor, graphs: list[Tensor]) -> Tensor:
    """One window (N, F, T) through one block."""
    temporal, spatial, steps = block.temporal_attention, block.spatial_attention, x.shape[2]
    left = torch.einsum("nft,n->tf", x, temporal.summing) @ temporal.mixing
    right = torch.einsum("f,nft->nt", temporal.channel_weight, x)
    scores = torch.sigmoid(left @ right + temporal.bias[0])
    between = _columns(temporal.scoring @ scores)
    attended = torch.stack(
        [sum(x[:, :, s] * between[s, t] for s in range(steps)) for t in range(steps)], dim=2
    )
    left = torch.einsum("nft,t->nf", attended, spatial.summing) @ spatial.mixing
    right = torch.einsum("f,nft->tn", spatial.channel_weight, attended)
    scores = torch.sigmoid(left @ right + spatial.bias[0])
    attention = _columns(spatial.scoring @ scores)

    mixed = []
    for t in range(steps):
        terms = [
            (polynomial * attention).T @ x[:, :, t] @ theta
            for polynomial, theta in zip(graphs, block.graph.weight, strict=True)
        ]
        mixed.append(torch.relu(sum(terms)))
    taps, result = block.temporal.weight[:, :, 0], []
    for t in range(steps):
        near = [(tap, t + tap - 1) for tap in range(3) if 0 <= t + tap - 1 < steps]
        convolved = sum(mixed[s] @ taps[:, :, tap].T for tap, s in near)
        hidden = convolved + block.temporal.bias + linear(x[:, :, t], block.residual)
        result.append(normalised(torch.relu(hidden), block.norm.weight, block.norm.bias))
    return torch.stack(result, dim=2)
