"""Normalised forms of a sensor graph, and fast products with a fixed one.

Row i, column j of an adjacency is the weight of the edge from node i to node j, 0 for none. Unless
they say otherwise, functions take and return (N, N) float; they compute in float64 and return the
dtype of what they were given.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import eigsh
from torch import Tensor, nn
from torch.nn import functional

from stprune.backbones.base import uniform
from stprune.base.errors import DataError


def random_walk(adjacency: Tensor) -> Tensor:
    """D⁻¹A with D the row sums: the chance of each step of a walk along the edges.

    A node without edges keeps a row of zeros. Weights are checked, as in all other forms.
    """
    weights = checked_weights(adjacency)
    return (_inverse(weights.sum(dim=1))[:, None] * weights).to(adjacency.dtype)


def double_transition(adjacency: Tensor) -> tuple[Tensor, Tensor]:
    """Random walks along the edges and against them (DCRNN, Li et al. 2018)."""
    return random_walk(adjacency), random_walk(adjacency.T)


def symmetric_laplacian(adjacency: Tensor, subtract_identity: bool = False) -> Tensor:
    """I - D^(-1/2) A D^(-1/2) of the undirected graph max(A, Aᵀ) without self-loops.

    A node without edges keeps a 1 on the diagonal. Eigenvalues are in [0, 2]; neither holds with
    ``subtract_identity``, which takes I from the graph as LargeST's code does, instead of loops.
    """
    weights = checked_weights(adjacency)
    identity = torch.eye(len(weights), dtype=torch.float64, device=weights.device)
    weights = torch.maximum(weights, weights.T)
    weights = weights - identity if subtract_identity else weights.fill_diagonal_(0)
    scale = _inverse(weights.sum(dim=1)).sqrt()
    return (identity - scale[:, None] * weights * scale[None, :]).to(adjacency.dtype)


def scaled_laplacian(adjacency: Tensor, subtract_identity: bool = False) -> Tensor:
    """2 L / λ_max - I of the symmetric normalised Laplacian (Defferrard et al. 2016).

    Eigenvalues are in [-1, 1], with 1 the largest; see :func:`symmetric_laplacian`.
    """
    laplacian = symmetric_laplacian(adjacency.double(), subtract_identity)
    identity = torch.eye(len(laplacian), dtype=torch.float64, device=laplacian.device)
    return (2.0 / _largest_eigenvalue(laplacian) * laplacian - identity).to(adjacency.dtype)


def chebyshev_polynomials(matrix: Tensor, count: int) -> Tensor:
    """T_0(M) = I, T_1(M) = M, T_k(M) = 2 M T_(k-1)(M) - T_(k-2)(M): (count, N, N) of (N, N)."""
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


def walk_powers(adjacency: Tensor, order: int, self_loops: bool) -> list[Tensor]:
    """Powers up to ``order`` of Pᵀ, for the walks P along the edges and then against them.

    With self-loops, every node first gets an edge of weight 1 to itself. Returns 2 order matrices.
    """
    if self_loops:
        adjacency = adjacency.clone().fill_diagonal_(1.0)
    return [power for walk in double_transition(adjacency) for power in powers(walk.T, order)]


def checked_weights(adjacency: Tensor) -> Tensor:
    """The adjacency in float64; a DataError if a weight is negative or not finite."""
    weights = adjacency.double()
    wrong = ~(torch.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row, column = wrong.nonzero()[0].tolist()
        place = f"at row {row}, column {column}; weights must be finite and at least 0"
        raise DataError(f"the graph has weight {weights[row, column].item():g} {place}")
    return weights


def _inverse(degrees: Tensor) -> Tensor:
    """1 / d, and 0 where d is 0."""
    return torch.where(degrees > 0, 1.0 / degrees, 0.0)


def _largest_eigenvalue(symmetric: Tensor) -> float:
    """The largest eigenvalue of a symmetric (N, N) matrix whose eigenvalues are at least 0."""
    matrix = symmetric.cpu().numpy()
    if len(matrix) < 3:  # the iterative solver needs room beyond the eigenvalue it looks for
        return float(np.linalg.eigvalsh(matrix)[-1])
    # A start of its own, since the solver's default is drawn anew in every process.
    start = np.random.Generator(np.random.PCG64(0)).standard_normal(len(matrix))
    return float(eigsh(matrix, k=1, which="LA", v0=start, return_eigenvectors=False)[0])


# Measured on two cores at 170 nodes and 20 480 columns: visiting edges takes a tenth of the dense
# product at 1.6 % non-zeros, a quarter at 5 %, half at 10 %, and as long at 20 %.
LARGEST_SPARSE_FILL = 0.1
# The non-zeros of a matrix row by row.
ROWS = ("columns", "starts", "weights")


class GraphProduct(nn.Module):
    """M x for a constant matrix M of (R, N); gradients reach x alone.

    The matrix is held densely if more than :data:`LARGEST_SPARSE_FILL` of it is not zero, else as
    its non-zeros row by row, once as it is and once transposed for the gradient. The result is
    the same. Buffers are not persistent: a graph belongs to the task, not to the weights.
    """

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.sparse = bool((matrix != 0).float().mean() <= LARGEST_SPARSE_FILL)
        if self.sparse:
            self._register_rows("", matrix)
            self._register_rows("transposed_", matrix.T)
        else:
            self.register_buffer("matrix", matrix.clone(), persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        """(N, columns) to (R, columns), in the precision of the matrix if it is sparse."""
        if not self.sparse:
            return torch.mm(self.get_buffer("matrix"), values)
        names = (prefix + name for prefix in ("", "transposed_") for name in ROWS)
        return _product(values, *map(self.get_buffer, names))

    def _register_rows(self, prefix: str, matrix: Tensor) -> None:
        row, column = matrix.nonzero(as_tuple=True)
        starts = functional.pad(torch.bincount(row, minlength=len(matrix)).cumsum(0), (1, 0))[:-1]
        for name, part in zip(ROWS, (column, starts, matrix[row, column]), strict=True):
            self.register_buffer(prefix + name, part, persistent=False)


class _SparseProduct(torch.autograd.Function):
    """The sum of weighted rows of x that each row of M asks for: a bag of embeddings.

    That kernel is several times faster here than torch.sparse's products in either layout. Its
    own gradient scatters row by row; the product with the transposed matrix does not.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, *rows: Tensor) -> Tensor:
        """Rows are columns, starts and weights of M, then of its transpose."""
        ctx.save_for_backward(*rows)
        columns, starts, weights = rows[:3]
        return functional.embedding_bag(
            columns, values.to(weights.dtype), starts, mode="sum", per_sample_weights=weights
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Mᵀ times the gradient."""
        rows = ctx.saved_tensors
        # Applied, not computed, so that a second derivative exists.
        gradient = _product(gradients[0], *rows[3:], *rows[:3])
        return (gradient, *(None for _ in rows))


_product: Callable[..., Tensor] = _SparseProduct.apply


class DiffusionConvolution(nn.Module):
    """x W_0 + Σ_k S_k (x W_k) + b over ``given`` constant matrices S_k, then ``learned`` ones.

    Mixing channels before nodes lets all given matrices act in one product.
    """

    def __init__(self, width: int, given: int, learned: int = 0) -> None:
        super().__init__()
        self.counts = [1, given, learned]
        # The published start is that of one linear layer over all terms.
        bound = (width * sum(self.counts)) ** -0.5
        self.weight = uniform(bound, sum(self.counts), width, width)
        self.bias = uniform(bound, width)

    def forward(self, values: Tensor, given: GraphProduct, learned: Tensor | None = None) -> Tensor:
        """(N, ..., width) to the same; matrices side by side, (N, given N) and (N, learned N)."""
        nodes, flat = len(values), values.reshape(-1, values.shape[-1])
        own, by_given, by_learned = self.weight.split(self.counts)
        # Apart, so that no gradient is computed for the given matrices.
        mixed = torch.addmm(self.bias, flat, own[0]).view(nodes, -1)
        mixed = mixed + given(terms_of(flat, by_given, nodes))
        if learned is not None:
            mixed = torch.addmm(mixed, learned, terms_of(flat, by_learned, nodes))
        return mixed.view(values.shape)


def terms_of(flat: Tensor, weights: Tensor, nodes: int) -> Tensor:
    """x W_k for all k below each other: (rows, in) and (K, in, out) to (K N, rows / N out)."""
    return torch.bmm(flat.expand(len(weights), -1, -1), weights).view(len(weights) * nodes, -1)


def diffuse(values: Tensor, mix: Callable[[Tensor], Tensor]) -> Tensor:
    """Values (N, B, width) and then all their K diffusions, side by side: (N, B, (K + 1) width).

    ``mix`` takes (N, columns) to (K N, columns), K diffusions one below the other.
    """
    nodes, batch, width = values.shape
    diffused = mix(values.reshape(nodes, -1)).view(-1, nodes, batch, width)
    together = torch.cat([values[:, :, None], diffused.permute(1, 2, 0, 3)], dim=2)
    return together.view(nodes, batch, -1)


def gated_states(
    convolved: Tensor,
    weights: tuple[Tensor, Tensor],
    convolve: Callable[[Tensor, Tensor, Tensor], Tensor],
    state: Tensor | None = None,
) -> list[Tensor]:
    """States (N, B, width) of a gated recurrent unit whose products are graph convolutions.

    Args:
        convolved: (N, T, B, 3 width), what the inputs add to both gates and the candidate.
        weights: Of the state in the gates, and of the state that passed the first gate.
        convolve: From values, weights and what to add.
        state: That to begin with; None for zeros.
    """
    states: list[Tensor] = []
    width = convolved.shape[-1] // 3
    for step in convolved.unbind(dim=1):
        of_gates, of_candidate = step.split([2 * width, width], dim=-1)
        if state is None:
            keep = torch.sigmoid(of_gates[..., width:])
            state = (1 - keep) * torch.tanh(of_candidate)
        else:
            passes, keep = torch.sigmoid(convolve(state, weights[0], of_gates)).chunk(2, dim=-1)
            candidate = torch.tanh(convolve(passes * state, weights[1], of_candidate))
            state = torch.lerp(candidate, state, keep)
        states.append(state)
    return states
