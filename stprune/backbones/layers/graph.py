"""Normalised forms of a sensor graph, as pure functions of its (N, N) adjacency.

Row i, column j of an adjacency is the weight of the edge from node i to node j, 0 for none.
All functions compute in float64 and return the dtype of what they were given.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse.linalg import eigsh
from torch import Tensor

from stprune.base.errors import DataError


def random_walk(adjacency: Tensor) -> Tensor:
    """D⁻¹A with D the row sums: the chance of each step of a walk along the edges.

    A node without edges keeps a row of zeros.

    Args:
        adjacency: (N, N) float, weights of at least 0.

    Returns:
        (N, N) float, rows that sum to 1 (or 0).

    Raises:
        DataError: If the adjacency is not square or has a negative or non-finite weight.
    """
    weights = _checked(adjacency)
    return (_inverse(weights.sum(dim=1))[:, None] * weights).to(adjacency.dtype)


def double_transition(adjacency: Tensor) -> tuple[Tensor, Tensor]:
    """Random walks along the edges and against them (DCRNN, Li et al. 2018).

    Args:
        adjacency: (N, N) float, weights of at least 0.

    Returns:
        D⁻¹A with the row sums of A, and the same of the transposed A; each (N, N).

    Raises:
        DataError: As :func:`random_walk`.
    """
    return random_walk(adjacency), random_walk(adjacency.T)


def symmetric_laplacian(adjacency: Tensor) -> Tensor:
    """I - D^(-1/2) A D^(-1/2) of the undirected graph max(A, Aᵀ) without self-loops.

    A node without edges keeps a 1 on the diagonal.

    Args:
        adjacency: (N, N) float, weights of at least 0.

    Returns:
        (N, N) float, symmetric, eigenvalues in [0, 2].

    Raises:
        DataError: As :func:`random_walk`.
    """
    weights = _checked(adjacency)
    weights = torch.maximum(weights, weights.T).fill_diagonal_(0)
    scale = _inverse(weights.sum(dim=1)).sqrt()
    laplacian = torch.eye(len(weights), dtype=torch.float64, device=weights.device)
    laplacian -= scale[:, None] * weights * scale[None, :]
    return laplacian.to(adjacency.dtype)


def renormalised_adjacency(adjacency: Tensor) -> Tensor:
    """D^(-1/2) (max(A, Aᵀ) + I) D^(-1/2), D with the loops: graph convolution of Kipf & Welling.

    A loop of the adjacency itself is replaced by the one of weight 1 that every node gets.

    Args:
        adjacency: (N, N) float, weights of at least 0.

    Returns:
        (N, N) float, symmetric, eigenvalues in (-1, 1].

    Raises:
        DataError: As :func:`random_walk`.
    """
    weights = _checked(adjacency)
    weights = torch.maximum(weights, weights.T).fill_diagonal_(1)
    scale = weights.sum(dim=1).rsqrt()
    return (scale[:, None] * weights * scale[None, :]).to(adjacency.dtype)


def scaled_laplacian(adjacency: Tensor) -> Tensor:
    """2 L / λ_max - I of the symmetric normalised Laplacian (Defferrard et al. 2016).

    Args:
        adjacency: (N, N) float, weights of at least 0.

    Returns:
        (N, N) float, symmetric, eigenvalues in [-1, 1] with 1 the largest.

    Raises:
        DataError: As :func:`random_walk`.
    """
    laplacian = symmetric_laplacian(adjacency.double())
    identity = torch.eye(len(laplacian), dtype=torch.float64, device=laplacian.device)
    return (2.0 / _largest_eigenvalue(laplacian) * laplacian - identity).to(adjacency.dtype)


def chebyshev_polynomials(matrix: Tensor, count: int) -> Tensor:
    """T_0(M) = I, T_1(M) = M, T_k(M) = 2 M T_(k-1)(M) - T_(k-2)(M).

    Args:
        matrix: (N, N) float, normally a scaled Laplacian.
        count: K of at least 1, polynomials to make.

    Returns:
        (K, N, N) float, T_0 to T_(K-1).
    """
    double = matrix.double()
    polynomials = [torch.eye(len(double), dtype=torch.float64, device=double.device), double]
    while len(polynomials) < count:
        polynomials.append(2 * double @ polynomials[-1] - polynomials[-2])
    return torch.stack(polynomials[:count]).to(matrix.dtype)


def powers(matrix: Tensor, order: int) -> list[Tensor]:
    """M, M², ... M^order of an (N, N) matrix; gradients flow through."""
    result = [matrix]
    while len(result) < order:
        result.append(result[-1] @ matrix)
    return result


def _checked(adjacency: Tensor) -> Tensor:
    """The adjacency in float64, if it is one."""
    if adjacency.ndim != 2 or adjacency.shape[0] != adjacency.shape[1]:
        raise DataError(f"a graph must be a square matrix, got shape {tuple(adjacency.shape)}")
    weights = adjacency.double()
    wrong = ~(torch.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row, column = wrong.nonzero()[0].tolist()
        raise DataError(
            f"the graph has weight {weights[row, column].item():g} at row {row}, column {column};"
            " weights must be finite and at least 0"
        )
    return weights


def _inverse(degrees: Tensor) -> Tensor:
    """1 / d, and 0 where d is 0."""
    return torch.where(degrees > 0, 1.0 / degrees.clamp_min(torch.finfo(degrees.dtype).tiny), 0.0)


def _largest_eigenvalue(symmetric: Tensor) -> float:
    """The largest eigenvalue of a symmetric (N, N) matrix whose eigenvalues are at least 0."""
    matrix = symmetric.cpu().numpy()
    if len(matrix) < 3:  # the iterative solver needs room beyond the eigenvalue it looks for
        return float(np.linalg.eigvalsh(matrix)[-1])
    # A start of its own, since the solver's default is drawn anew in every process.
    start = np.random.Generator(np.random.PCG64(0)).standard_normal(len(matrix))
    return float(eigsh(matrix, k=1, which="LA", v0=start, return_eigenvectors=False)[0])
