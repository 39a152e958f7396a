"""What a data set is at a glance: an excerpt of its series, and its graph on a plane."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path

from stprune.data.canonical import release, step_blocks
from stprune.describe.sample import Sample

# Edges per node in a drawing, so that single ones can be told apart; `LEAST_EDGES` always fit.
MOST_EDGES = 4
LEAST_EDGES = 256
WEEK = np.timedelta64(7, "D")


def edge_count(adjacency: NDArray[np.float32]) -> int:
    """Weights of an (N, N) graph that are not 0, its diagonal left out; read in blocks of rows."""
    count = 0
    for rows in step_blocks(adjacency.shape):
        count += int(np.count_nonzero(adjacency[rows]))
        release(adjacency)
    return count - int(np.count_nonzero(np.diagonal(adjacency)))


def excerpt(sample: Sample) -> pd.DataFrame:
    """A week of the nodes of the lowest, the middle and the highest mean, of those drawn.

    The week is the first whole one from a Monday on, else what there is from the first day on.
    Hourly means: the excerpt is to be looked at and must not replace data of restricted terms.

    Returns:
        Columns `time` (ISO, local), `lowest`, `middle`, `highest`, in the channel's unit; empty
        where nothing was observed.
    """
    days = sample.timestamps.astype("datetime64[D]")
    every = np.unique(days)
    whole = every[every + WEEK <= every[-1] + np.timedelta64(1, "D")]
    mondays = whole[np.is_busday(whole, "1000000")]
    first = (mondays if len(mondays) else every)[0]
    chosen = (days >= first) & (days < first + WEEK)
    means = pd.DataFrame(sample.values, dtype=np.float64).mean().dropna()
    ranked = means.sort_values(kind="stable").index
    nodes = ranked[[0, len(ranked) // 2, len(ranked) - 1]]
    values = sample.values[np.ix_(chosen, nodes)]
    frame = pd.DataFrame(values, columns=["lowest", "middle", "highest"])
    hours = pd.Index(sample.timestamps[chosen].astype("datetime64[h]").astype(str), name="time")
    return frame.groupby(hours).mean().reset_index()


def edge_table(sample: Sample, node_ids: list[str]) -> pd.DataFrame:
    """The pairs that the graph joins, each once, columns `from` and `to`; of many the strongest."""
    weights = np.triu(_undirected(sample.adjacency))
    begin, end = np.nonzero(weights)
    most = max(LEAST_EDGES, MOST_EDGES * len(weights))
    kept = np.sort(np.argsort(-weights[begin, end], kind="stable")[:most])
    names = np.array(node_ids, object)[sample.nodes]
    return pd.DataFrame({"from": names[begin[kept]], "to": names[end[kept]]})


def node_places(sample: Sample, node_ids: list[str]) -> pd.DataFrame:
    """Each node on a plane, near what it is near to in the graph: columns `node`, `x`, `y`.

    Classical scaling (Torgerson 1952) of the lengths of shortest paths, without a unit. An edge of
    the largest weight has length 1, one of 1 / e of it 2; parts that nothing joins lie apart, by
    half more than the longest path. A graph that joins all to all alike lies on a circle.
    """
    weights = _undirected(sample.adjacency)
    lengths = np.zeros_like(weights)
    joined = weights > 0
    lengths[joined] = 1 + np.log(weights.max() / weights[joined])
    paths: NDArray[np.float64] = shortest_path(csr_array(lengths), directed=False)
    there = np.isfinite(paths)
    distances = np.where(there, paths, 1.5 * max(1.0, float(paths[there].max(initial=0.0))))
    places = _on_a_plane(distances)
    names = np.array(node_ids, object)[sample.nodes]
    return pd.DataFrame({"node": names, "x": places[:, 0], "y": places[:, 1]})


def _undirected(adjacency: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, n) the larger of both directions' weights, without signs and loops."""
    weights = np.abs(adjacency).astype(np.float64)
    np.fill_diagonal(weights, 0)
    return np.maximum(weights, weights.T)


def _on_a_plane(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) places whose distances come near to those given; the sign of each axis is fixed."""
    size = len(distances)
    if size > 2 and np.ptp(distances[np.triu_indices(size, 1)]) < 1e-9:
        # All directions are alike.
        angles = 2 * np.pi * np.arange(size) / size
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    centring = np.eye(size) - 1 / size
    values, vectors = np.linalg.eigh(-0.5 * centring @ distances**2 @ centring)
    places = np.zeros((size, 2))
    for axis, number in enumerate(np.argsort(values)[::-1][:2]):
        column = vectors[:, number] * np.sqrt(max(values[number], 0.0))
        # Such small numbers are rounding, which differs between machines.
        column[np.abs(column) < 1e-9] = 0.0
        places[:, axis] = -column if column[int(np.abs(column).argmax())] < 0 else column
    return places
