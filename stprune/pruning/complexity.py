"""Scores of windows by the structure of their error, not only its mean (ST-Prune; our reading).

The mean error hides a local anomaly among many easy nodes. A score is the mean error plus weighted
measures of how unevenly the error lies over nodes and steps, masked and in the errors' unit.
"""

import math
from typing import Literal

import torch
from torch import Tensor

SpatialStructure = Literal["std", "top_nodes", "graph"]
WORST_NODES = 0.05


def complexity(
    errors: Tensor,
    mask: Tensor,
    *,
    spatial_weight: float,
    temporal_weight: float,
    spatial: SpatialStructure = "std",
    edges: tuple[Tensor, Tensor, Tensor] | None = None,
) -> Tensor:
    """c = m + lambda_s S + lambda_t T of each window.

    S is measured on the nodes' mean errors. `std`: standard deviation over nodes; `top_nodes`: mean
    of the worst 5 % of all nodes (at least one) that were observed, less m; `graph`: root of the
    mean squared difference between observed neighbours, weighted by ``edges``. T is the standard
    deviation of the steps' mean errors. ``errors`` (B, H, N) are absolute, 0 where masked.
    """
    nodes, observed = _masked_mean(errors, mask, dim=1)
    mean = _mean(nodes, observed)
    score = mean
    if spatial_weight:
        if spatial == "std":
            structure = _spread(nodes, observed, mean)
        elif spatial == "top_nodes":
            # 0.05 * 140 is a little above 7 in floating point.
            count = max(1, math.ceil(WORST_NODES * nodes.shape[1] - 1e-9))
            largest = nodes.masked_fill(~observed, -math.inf).topk(count, dim=1).values
            known = largest > -math.inf
            structure = _mean(largest.masked_fill(~known, 0.0), known) - mean
        else:
            assert edges is not None, "the graph score needs edges"  # noqa: S101
            source, target, weight = edges
            both = (observed[:, source] & observed[:, target]) * weight
            squares = (nodes[:, source] - nodes[:, target]).square() * both
            tiny = torch.finfo(nodes.dtype).tiny
            structure = (squares.sum(1) / both.sum(1).clamp(min=tiny)).sqrt()
        score = score + spatial_weight * structure
    if temporal_weight:
        steps, seen = _masked_mean(errors, mask, dim=2)
        score = score + temporal_weight * _spread(steps, seen, _mean(steps, seen))
    return score


def edge_list(adjacency: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(E,) sources, targets and weights of the edges of (N, N) ``adjacency``, loops left out."""
    loops = torch.eye(len(adjacency), dtype=torch.bool, device=adjacency.device)
    source, target = torch.nonzero(adjacency.masked_fill(loops, 0.0), as_tuple=True)
    return source, target, adjacency[source, target]


def _masked_mean(errors: Tensor, mask: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Mean over one axis, and where anything was observed."""
    count = mask.sum(dim)
    return errors.sum(dim) / count.clamp(min=1), count > 0


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean over the last axis, where ``valid``."""
    return (values * valid).sum(-1) / valid.sum(-1).clamp(min=1)


def _spread(values: Tensor, valid: Tensor, mean: Tensor) -> Tensor:
    """Population standard deviation over the last axis, where ``valid``."""
    squares = (values - mean[:, None]).square() * valid
    return (squares.sum(-1) / valid.sum(-1).clamp(min=1)).sqrt()
