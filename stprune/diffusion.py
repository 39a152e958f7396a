"""Values of nodes side by side with their diffusions over a graph, in one product."""

from __future__ import annotations

import torch
from torch import Tensor


def diffuse(values: Tensor, terms: Tensor) -> Tensor:
    """The values and all their diffusions.

    Args:
        values: (N, B, width) float.
        terms: (K N, N) float, the matrices of K diffusions one below the other.

    Returns:
        (N, B, (K + 1) width); the values come first, then the diffusions in their order.
    """
    nodes, batch, width = values.shape
    diffused = (terms @ values.reshape(nodes, -1)).view(-1, nodes, batch, width)
    together = torch.cat([values[:, :, None], diffused.permute(1, 2, 0, 3)], dim=2)
    return together.view(nodes, batch, -1)
