"""Values of nodes side by side with their diffusions over a graph."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def diffuse(values: Tensor, mix: Callable[[Tensor], Tensor]) -> Tensor:
    """The values and all their diffusions.

    Args:
        values: (N, B, width) float.
        mix: (N, columns) to (K N, columns), K diffusions one below the other.

    Returns:
        (N, B, (K + 1) width); the values come first, then the diffusions in their order.
    """
    nodes, batch, width = values.shape
    diffused = mix(values.reshape(nodes, -1)).view(-1, nodes, batch, width)
    together = torch.cat([values[:, :, None], diffused.permute(1, 2, 0, 3)], dim=2)
    return together.view(nodes, batch, -1)
