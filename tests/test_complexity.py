"""The complexity of a window, by hand and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from stprune.pruning.complexity import SpatialStructure, complexity, edge_list

KINDS: tuple[SpatialStructure, ...] = ("std", "top_nodes", "graph")


def score(
    errors: Tensor,
    mask: Tensor | None = None,
    spatial_weight: float = 1.0,
    temporal_weight: float = 0.0,
    spatial: SpatialStructure = "std",
    adjacency: Tensor | None = None,
) -> list[float]:
    """The complexity of a batch, all observed by default."""
    mask = torch.ones_like(errors, dtype=torch.bool) if mask is None else mask
    weights = {"spatial_weight": spatial_weight, "temporal_weight": temporal_weight}
    edges = None if adjacency is None else edge_list(adjacency)
    values: list[float] = complexity(errors, mask, **weights, spatial=spatial, edges=edges).tolist()
    return values


def test_mean_and_spreads_by_hand() -> None:
    # Nodes' mean errors 2 and 6, steps' mean errors 3 and 5.
    errors = torch.tensor([[[1.0, 5.0], [3.0, 7.0]]])
    assert score(errors, spatial_weight=0.0) == [4.0]
    assert score(errors) == [6.0]
    assert score(errors, spatial_weight=0.0, temporal_weight=1.0) == [5.0]
    assert score(errors, spatial_weight=0.5, temporal_weight=3.0) == [8.0]
    # Without observed targets, and with a single node, there is no structure.
    for kind in KINDS:
        nothing = torch.zeros(1, 2, 2, dtype=torch.bool)
        assert score(errors * 0, nothing, 1.0, 1.0, kind, torch.ones(2, 2)) == [0.0]
        alone = torch.tensor([[[2.0], [2.0]]])
        assert score(alone, None, 5.0, 5.0, kind, torch.ones(1, 1)) == [2.0]


def test_the_worst_nodes_are_five_in_a_hundred() -> None:
    errors = torch.arange(140.0).reshape(1, 1, 140)
    # Exactly 7 of 140 nodes, 133 to 139, although 0.05 * 140 is a little above 7.
    assert score(errors, spatial="top_nodes") == [136.0]
    # Where fewer were observed than are asked for, those are taken: 138 alone.
    mask = (torch.arange(140) == 138).view(1, 1, 140)
    assert score(errors * mask, mask, spatial="top_nodes") == [138.0]


def plain(
    errors: NDArray[np.float64],
    mask: NDArray[np.bool_],
    kind: SpatialStructure,
    adjacency: NDArray[np.float64],
) -> tuple[float, float, float]:
    """m, S and T of one window, one node and step at a time."""
    nodes = errors.shape[1]
    by_node = {v: errors[mask[:, v], v].mean() for v in range(nodes) if mask[:, v].any()}
    by_step = [errors[h, mask[h]].mean() for h in range(len(errors)) if mask[h].any()]
    if not by_node:
        return 0.0, 0.0, 0.0
    mean = float(np.mean(list(by_node.values())))
    temporal = float(np.std(by_step))
    if kind == "std":
        return mean, float(np.std(list(by_node.values()))), temporal
    if kind == "top_nodes":
        count = -(-nodes // 20)
        return mean, float(np.mean(sorted(by_node.values())[-count:])) - mean, temporal
    pairs = [
        (adjacency[u, v], (by_node[u] - by_node[v]) ** 2)
        for u in by_node
        for v in by_node
        if u != v and adjacency[u, v] > 0
    ]
    total = sum(weight for weight, _ in pairs)
    square = sum(weight * square for weight, square in pairs)
    return mean, float(np.sqrt(square / total)) if pairs else 0.0, temporal


@given(
    seed=st.integers(0, 2**32 - 1),
    nodes=st.sampled_from([1, 2, 5, 20, 41]),
    missing=st.sampled_from([0.0, 0.3, 0.8, 1.0]),
    edges=st.sampled_from([0.0, 0.2, 1.0]),
    kind=st.sampled_from(KINDS),
)
def test_it_equals_a_plain_loop(
    seed: int, nodes: int, missing: float, edges: float, kind: SpatialStructure
) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((3, 4, nodes)) >= missing
    errors = rng.exponential(10.0, mask.shape) * mask
    adjacency = rng.random((nodes, nodes)) * (rng.random((nodes, nodes)) < edges)
    arrays = torch.from_numpy(errors), torch.from_numpy(mask)
    found = score(*arrays, 0.7, 1.9, kind, torch.from_numpy(adjacency))
    for window, value in enumerate(found):
        mean, spatial, temporal = plain(errors[window], mask[window], kind, adjacency)
        assert value == pytest.approx(mean + 0.7 * spatial + 1.9 * temporal, rel=1e-9, abs=1e-12)
