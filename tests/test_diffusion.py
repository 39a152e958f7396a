"""Diffusions of nodes' values side by side."""

from __future__ import annotations

import torch

from stprune.backbones.layers.diffusion import diffuse
from stprune.backbones.layers.graph_product import GraphProduct


def test_side_by_side() -> None:
    """Two nodes, one window, two channels; two diffusions: a swap, and a doubling."""
    terms = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    values = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])
    expected = [[[1, 2, 3, 4, 2, 4]], [[3, 4, 1, 2, 6, 8]]]
    assert diffuse(values, GraphProduct(terms)).tolist() == expected
    assert diffuse(values, terms.mm).tolist() == expected
