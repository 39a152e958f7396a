"""Values of nodes side by side with their diffusions over a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Above this share of entries a dense product was the faster one (207 nodes, 64 windows).
DENSE_FROM = 0.3


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


class FixedMatrix(nn.Module):
    """Multiplies with a matrix that is not learnt, by its entries if they are few.

    Summing weighted rows takes a time in proportion to the entries; for sensor graphs that was
    some ten times less than a dense product of 170 nodes, and less than one of a CSR tensor.

    Args:
        matrix: (rows, columns) float.
    """

    matrix: Tensor | None

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        sparse = int((matrix != 0).sum()) < DENSE_FROM * matrix.numel()
        # Nothing of this is state: it follows from the graph.
        self.register_buffer("matrix", None if sparse else matrix, persistent=False)
        for name, part in (("row", matrix), ("column", matrix.T)):
            entries = part.nonzero() if sparse else part.new_zeros(0, 2, dtype=torch.int64)
            counts = torch.bincount(entries[:, 0], minlength=len(part))
            starts = functional.pad(counts.cumsum(0), (1, 0))
            self.register_buffer(f"{name}_starts", starts, persistent=False)
            self.register_buffer(f"{name}_index", entries[:, 1].contiguous(), persistent=False)
            self.register_buffer(f"{name}_weight", part[tuple(entries.T)], persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """(columns, width) to (rows, width)."""
        if self.matrix is not None:
            return self.matrix @ values
        by_row = self.row_index, self.row_starts, self.row_weight
        by_column = self.column_index, self.column_starts, self.column_weight
        product: Tensor = _SparseProduct.apply(values, by_row, by_column)  # type: ignore[no-untyped-call]
        return product


class _SparseProduct(torch.autograd.Function):
    """M x by the rows of M, and its gradient Mᵀ g by the columns."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, by_row: Any, by_column: Any) -> Tensor:
        ctx.by_column, ctx.dtype = by_column, values.dtype
        return _weighted_sums(values, *by_row)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _weighted_sums(gradient, *ctx.by_column).to(ctx.dtype), None, None


def _weighted_sums(values: Tensor, index: Tensor, starts: Tensor, weight: Tensor) -> Tensor:
    """Row r is the sum of weight[e] values[index[e]] over e from starts[r] to starts[r + 1]."""
    return functional.embedding_bag(
        index,
        values.to(weight.dtype).contiguous(),  # under autocast the values can be narrower
        starts,
        mode="sum",
        per_sample_weights=weight,
        include_last_offset=True,
    )
