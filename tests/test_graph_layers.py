"""Shared layers: graph normalisations and products, attention along an axis, cheap dropout."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stprune.backbones.layers.dropout import DRAW_BITS, Dropout
from stprune.backbones.layers.graph import GraphProduct, random_walk, scaled_laplacian
from stprune.base.errors import DataError


def test_scaled_laplacian_is_the_same_each_time() -> None:
    """The eigenvalue solver must not start at random, or two runs would differ in a last bit."""
    adjacency = torch.rand(50, 50, generator=torch.Generator().manual_seed(0)).double()
    first = scaled_laplacian(adjacency)
    assert all(torch.equal(scaled_laplacian(adjacency), first) for _ in range(5))


@pytest.mark.parametrize("weight", [-0.5, torch.nan])
def test_a_weight_that_is_none_is_refused_with_its_place(weight: float) -> None:
    adjacency = torch.ones(3, 3)
    adjacency[1, 2] = weight
    for form in (random_walk, scaled_laplacian):
        with pytest.raises(DataError, match=r"row 1, column 2"):
            form(adjacency)


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
    values = torch.randn(10, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values.requires_grad_()
    pull = torch.linspace(-1, 1, 140, dtype=torch.float64).view(20, 7)
    result = product(values)
    torch.testing.assert_close(result, matrix @ values, rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(result, values, pull)
    torch.testing.assert_close(gradient, matrix.T @ pull, rtol=0, atol=1e-12)


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


@pytest.mark.parametrize("share", [0.15, 0.3, 0.5])
def test_dropout_meets_its_share_and_draws_each_value_for_itself(share: float) -> None:
    """Four values share a random number: neighbours agree no more often than chance has it."""
    values = torch.full((250_000, 4), 2.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = Dropout(share)(values)
    realised = (dropped == 0).double().mean().item()
    # Five standard deviations.
    assert realised == pytest.approx(share, abs=5 * (share * (1 - share) / values.numel()) ** 0.5)
    kept = 1 - round(share * 2**DRAW_BITS) / 2**DRAW_BITS
    torch.testing.assert_close(dropped.unique(), torch.tensor([0.0, 2.0 / kept]))
    correlation = torch.corrcoef((dropped != 0).double().T) - torch.eye(4, dtype=torch.float64)
    assert correlation.abs().max() < 0.01
