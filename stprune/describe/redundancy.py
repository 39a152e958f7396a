"""How much alike nodes, days and windows are: correlations of pairs, and effective rank.

Everything is of values standardised by node. Nodes are compared by Pearson's correlation; days and
windows by that of their departures from the nodes' means, so that two quiet nights are alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.describe.arrangement import Rows, window_rows
from stprune.describe.correlation import pair_correlations, row_correlations
from stprune.describe.sample import Sample

PERCENTILES = np.arange(0, 101)
# Columns of a matrix whose inner products are summed at once.
COLUMNS = 2**15
ALL = "all pairs"


def node_similarity(rows: Rows, adjacency: NDArray[np.float32]) -> pd.DataFrame:
    """Of nodes over time: all pairs, and those that the graph joins in either direction.

    Returns:
        Columns `of`, `pairs` (which ones), `percentile` (0 for the smallest to 100 for the largest
        correlation), `correlation` (empty if there is no such pair) and `count` (pairs).
    """
    joined = (adjacency != 0) | (adjacency.T != 0)
    groups = {ALL: _every(rows), "joined by an edge": joined}
    return _distributions("nodes", rows, groups, centred=True)


def day_similarity(rows: Rows, dates: NDArray[np.datetime64]) -> pd.DataFrame:
    """Of days over slots and nodes: all pairs, and those of the same day of the week."""
    number = dates.astype("datetime64[D]").astype(np.int64)
    same = (number[:, None] - number) % 7 == 0
    return _distributions("days", rows, {ALL: _every(rows), "same weekday": same})


def window_similarity(
    sample: Sample,
    starts: NDArray[np.int64],
    length: int,
    chosen: NDArray[np.int64],
) -> pd.DataFrame:
    """Of windows over steps and nodes: all pairs of those chosen, and each with a later one.

    Args:
        sample: Standardised by node.
        starts: (windows,) first steps of all windows.
        length: Steps of a window.
        chosen: (n,) numbers of the windows to compare.

    Returns:
        A table as that of :func:`node_similarity`; a later window is one step, one window (the
        first that shares no step), a day or a week after the one it is compared with.
    """
    rows = window_rows(sample, starts[chosen], length)
    found = [_distributions("windows", rows, {ALL: _every(rows)})]
    day = sample.steps_per_day
    distances = {"one step apart": 1, "a window apart": length}
    distances |= {"a day apart": day, "a week apart": 7 * day}
    for pairs, distance in distances.items():
        later = _starts_later(sample, starts, starts[chosen], distance)
        have = later >= 0
        other = window_rows(sample, later[have], length)
        mine = Rows(rows.values[have], rows.observed[have])
        correlation = row_correlations(mine.values, mine.observed, other.values, other.observed)
        found.append(_distribution("windows", pairs, correlation))
    return pd.concat(found, ignore_index=True)


def singular_values(rows: Rows) -> NDArray[np.float64]:
    """Of the (n, K) matrix with 0 for what is missing: (min(n, K),), falling.

    From the eigenvalues of the smaller matrix of inner products, which is as exact as is needed
    here: to about 1e-8 of the largest one.
    """
    matrix = rows.values if rows.values.shape[0] <= rows.values.shape[1] else rows.values.T
    products = np.zeros((len(matrix), len(matrix)))
    for start in range(0, matrix.shape[1], COLUMNS):
        part = matrix[:, start : start + COLUMNS].astype(np.float64)
        products += part @ part.T
    squares: NDArray[Any] = np.linalg.eigvalsh(products)[::-1]
    return np.asarray(np.sqrt(squares.clip(min=0)), np.float64)


def effective_rank(singular: NDArray[np.float64]) -> float:
    """exp of the entropy of the singular values over their sum (Roy & Vetterli, EUSIPCO 2007).

    Args:
        singular: (n,), not negative.

    Returns:
        From 1 (all rows are multiples of one) to n (all singular values are equal); NaN if all
        are 0.
    """
    total = singular.sum()
    if total <= 0:
        return float("nan")
    shares = singular[singular > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def spectrum(of: str, rows: Rows) -> pd.DataFrame:
    """Columns `of`, `component` (from 1), `singular_value`, `variance_share` (summed so far)."""
    singular = singular_values(rows)
    energy = (singular**2).cumsum()
    share = energy / energy[-1] if energy[-1] > 0 else np.full(len(energy), np.nan)
    return pd.DataFrame(
        {
            "of": of,
            "component": np.arange(1, len(singular) + 1),
            "singular_value": singular,
            "variance_share": share,
        }
    )


def rank_table(spectra: pd.DataFrame) -> pd.DataFrame:
    """One row for each `of`: effective rank, the most it could be, and components for 90 %."""
    rows = []
    for of, part in spectra.groupby("of", sort=False):
        share = part["variance_share"].to_numpy()
        enough = float((share < 0.9).sum() + 1) if np.isfinite(share).all() else float("nan")
        rank = effective_rank(part["singular_value"].to_numpy())
        rows.append((of, rank, len(part), enough))
    columns = ["of", "effective_rank", "largest_possible", "components_for_90_percent"]
    return pd.DataFrame(rows, columns=columns)


def _every(rows: Rows) -> NDArray[np.bool_]:
    return np.ones((len(rows), len(rows)), np.bool_)


def _distributions(
    of: str, rows: Rows, groups: dict[str, NDArray[np.bool_]], *, centred: bool = False
) -> pd.DataFrame:
    correlation = pair_correlations(rows.values, rows.observed, centred=centred)
    once = np.triu(_every(rows), 1)
    parts = [_distribution(of, name, correlation[once & group]) for name, group in groups.items()]
    return pd.concat(parts, ignore_index=True)


def _distribution(of: str, pairs: str, correlation: NDArray[np.float64]) -> pd.DataFrame:
    known = correlation[np.isfinite(correlation)]
    points = np.percentile(known, PERCENTILES) if len(known) else np.full(101, np.nan)
    return pd.DataFrame(
        {
            "of": of,
            "pairs": pairs,
            "percentile": PERCENTILES,
            "correlation": points,
            "count": len(known),
        }
    )


def _starts_later(
    sample: Sample, starts: NDArray[np.int64], mine: NDArray[np.int64], distance: int
) -> NDArray[np.int64]:
    """First step of the window that begins ``distance`` steps of time later; -1 for none."""
    times = sample.timestamps.astype("datetime64[s]").astype(np.int64)
    wanted = times[mine] + distance * 60 * sample.step_minutes
    place = np.searchsorted(times[starts], wanted).clip(max=len(starts) - 1)
    return np.where(times[starts[place]] == wanted, starts[place], -1)
