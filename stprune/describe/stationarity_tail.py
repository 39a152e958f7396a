"""How unevenly windows move: the measures that the pruner uses, and how long their tail is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from stprune.data.scaler import Scaler
from stprune.data.stationarity import MEASURES
from stprune.data.windows import WindowStore, calendar
from stprune.describe.sample import Sample

PERCENTILES = np.arange(0, 101)
# Of windows times nodes there are enough to look further into the tail.
NODE_PERCENTILES = np.array([*range(100), 99.5, 99.9, 100.0])
MOST_NODES = 32


def stationarity_percentiles(
    sample: Sample, starts: NDArray[np.int64], *, history: int, horizon: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each measure of stationarity over the windows; large means that a window moves.

    Args:
        sample: Some nodes, real units; missing values are filled with the mean of all.
        starts: (n,) int64, first steps of the windows.
        history: T, input steps.
        horizon: H, target steps.

    Returns:
        Its percentiles: columns `measure`, `percentile`, `value` (without a unit); and its tail:
        one row a measure, columns `measure`, `windows`, `mean`, `median`, `gini`,
        `share_of_top_tenth`, `p99_over_median`.
    """
    store = _store(sample, starts, history, horizon)
    moves = {name: measure(store).double().numpy() for name, measure in MEASURES.items()}
    return _distributions(moves, PERCENTILES)


def node_percentiles(
    sample: Sample, starts: NDArray[np.int64], *, history: int, horizon: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same of each window at each single node, before any mean over nodes evens it out.

    Args:
        sample: Some nodes, real units; of more than ``MOST_NODES`` as many, evenly chosen.
        starts: (n,) int64, first steps of the windows.
        history: T, input steps.
        horizon: H, target steps.

    Returns:
        As of :func:`stationarity_percentiles`, `windows` being windows times nodes; only windows
        of which a node has every value count. No rows if there is no such window.
    """
    count = len(sample.nodes)
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_NODES)).round().astype(np.int64))
    parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in MEASURES}
    for node in chosen:
        one = slice(node, node + 1)
        alone = replace(
            sample,
            values=sample.values[:, one],
            observed=sample.observed[:, one],
            nodes=sample.nodes[one],
            adjacency=sample.adjacency[one, one],
        )
        whole = _whole_windows(alone.observed[:, 0], starts, history + horizon)
        if not len(whole):
            continue
        store = _store(alone, whole, history, horizon)
        for name, measure in MEASURES.items():
            parts[name].append(measure(store).double().numpy())
    moves = {name: np.concatenate(values) for name, values in parts.items() if values}
    return _distributions(moves, NODE_PERCENTILES)


def _distributions(
    moves: dict[str, NDArray[np.float64]], points: NDArray[Any]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Percentiles and tail of each measure."""
    percentiles = [
        pd.DataFrame(
            {"measure": name, "percentile": points, "value": np.percentile(values, points)}
        )
        for name, values in moves.items()
    ]
    tails = [
        {"measure": name, "windows": len(values), **tail(values)} for name, values in moves.items()
    ]
    columns = ["measure", "windows", "mean", "median", "gini", "share_of_top_tenth"]
    table = pd.DataFrame(tails, columns=[*columns, "p99_over_median"])
    if not percentiles:
        return pd.DataFrame(columns=["measure", "percentile", "value"]), table
    return pd.concat(percentiles, ignore_index=True), table


def _whole_windows(
    observed: NDArray[np.bool_], starts: NDArray[np.int64], length: int
) -> NDArray[np.int64]:
    """The starts of windows that miss nothing."""
    missing = np.concatenate([[0], (~observed).cumsum()])
    whole: NDArray[np.int64] = starts[missing[starts + length] == missing[starts]]
    return whole


def tail(values: NDArray[np.float64]) -> dict[str, float]:
    """How unevenly a sum is shared among ``values``, (n,), not negative."""
    median = float(np.median(values))
    return {
        "mean": float(values.mean()),
        "median": median,
        "gini": gini(values),
        "share_of_top_tenth": top_share(values, 0.1),
        "p99_over_median": float(np.percentile(values, 99)) / median if median else np.nan,
    }


def gini(values: NDArray[np.float64]) -> float:
    """Gini coefficient (1912): mean difference of two values, over twice their mean.

    Args:
        values: (n,), not negative.

    Returns:
        0 if all are equal, 1 - 1 / n if one has everything; NaN if all are 0.
    """
    total = values.sum()
    if total <= 0:
        return float("nan")
    size = len(values)
    ranks = 2 * np.arange(1, size + 1) - size - 1
    return float((ranks * np.sort(values)).sum() / (size * total))


def top_share(values: NDArray[np.float64], share: float) -> float:
    """What part of the sum the largest ``share`` of the values holds (at least one value)."""
    total = values.sum()
    count = max(1, round(share * len(values)))
    return float(np.sort(values)[-count:].sum() / total) if total > 0 else float("nan")


def _store(sample: Sample, starts: NDArray[np.int64], history: int, horizon: int) -> WindowStore:
    """The windows as the measures want them; these look at real units, so nothing is scaled."""
    count = max(1, int(sample.observed.sum()))
    mean = float(sample.values.sum(dtype=np.float64)) / count
    filled = np.where(sample.observed, sample.values, np.float32(mean))
    time_of_day, day_of_week = calendar(sample.timestamps, sample.step_minutes)
    return WindowStore(
        series=torch.from_numpy(filled[:, :, None]),
        target_mask=None if sample.observed.all() else torch.from_numpy(sample.observed),
        time_of_day=time_of_day,
        day_of_week=day_of_week,
        history=history,
        horizon=horizon,
        target_channel=0,
        scaler=Scaler(torch.zeros(1), torch.ones(1), 0),
        starts=torch.from_numpy(starts),
    )
