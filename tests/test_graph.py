"""Graph normalisations: numbers worked by hand, invariants, and scipy's Laplacian."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csgraph
from torch import Tensor

from stprune.backbones.layers.graph import (
    chebyshev_polynomials,
    double_transition,
    powers,
    random_walk,
    renormalised_adjacency,
    scaled_laplacian,
    symmetric_laplacian,
)
from stprune.base.errors import DataError


def random_graph(nodes: int, seed: int = 0) -> Tensor:
    """Directed weights in [0, 1), about half of them 0, every node on a ring."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(nodes, nodes, generator=generator, dtype=torch.float64)
    ring = torch.eye(nodes, dtype=torch.float64).roll(1, dims=1)
    return weights * (weights > 0.5) + ring


def test_random_walk_by_hand() -> None:
    adjacency = torch.tensor([[1.0, 3.0, 0.0], [0.0, 0.0, 5.0], [0.0, 0.0, 0.0]])
    expected = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert torch.equal(random_walk(adjacency), expected)


def test_renormalised_adjacency_by_hand() -> None:
    # Undirected it is 3 - 0; with loops the degrees are 4, 4 and 1.
    adjacency = torch.tensor([[7.0, 3.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    expected = torch.tensor([[0.25, 0.75, 0.0], [0.75, 0.25, 0.0], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(renormalised_adjacency(adjacency), expected)


def test_renormalised_adjacency_has_eigenvalues_up_to_one() -> None:
    eigenvalues = torch.linalg.eigvalsh(renormalised_adjacency(random_graph(9)))
    assert eigenvalues.min() > -1
    assert eigenvalues.max().item() == pytest.approx(1)


def test_double_transition_by_hand() -> None:
    adjacency = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 4.0], [0.0, 6.0, 0.0]])
    forward, backward = double_transition(adjacency)
    assert torch.equal(forward, torch.tensor([[0.0, 1, 0], [0, 0, 1], [0, 1, 0]]))
    # Against the edges: nothing enters node 0, node 1 is entered from 0 (2) and 2 (6).
    assert torch.equal(backward, torch.tensor([[0.0, 0, 0], [0.25, 0, 0.75], [0, 1, 0]]))


def test_a_walk_goes_somewhere_from_every_node_with_an_edge() -> None:
    for matrix in double_transition(random_graph(11)):
        torch.testing.assert_close(matrix.sum(dim=1), torch.ones(11, dtype=torch.float64))


def test_symmetric_laplacian_by_hand() -> None:
    """A directed path 0 -> 1 -> 2 with weights 1 and 4, a self-loop, and a node on its own."""
    adjacency = torch.zeros(4, 4)
    adjacency[0, 1], adjacency[1, 2], adjacency[2, 2] = 1.0, 4.0, 9.0
    near, far = -1 / 5**0.5, -4 / 20**0.5
    expected = torch.tensor([[1.0, near, 0, 0], [near, 1, far, 0], [0, far, 1, 0], [0, 0, 0, 1]])
    torch.testing.assert_close(symmetric_laplacian(adjacency), expected)


def test_symmetric_laplacian_is_that_of_scipy() -> None:
    adjacency = random_graph(9)
    undirected = np.maximum(adjacency.numpy(), adjacency.numpy().T)
    expected = csgraph.laplacian(undirected, normed=True)
    np.testing.assert_allclose(symmetric_laplacian(adjacency).numpy(), expected, atol=1e-12)


def test_scaled_laplacian_by_hand() -> None:
    # Two nodes: eigenvalues 0 and 2. Triangle: 0, 3/2, 3/2.
    torch.testing.assert_close(
        scaled_laplacian(torch.tensor([[0.0, 3.0], [0.0, 0.0]])),
        torch.tensor([[0.0, -1.0], [-1.0, 0.0]]),
    )
    expected = torch.full((3, 3), -2 / 3).fill_diagonal_(1 / 3)
    torch.testing.assert_close(scaled_laplacian(torch.ones(3, 3)), expected)


@pytest.mark.parametrize("nodes", [1, 2, 3, 20])
def test_scaled_laplacian_has_spectrum_up_to_one(nodes: int) -> None:
    eigenvalues = np.linalg.eigvalsh(scaled_laplacian(random_graph(nodes)).numpy())
    assert eigenvalues[-1] == pytest.approx(1.0, abs=1e-12)
    assert eigenvalues[0] >= -1.0 - 1e-12


def test_scaled_laplacian_is_the_same_each_time() -> None:
    """The eigenvalue solver must not start at random, or two runs would differ in a last bit."""
    adjacency = random_graph(50)
    first = scaled_laplacian(adjacency)
    assert all(torch.equal(scaled_laplacian(adjacency), first) for _ in range(5))


def test_graph_without_edges() -> None:
    nothing = torch.zeros(5, 5)
    assert torch.equal(random_walk(nothing), nothing)
    assert torch.equal(symmetric_laplacian(nothing), torch.eye(5))
    torch.testing.assert_close(scaled_laplacian(nothing), torch.eye(5))


def test_chebyshev_polynomials_are_cosines() -> None:
    """T_k(cos x) = cos(k x), for eigenvalues and so for matrices that share eigenvectors."""
    angles = torch.tensor([0.1, 1.0, 2.5], dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    basis = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))[0]
    matrix = basis @ torch.diag(angles.cos()) @ basis.T
    polynomials = chebyshev_polynomials(matrix, 5)
    assert polynomials.shape == (5, 3, 3)
    for k, polynomial in enumerate(polynomials):
        torch.testing.assert_close(polynomial, basis @ torch.diag((k * angles).cos()) @ basis.T)


@pytest.mark.parametrize("count", [1, 2])
def test_few_chebyshev_polynomials(count: int) -> None:
    matrix = torch.tensor([[2.0, 1.0], [0.0, 3.0]])
    expected = torch.stack([torch.eye(2), matrix])[:count]
    assert torch.equal(chebyshev_polynomials(matrix, count), expected)


def test_powers_by_hand() -> None:
    matrix = torch.tensor([[0.0, 2.0], [1.0, 0.0]])
    first, second, third = powers(matrix, 3)
    assert torch.equal(first, matrix)
    assert torch.equal(second, torch.tensor([[2.0, 0.0], [0.0, 2.0]]))
    assert torch.equal(third, 2 * matrix)


def test_the_adjacency_is_left_alone() -> None:
    adjacency = random_graph(6).fill_diagonal_(1.0)
    before = adjacency.clone()
    double_transition(adjacency)
    scaled_laplacian(adjacency)
    assert torch.equal(adjacency, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_have_the_dtype_of_the_graph(dtype: torch.dtype) -> None:
    adjacency = random_graph(4).to(dtype)
    results = [*double_transition(adjacency), scaled_laplacian(adjacency)]
    results.append(chebyshev_polynomials(adjacency, 3))
    assert {result.dtype for result in results} == {dtype}


def test_weights_that_are_none_are_refused_with_their_place() -> None:
    adjacency = torch.ones(3, 3)
    adjacency[1, 2] = -0.5
    with pytest.raises(DataError, match=r"weight -0\.5 at row 1, column 2"):
        random_walk(adjacency)
    adjacency[1, 2] = torch.nan
    with pytest.raises(DataError, match="weight nan at row 1, column 2"):
        scaled_laplacian(adjacency)
    with pytest.raises(DataError, match=r"square matrix, got shape \(2, 3\)"):
        double_transition(torch.ones(2, 3))
