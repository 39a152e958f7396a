"""How much the data repeat themselves: similarity, effective rank, movement, overlap of windows.

Similarity is of values standardised by node, each pair over what both have observed. Nodes are
compared by Pearson's correlation; days and windows by that of their departures from the nodes'
means, not centred again (the anomaly correlation of weather forecasting; Wilks, Statistical Methods
in the Atmospheric Sciences), so that two quiet nights are alike.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import entropy

from stprune.data.stationarity import MEASURES
from stprune.data.windows import Scaler, WindowStore, calendar
from stprune.describe.statistics import Sample, Values, window_rows

# Values that a pair must have in common, for its correlation to mean anything.
LEAST_COMMON = 8
# A variance below this share of the mean square is rounding.
ROUNDING = 1e-10
# Columns of a matrix whose inner products are summed at once.
COLUMNS = 2**15
PERCENTILES = np.arange(0, 101)
# Of windows times nodes there are many: enough for percentiles further into the tail.
NODE_PERCENTILES = np.array([*range(100), 99.5, 99.9, 100.0])
MOST_NODES = 32

Result = NDArray[np.float64]


def pair_correlations(rows: Values, *, centred: bool) -> Result:
    """Correlation of every two of (n, K) rows over what both have observed.

    ``centred`` subtracts each row's mean over that. Returns (n, n), symmetric; NaN for a pair with
    fewer than ``LEAST_COMMON`` values in common, or of which one does not vary over these (is 0
    there, if not centred).
    """
    sums = np.zeros((4, len(rows), len(rows)))
    # In blocks, so that only they are held in double precision.
    for start in range(0, rows.shape[1], COLUMNS):
        part = rows[:, start : start + COLUMNS].astype(np.float64)
        seen, kept = np.isfinite(part).astype(np.float64), np.nan_to_num(part)
        sums += seen @ seen.T, kept @ seen.T, kept**2 @ seen.T, kept @ kept.T
    count, first, square, product = sums
    return _from_sums(count, first * centred, first.T * centred, square, square.T, product)


def row_correlations(a: Values, b: Values) -> Result:
    """Correlate rows of ``a`` with those of ``b`` as `pair_correlations`, not centred: (n,)."""
    both = np.isfinite(a) & np.isfinite(b)
    x, y = (np.where(both, values, 0.0).astype(np.float64) for values in (a, b))
    zero = np.zeros(len(both))
    squares = (part.sum(1) for part in (x**2, y**2, x * y))
    return _from_sums(both.sum(1).astype(np.float64), zero, zero, *squares)


def _from_sums(count: Result, x: Result, y: Result, xx: Result, yy: Result, xy: Result) -> Result:
    size = np.maximum(count, 1)
    variances = [(square - mean**2 / size) / size for square, mean in ((xx, x), (yy, y))]
    varies = (variances[0] > ROUNDING * xx / size) & (variances[1] > ROUNDING * yy / size)
    valid = varies & (count >= LEAST_COMMON)
    scale = np.sqrt(np.where(valid, variances[0] * variances[1], 1.0))
    return np.where(valid, np.clip((xy - x * y / size) / size / scale, -1, 1), np.nan)


def node_similarity(rows: Values, adjacency: NDArray[np.float32]) -> pd.DataFrame:
    """Correlate nodes over time: all pairs, and those that the graph joins in either direction."""
    joined = (adjacency != 0) | (adjacency.T != 0)
    correlation = pair_correlations(rows, centred=True)
    groups = {"all pairs": _once(correlation), "joined by an edge": _once(correlation, joined)}
    return _percentiles("nodes", groups)


def day_similarity(rows: Values, dates: NDArray[np.datetime64]) -> pd.DataFrame:
    """Correlate days over slots and nodes: all pairs, and those of the same day of the week."""
    number = dates.astype("datetime64[D]").astype(np.int64)
    same = (number[:, None] - number) % 7 == 0
    correlation = pair_correlations(rows, centred=False)
    groups = {"all pairs": _once(correlation), "same weekday": _once(correlation, same)}
    return _percentiles("days", groups)


def window_similarity(
    sample: Sample, starts: NDArray[np.int64], length: int, chosen: NDArray[np.int64]
) -> pd.DataFrame:
    """Correlate windows over steps and nodes: all pairs of those chosen, each with a later one.

    The later window begins one step, one window (the first that shares no step), a day or a week
    after. ``sample`` is standardised by node; ``chosen`` are indices into ``starts``.
    """
    rows = window_rows(sample, starts[chosen], length)
    groups = {"all pairs": _once(pair_correlations(rows, centred=False))}
    times = sample.timestamps[starts]
    day = sample.steps_per_day
    distances = {"one step apart": 1, "a window apart": length}
    distances |= {"a day apart": day, "a week apart": 7 * day}
    for pairs, distance in distances.items():
        wanted = times[chosen] + distance * np.timedelta64(sample.step_minutes, "m")
        place = np.searchsorted(times, wanted).clip(max=len(starts) - 1)
        there = times[place] == wanted
        later = window_rows(sample, starts[place[there]], length)
        groups[pairs] = row_correlations(rows[there], later)
    return _percentiles("windows", groups)


def _once(correlation: Result, among: NDArray[np.bool_] | bool = True) -> Result:
    """Those above the diagonal, so that every pair is counted once."""
    once: Result = correlation[np.triu(among & np.ones(correlation.shape, np.bool_), 1)]
    return once


def _percentiles(of: str, groups: dict[str, Result]) -> pd.DataFrame:
    """Percentiles 0 to 100 of the correlations of each group, NaN if it has no pair."""
    tables = []
    for pairs, correlation in groups.items():
        known = correlation[np.isfinite(correlation)]
        points = np.percentile(known, PERCENTILES) if len(known) else np.nan
        columns = {"percentile": PERCENTILES, "correlation": points, "count": len(known)}
        tables.append(pd.DataFrame({"of": of, "pairs": pairs, **columns}))
    return pd.concat(tables, ignore_index=True)


def spectrum(of: str, rows: Values) -> pd.DataFrame:
    """Singular values of (n, K) rows, with 0 for what is missing, and cumulated variance."""
    singular = np.linalg.svdvals(np.nan_to_num(rows).astype(np.float64))
    energy = (singular**2).cumsum()
    share = energy / energy[-1] if energy[-1] > 0 else np.nan
    component = np.arange(1, len(singular) + 1)
    columns = {"component": component, "singular_value": singular, "variance_share": share}
    return pd.DataFrame({"of": of, **columns})


def effective_rank(singular: Result) -> float:
    """exp of the entropy of the singular values over their sum (Roy & Vetterli, EUSIPCO 2007)."""
    return float(np.exp(entropy(singular))) if singular.any() else float("nan")


def rank_table(spectra: pd.DataFrame) -> pd.DataFrame:
    """One row for each `of`: effective rank, the most it could be, and components for 90 %."""
    by_kind = spectra.groupby("of", sort=False)
    largest = by_kind.size()
    # Not a number where nothing varies.
    needed = by_kind["variance_share"].agg(lambda share: (share < 0.9).sum() + 1)
    table = pd.DataFrame(
        {
            "effective_rank": by_kind["singular_value"].agg(lambda s: effective_rank(s.to_numpy())),
            "largest_possible": largest,
            "components_for_90_percent": needed.where(by_kind["variance_share"].count() > 0),
        }
    )
    return table.reset_index()


def stationarity_tables(
    sample: Sample, starts: NDArray[np.int64], history: int, horizon: int
) -> dict[str, pd.DataFrame]:
    """Each measure of stationarity over windows, in real units; large means that a window moves.

    `stationarity` is of means over nodes, with the mean of all values for what is missing;
    `node_stationarity` of at most ``MOST_NODES`` single nodes, evenly chosen, with only those
    windows of which a node has every value.
    """
    count = len(sample.nodes)
    parts: dict[str, list[Result]] = {name: [] for name in MEASURES}
    for node in np.unique(np.linspace(0, count - 1, min(count, MOST_NODES)).round().astype(int)):
        alone = sample.values[:, [node]]
        missing = np.concatenate([[0], np.isnan(alone[:, 0]).cumsum()])
        whole = starts[missing[starts + history + horizon] == missing[starts]]
        if len(whole):
            for name, values in _movement(sample, alone, whole, history, horizon).items():
                parts[name].append(values)
    single = {name: np.concatenate(values) for name, values in parts.items() if values}
    means = _movement(sample, sample.values, starts, history, horizon)
    return _percentiles_and_tail("stationarity", means, PERCENTILES) | _percentiles_and_tail(
        "node_stationarity", single, NODE_PERCENTILES
    )


def _movement(
    sample: Sample, values: Values, starts: NDArray[np.int64], history: int, horizon: int
) -> dict[str, Result]:
    """Each measure of every window of ``values``, (T, any nodes), which are not scaled."""
    seen = np.isfinite(values)
    mean = float(np.nansum(values, dtype=np.float64)) / max(1, int(seen.sum()))
    filled = np.where(seen, values, np.float32(mean))
    time_of_day, day_of_week = calendar(sample.timestamps, sample.step_minutes)
    store = WindowStore(
        series=torch.from_numpy(filled[:, :, None]),
        target_mask=None if seen.all() else torch.from_numpy(seen),
        time_of_day=time_of_day,
        day_of_week=day_of_week,
        history=history,
        horizon=horizon,
        target_channel=0,
        scaler=Scaler(torch.zeros(1), torch.ones(1), 0),
        starts=torch.from_numpy(starts),
    )
    return {name: measure(store).double().numpy() for name, measure in MEASURES.items()}


def _percentiles_and_tail(
    table: str, moves: dict[str, Result], points: NDArray[Any]
) -> dict[str, pd.DataFrame]:
    """Percentiles of each measure, and how unevenly its sum is shared among the windows."""
    percentiles = [pd.DataFrame(columns=["measure", "percentile", "value"])] if not moves else []
    tails = []
    for name, values in moves.items():
        value = np.percentile(values, points)
        percentiles.append(pd.DataFrame({"measure": name, "percentile": points, "value": value}))
        median, p99 = np.percentile(values, [50, 99])
        row = (values.mean(), median, gini(values), top_share(values, 0.1))
        tails.append((name, len(values), *row, p99 / median if median else np.nan))
    columns = ["measure", "windows", "mean", "median", "gini", "share_of_top_tenth"]
    tail = pd.DataFrame(tails, columns=[*columns, "p99_over_median"])
    return {table: pd.concat(percentiles, ignore_index=True), f"{table}_tail": tail}


def gini(values: Result) -> float:
    """Gini coefficient (1912): mean difference of two values, over twice their mean.

    0 if all of the (n,) values, none negative, are equal; 1 - 1 / n if one has everything; NaN if
    all are 0.
    """
    total, size = values.sum(), len(values)
    ranks = 2 * np.arange(1, size + 1) - size - 1
    return float((ranks * np.sort(values)).sum() / (size * total)) if total > 0 else float("nan")


def top_share(values: Result, share: float) -> float:
    """Part of the sum that the largest ``share`` of the values holds (at least one value)."""
    total, count = values.sum(), max(1, round(share * len(values)))
    return float(np.sort(values)[-count:].sum() / total) if total > 0 else float("nan")


def window_overlap(starts: NDArray[np.int64], length: int) -> pd.DataFrame:
    """What windows share if every k-th is kept, k = 1, 2, ... up to the length of a window.

    `overlap` is the mean share of a window's steps that the next one has too, NaN for a single
    window; `times_seen` the windows that a step is in, averaged over those that are in any.
    """
    rows = []
    for stride in range(1, length + 1):
        kept = starts[::stride]
        shared = np.clip(length - np.diff(kept), 0, None)
        covered = length * len(kept) - int(shared.sum())
        overlap = float(shared.mean()) / length if len(shared) else np.nan
        rows.append((stride, len(kept), overlap, length * len(kept) / covered))
    return pd.DataFrame(rows, columns=["stride", "windows", "overlap", "times_seen"])
