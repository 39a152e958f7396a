"""How far back a node remembers: its autocorrelation, up to a week."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from stprune.describe.arrangement import by_day
from stprune.describe.sample import Sample

# Pairs of values that a lag must have, for its correlation to say anything.
LEAST_PAIRS = 8
NODE_BLOCK = 32


def autocorrelations(
    values: NDArray[np.float32], observed: NDArray[np.bool_], lags: int
) -> NDArray[np.float64]:
    """Autocorrelation of each node where values are missing.

    r(k) = sum of a(t) a(t + k), over the root of (sum of a(t)^2) (sum of a(t + k)^2), all over the
    pairs (t, t + k) that are both observed; a(t) is x(t) less the mean of all observed values of
    the node. So it stays within [-1, 1] however few pairs there are; with nothing missing and a
    short lag it is the usual estimate.

    Args:
        values: (T, n), 0 where missing, in equal steps of time.
        observed: (T, n).
        lags: The largest lag, in steps; less than T.

    Returns:
        (lags + 1, n), NaN where fewer than ``LEAST_PAIRS`` pairs are there, or for a node that
        does not vary over them.
    """
    count = np.maximum(observed.sum(0), 1)
    mean = values.sum(0, dtype=np.float64) / count
    result = np.empty((lags + 1, values.shape[1]))
    for start in range(0, values.shape[1], NODE_BLOCK):
        nodes = slice(start, start + NODE_BLOCK)
        seen = observed[:, nodes].astype(np.float64)
        moved = (values[:, nodes] - mean[nodes]) * seen
        pairs = np.rint(_lagged_products(seen, seen, lags))
        earlier = _lagged_products(moved**2, seen, lags)
        later = _lagged_products(seen, moved**2, lags)
        # Less is rounding: of the mean, or of the transforms.
        least = np.maximum((1e-7 * mean[nodes]) ** 2 * pairs, 1e-10 * (moved**2).sum(0))
        valid = (pairs >= LEAST_PAIRS) & (np.minimum(earlier, later) > least)
        scale = np.sqrt(np.where(valid, earlier * later, 1.0))
        found = _lagged_products(moved, moved, lags) / scale
        result[:, nodes] = np.where(valid, found.clip(-1, 1), np.nan)
    return result


def autocorrelation_table(sample: Sample) -> pd.DataFrame:
    """One row a lag up to a week, or so far that a day's pairs are left (half a shorter series).

    Returns:
        Columns `lag` (steps), `hours`, `mean`, `low`, `median`, `high` (a tenth, half and nine
        tenths of the nodes are below), `nodes` (that have a value at this lag).
    """
    values, observed = by_day(sample)
    flat = -1, values.shape[2]
    day, steps = sample.steps_per_day, len(sample.values)
    lags = min(7 * day, max(steps - day, steps // 2))
    found = autocorrelations(values.reshape(flat), observed.reshape(flat), lags)
    known = np.isfinite(found).sum(1)
    some = known > 0
    columns = np.full((4, len(found)), np.nan)
    columns[0, some] = np.nanmean(found[some], axis=1)
    columns[1:, some] = np.nanquantile(found[some], [0.1, 0.5, 0.9], axis=1)
    lag = np.arange(len(found))
    names = ["mean", "low", "median", "high"]
    return pd.DataFrame(
        {
            "lag": lag,
            "hours": lag * sample.step_minutes / 60,
            **dict(zip(names, columns, strict=True)),
            "nodes": known,
        }
    )


def _lagged_products(
    a: NDArray[np.float64], b: NDArray[np.float64], lags: int
) -> NDArray[np.float64]:
    """Sums over t of a(t) b(t + k) for k = 0 to ``lags``: (lags + 1, n) from (T, n) each."""
    size = next_fast_len(len(a) + lags, real=True)
    spectrum = rfft(a, size, axis=0).conj() * rfft(b, size, axis=0)
    products: NDArray[np.float64] = irfft(spectrum, size, axis=0)[: lags + 1]
    return products
