"""STTN by its equations: one step, one node and one head at a time."""

import math
from typing import Any

import torch
from torch import Tensor

from . import Batch, batch_normalised, linear, normalised, with_calendar


def forecast(model: Any, batch: Batch) -> Tensor:
    adjacency = model.task.adjacency.clone()
    if model.options.self_loops:
        adjacency.fill_diagonal_(1.0)
    x = linear(with_calendar(model, batch), model.start)
    for block in model.blocks:
        z = torch.stack([_window(block, window, adjacency, model.options) for window in x])
        x = batch_normalised(z, block.norm, model.training) + x
    end = torch.relu(linear(x[:, -1], model.end))
    return linear(end, model.regression).transpose(1, 2)


def _window(block: Any, x: Tensor, adjacency: Tensor, options: Any) -> Tensor:
    """One window (T, N, C) through both transformers of a block."""
    spatial = []
    for step in x:
        placed = step + block.node_embedding
        z = placed + attention(placed, block.node_attention, options.heads)
        z = z + _perceptron(z, block.node_perceptron)
        spatial.append(z + _walks(placed, block.convolution, adjacency, options.diffusion_steps))
    temporal = []
    for node in torch.stack(spatial).unbind(1):
        z = node + block.step_embedding[:, 0]
        kind = (options.causal, options.legacy_softmax)
        z = z + attention(z, block.step_attention, options.heads, *kind)
        temporal.append(z + _perceptron(z, block.step_perceptron))
    return torch.stack(temporal, dim=1)


def attention(
    x: Tensor, layer: Any, heads: int, causal: bool = False, twice: bool = False
) -> Tensor:
    """On the (L, C) tokens of one step or one node."""
    q, k, v = (
        linear(x, part).chunk(heads, dim=1) for part in (layer.query, layer.key, layer.value)
    )
    parts = []
    for query, key, value in zip(q, k, v, strict=True):
        scores = torch.exp(query @ key.T / math.sqrt(query.shape[1]))
        scores = scores.tril() if causal else scores
        share = scores / scores.sum(dim=1, keepdim=True)
        if twice:
            share = torch.exp(share) / torch.exp(share).sum(dim=1, keepdim=True)
        parts.append(share @ value)
    return linear(torch.cat(parts, dim=1), layer.output)


def _perceptron(x: Tensor, layer: Any) -> Tensor:
    """Normalised over channels, then two layers around x Φ(x)."""
    inner = linear(normalised(x, layer.norm.weight, layer.norm.bias), layer.inner)
    return linear(inner * (1 + torch.erf(inner / math.sqrt(2))) / 2, layer.outer)


def _walks(x: Tensor, layer: Any, adjacency: Tensor, order: int) -> Tensor:
    """On the (N, C) values of one step: walks along the edges, then against them."""
    total = x @ layer.weight[0] + layer.bias
    term = 1
    for edges in (adjacency, adjacency.T):
        step = (edges / edges.sum(dim=1, keepdim=True)).T
        walked = x
        for _ in range(order):
            walked = step @ walked
            total = total + walked @ layer.weight[term]
            term += 1
    return total
