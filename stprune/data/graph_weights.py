"""Edge weights of a sensor graph, as pure functions of distances.

Distances are an (N, N) float64 matrix with NaN where there is no edge, as
:func:`stprune.data.formats.base.read_edges` gives them; row i, column j is the way from node i to
node j. Weights are what a canonical data set holds: 0 where there is no edge, and a zero diagonal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def binary(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 for each edge, whatever its distance: (N, N) float64."""
    weights = (~np.isnan(distances)).astype(np.float64)
    np.fill_diagonal(weights, 0.0)
    return weights


def gaussian(
    distances: NDArray[np.float64], sigma: float | None = None, threshold: float = 0.1
) -> NDArray[np.float64]:
    """exp(-(d / sigma)²), and 0 where that is below ``threshold``: (N, N) float64 in [0, 1].

    The kernel is that of Shuman et al. 2013 as DCRNN (Li et al. 2018) scales it: with the standard
    deviation of the distances between different nodes, which None for ``sigma`` means, and without
    a factor of 2.
    """
    between = distances.copy()
    np.fill_diagonal(between, np.nan)
    length = spread(between) if sigma is None else sigma
    # No edge is infinitely far, and a far one may well come out as 0.
    far = np.where(np.isnan(between), np.inf, between)
    weights = np.exp(-np.square(far / length))
    weights[weights < threshold] = 0.0
    return weights


def spread(distances: NDArray[np.float64]) -> float:
    """Standard deviation (dividing by their number) of the distances; a ValueError if it is 0."""
    there = distances[~np.isnan(distances)]
    length = float(there.std()) if there.size else 0.0
    if length <= 0:
        raise ValueError(f"{there.size} distances that do not differ give no `sigma`: give one")
    return length
