"""Products with fixed matrices, by few entries or dense, and diffusions side by side."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stprune.diffusion import DENSE_FROM, FixedMatrix, diffuse


def a_matrix(share: float, rows: int = 12, columns: int = 5) -> Tensor:
    """About the given share of entries; the last row and the first column are empty."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    matrix *= torch.rand(rows, columns, generator=generator) < share
    matrix[-1], matrix[:, 0] = 0.0, 0.0
    return matrix


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.9])
def test_product_and_gradient(share: float) -> None:
    matrix = a_matrix(share)
    fixed = FixedMatrix(matrix)
    assert (fixed.matrix is None) == ((matrix != 0).double().mean().item() < DENSE_FROM)
    values = torch.randn(5, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values.requires_grad_()
    torch.testing.assert_close(fixed(values), matrix @ values)
    assert torch.autograd.gradcheck(fixed, (values,))
    assert not fixed.state_dict()


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_other_layouts_and_widths(share: float) -> None:
    """A transposed view, values narrower than the matrix, and a matrix converted later."""
    matrix = a_matrix(share)
    fixed = FixedMatrix(matrix).float()
    single = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(fixed(single.T), matrix.float() @ single.T)
    if fixed.matrix is None:
        narrow = single.T.to(torch.bfloat16).requires_grad_()
        product = fixed(narrow)
        torch.testing.assert_close(product, matrix.float() @ narrow.float())
        product.sum().backward()
        assert narrow.grad is not None
        assert narrow.grad.dtype == torch.bfloat16


def test_side_by_side() -> None:
    """Two nodes, one window, two channels; two diffusions: a swap, and a doubling."""
    terms = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    values = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])
    expected = [[[1, 2, 3, 4, 2, 4]], [[3, 4, 1, 2, 6, 8]]]
    assert diffuse(values, FixedMatrix(terms)).tolist() == expected
    assert diffuse(values, terms.mm).tolist() == expected
