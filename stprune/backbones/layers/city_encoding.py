"""What OpenCity derives from a graph: how nodes mix, and where each lies (Li et al., 2024).

Nothing here is learnt, so encodings are kept by name and are no part of a model's state.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.linalg import eigh
from torch import Tensor

from stprune.backbones.layers.graph import random_walk, symmetric_laplacian
from stprune.base.errors import DataError


@dataclass(frozen=True)
class CityEncoding:
    """One graph as the model sees it.

    Args:
        mixing: (N, N) float, rows that sum to 1.
        eigenvectors: (N, E) float, of the Laplacian.
    """

    mixing: Tensor
    eigenvectors: Tensor


class CityEncodings:
    """Encodings of the graphs of several data sets, each computed once.

    Args:
        eigenvectors: E, how many place a node.
        self_loops: Whether every node gets an edge of weight 1 to itself before nodes mix.
    """

    def __init__(self, eigenvectors: int, self_loops: bool) -> None:
        self.eigenvectors = eigenvectors
        self.self_loops = self_loops
        self._name = ""
        self._graphs: dict[str, Tensor] = {}
        self._exact: dict[str, CityEncoding] = {}
        self._moved: dict[tuple[str, torch.dtype, torch.device], CityEncoding] = {}

    def use(self, name: str, adjacency: Tensor) -> None:
        """Make a graph the current one.

        Args:
            name: Of its data set.
            adjacency: (N, N) float, weight of the edge from row to column, 0 for none.

        Raises:
            DataError: If it is no graph, or the name was given to another one.
        """
        known = self._graphs.get(name)
        if known is None:
            weights = adjacency.detach().cpu()
            self._exact[name] = CityEncoding(
                mixing(weights, self.self_loops), laplacian_places(weights, self.eigenvectors)
            )
            self._graphs[name] = adjacency.detach().clone()
        elif not torch.equal(known, adjacency.detach().to(known)):
            raise DataError(f"`{name}` is already the name of another graph; give each its own")
        self._name = name

    def current(self, like: Tensor) -> CityEncoding:
        """The current graph's encoding, in the dtype and on the device of ``like``."""
        key = (self._name, like.dtype, like.device)
        if key not in self._moved:
            exact = self._exact[self._name]
            # Converted before it is moved, since not every device knows float64.
            self._moved[key] = CityEncoding(
                exact.mixing.to(like.dtype).to(like.device),
                exact.eigenvectors.to(like.dtype).to(like.device),
            )
        return self._moved[key]


def mixing(adjacency: Tensor, self_loops: bool) -> Tensor:
    """I + D^(-1/2) A D^(-1/2) with D the row sums, each row then divided by its sum.

    Args:
        adjacency: (N, N) float, weights of at least 0.
        self_loops: Whether A gets a diagonal of ones first.

    Returns:
        (N, N) float64; the row of a node without edges is that of the identity.

    Raises:
        DataError: If the adjacency is not square or has a negative or non-finite weight.
    """
    weights = adjacency.double().clone()
    if self_loops and weights.ndim == 2:
        weights.fill_diagonal_(1.0)
    walk = random_walk(weights)
    # D^(-1/2) A D^(-1/2) = D^(1/2) (D^-1 A) D^(-1/2)
    root = weights.sum(dim=1).sqrt()
    inverse = torch.where(root > 0, 1 / root, 0.0)
    normalised = torch.eye(len(weights), dtype=torch.float64) + root[:, None] * walk * inverse
    return normalised / normalised.sum(dim=1, keepdim=True)


def laplacian_places(adjacency: Tensor, count: int) -> Tensor:
    """Eigenvectors of the symmetric normalised Laplacian with small eigenvalues.

    As many as there are nodes without edges are skipped, and one more (that of a connected
    graph's eigenvalue 0). The first entry within a millionth of the largest is positive.
    Eigenvectors of equal eigenvalues are any basis of theirs.

    Args:
        adjacency: (N, N) float, weights of at least 0.
        count: E, eigenvectors to return.

    Returns:
        (N, E) float64, columns by rising eigenvalue; zeros where there are not so many.

    Raises:
        DataError: If the adjacency is not square or has a negative or non-finite weight.
    """
    laplacian = symmetric_laplacian(adjacency.double())
    nodes = len(laplacian)
    away = laplacian - torch.eye(nodes, dtype=torch.float64)
    skipped = int((away == 0).all(dim=1).sum()) + 1
    places = torch.zeros(nodes, count, dtype=torch.float64)
    last = min(skipped + count, nodes) - 1
    if last < skipped:
        return places
    _, vectors = eigh(laplacian.numpy(), subset_by_index=[skipped, last])
    found = torch.from_numpy(vectors)
    sizes = found.abs()
    first = (sizes >= (1 - 1e-6) * sizes.amax(dim=0)).int().argmax(dim=0)
    places[:, : found.shape[1]] = found * found.gather(0, first[None]).sign()
    return places
