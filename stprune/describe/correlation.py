"""Correlation where values are missing: of each pair, over what both have.

Centred, it is Pearson's. Not centred, of values that are departures from a mean already, it is the
anomaly correlation of weather forecasting (Wilks, Statistical Methods in the Atmospheric Sciences):
a row that is above the mean throughout is then like others that are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Values that a pair must have in common, for its correlation to say anything.
LEAST_COMMON = 8
# A variance below this share of the mean square is rounding.
ROUNDING = 1e-10
COLUMNS = 2**15

Values = NDArray[np.float32]
Observed = NDArray[np.bool_]
Result = NDArray[np.float64]


def pair_correlations(values: Values, observed: Observed, *, centred: bool) -> Result:
    """Correlation of every two rows.

    Args:
        values: (n, K), of any size that does not dwarf its spread.
        observed: (n, K).
        centred: Whether each row's mean over what the pair has in common is taken off.

    Returns:
        (n, n), symmetric; NaN for a pair with fewer than ``LEAST_COMMON`` values in common, or
        of which one does not vary over these (is 0 there, if not centred).
    """
    size = len(values)
    sums = np.zeros((4, size, size))
    # In blocks, so that only they are held in double precision.
    for start in range(0, values.shape[1], COLUMNS):
        seen = observed[:, start : start + COLUMNS].astype(np.float64)
        kept = values[:, start : start + COLUMNS] * seen
        sums[0] += seen @ seen.T
        sums[1] += kept @ seen.T
        sums[2] += kept**2 @ seen.T
        sums[3] += kept @ kept.T
    count, first, square, product = sums
    return _from_sums(count, first * centred, first.T * centred, square, square.T, product)


def row_correlations(a: Values, seen_a: Observed, b: Values, seen_b: Observed) -> Result:
    """Correlation, not centred, of each row of ``a`` with the same row of ``b``.

    Args:
        a: (n, K).
        seen_a: (n, K), where ``a`` is observed.
        b: (n, K).
        seen_b: (n, K), where ``b`` is observed.

    Returns:
        (n,), NaN under the conditions of :func:`pair_correlations`.
    """
    both = seen_a & seen_b
    x, y = (np.where(both, values, 0.0).astype(np.float64) for values in (a, b))
    squares = [part.sum(1) for part in (x**2, y**2, x * y)]
    none = np.zeros(len(both))
    return _from_sums(both.sum(1).astype(np.float64), none, none, *squares)


def _from_sums(count: Result, x: Result, y: Result, xx: Result, yy: Result, xy: Result) -> Result:
    size = np.maximum(count, 1)
    variances = [(square - mean**2 / size) / size for square, mean in ((xx, x), (yy, y))]
    varies = (variances[0] > ROUNDING * xx / size) & (variances[1] > ROUNDING * yy / size)
    valid = varies & (count >= LEAST_COMMON)
    scale = np.sqrt(np.where(valid, variances[0] * variances[1], 1.0))
    return np.where(valid, np.clip((xy - x * y / size) / size / scale, -1, 1), np.nan)
