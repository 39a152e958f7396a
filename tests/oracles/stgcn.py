"""STGCN by the paper's equations: each Chebyshev polynomial of the graph applied for itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from . import Batch, convolved, linear, normalised, polynomials, with_calendar


def forecast(model: Any, batch: Batch) -> Tensor:
    """(B, H, N) of a model in double precision, without dropout."""
    graphs = polynomials(model.task.adjacency.numpy(), model.options.chebyshev_terms)
    x = with_calendar(model, batch)
    for block in model.blocks:
        x = _aligned(_gated(x, block.before), block.graph.align)
        mixed = x + block.graph.bias
        for graph, weight in zip(graphs, block.graph.weight, strict=True):
            mixed = mixed + torch.einsum("ij,btjc,cd->btid", graph, x, weight)
        x = _over_nodes(_gated(torch.relu(mixed), block.after), block.norm)
    last = _over_nodes(_gated(x, model.last), model.norm)[:, 0]
    return linear(torch.relu(linear(last, model.hidden)), model.regression).transpose(1, 2)


def _aligned(x: Tensor, layer: Any) -> Tensor:
    """Projected to fewer channels, or padded with zeros to more."""
    missing = layer.projection.out_features - layer.projection.in_features
    return linear(x, layer.projection) if missing < 0 else functional.pad(x, (0, missing))


def _gated(x: Tensor, layer: Any) -> Tensor:
    """Equation 6, with the input of the last step of each kernel beside P."""
    value, gate = convolved(x, layer.convolution).chunk(2, dim=-1)
    return (value + _aligned(x, layer.align)[:, -value.shape[1] :]) * torch.sigmoid(gate)


def _over_nodes(x: Tensor, norm: Any) -> Tensor:
    """Each step normalised over its nodes and channels together."""
    flat = normalised(x.flatten(2), norm.weight.flatten(), norm.bias.flatten())
    return flat.view(x.shape)
