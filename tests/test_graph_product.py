"""A product with a fixed graph is the same whether its edges are visited or all entries are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stprune.backbones.layers.graph_product import LARGEST_SPARSE_FILL, GraphProduct


def a_matrix(rows: int, columns: int, fill: float) -> Tensor:
    """Exactly ``fill`` of the entries are not zero; the first row is empty."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.zeros(rows, columns, dtype=torch.float64)
    where = columns + torch.randperm((rows - 1) * columns, generator=generator)
    chosen = where[: round(fill * rows * columns)]
    weights = 0.5 + torch.rand(len(chosen), generator=generator, dtype=torch.float64)
    matrix.view(-1)[chosen] = weights
    return matrix


@pytest.mark.parametrize(
    ("fill", "sparse"), [(0.0, True), (0.02, True), (0.1, True), (0.11, False)]
)
def test_product_and_gradient_are_those_of_the_matrix(fill: float, sparse: bool) -> None:
    matrix = a_matrix(20, 10, fill)
    product = GraphProduct(matrix)
    assert product.sparse == sparse
    values = (
        torch.randn(10, 7, generator=torch.Generator().manual_seed(1)).double().requires_grad_()
    )
    pull = torch.linspace(-1, 1, 140, dtype=torch.float64).view(20, 7)
    result = product(values)
    torch.testing.assert_close(result, matrix @ values, rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(result, values, pull)
    torch.testing.assert_close(gradient, matrix.T @ pull, rtol=0, atol=1e-12)


def test_second_derivatives_exist() -> None:
    product = GraphProduct(a_matrix(20, 10, LARGEST_SPARSE_FILL))
    values = torch.randn(10, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(product, (values,))
    assert torch.autograd.gradgradcheck(product, (values,))


@pytest.mark.parametrize("fill", [0.05, 0.5])
def test_moves_with_the_model_and_stays_out_of_its_state(fill: float) -> None:
    product = GraphProduct(a_matrix(20, 10, fill).float())
    assert not product.state_dict()
    assert product.double()(torch.ones(10, 3, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize("fill", [0.0, 0.1])
def test_values_may_be_a_view_or_narrower(fill: float) -> None:
    """As under autocast: the product is in the matrix's precision, the gradient in theirs."""
    matrix = a_matrix(20, 10, fill).float()
    values = torch.randn(7, 10, generator=torch.Generator().manual_seed(1))
    product = GraphProduct(matrix)
    torch.testing.assert_close(product(values.T), matrix @ values.T)
    narrow = values.T.to(torch.bfloat16).requires_grad_()
    result = product(narrow)
    torch.testing.assert_close(result, matrix @ narrow.float())
    result.sum().backward()
    assert narrow.grad is not None
    assert narrow.grad.dtype == torch.bfloat16
