"""What a data set is at a glance: its size, an excerpt of its series, and its graph on a plane."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import shortest_path

from stprune.data.canonical import CanonicalDataset, release, step_blocks
from stprune.data.inventory import source
from stprune.data.windows import split_windows, window_starts
from stprune.describe.sample import Sample

# Edges a node, in a drawing in which single ones can still be told apart; and edges that are never
# too many.
MOST_EDGES = 4
LEAST_EDGES = 256
EXCERPT_DAYS = 7
MONDAY = 0


def size_facts(dataset: CanonicalDataset, length: int) -> dict[str, Any]:
    """What a table of data sets says of one.

    Args:
        dataset: The data set.
        length: Steps of a window, history and horizon together.

    Returns:
        Plain values: ``title``, ``nodes``, ``steps``, ``step_minutes``, ``first`` and ``last``
        (local time of the first and the last step), ``breaks``, ``train_windows``,
        ``validation_windows``, ``test_windows``, ``edges`` (of the whole graph, each direction
        counted, without loops), ``licence``, ``source`` and ``citation``.
    """
    card = dataset.card
    starts = window_starts(dataset.timestamps, length, card.step_minutes)
    splits = split_windows(len(starts), card.splits)
    return {
        "title": card.title,
        "nodes": card.nodes,
        "steps": card.steps,
        "step_minutes": card.step_minutes,
        "first": str(dataset.timestamps[0].astype("datetime64[m]")),
        "last": str(dataset.timestamps[-1].astype("datetime64[m]")),
        "breaks": card.breaks,
        "train_windows": len(splits.train),
        "validation_windows": len(splits.validation),
        "test_windows": len(splits.test),
        "edges": edge_count(dataset.adjacency),
        "licence": card.licence,
        "source": source(card),
        "citation": card.citation,
    }


def edge_count(adjacency: NDArray[np.float32]) -> int:
    """Weights of an (N, N) graph that are not 0, its diagonal left out; read in blocks of rows."""
    count = 0
    for rows in step_blocks((*adjacency.shape, 1)):
        count += int(np.count_nonzero(adjacency[rows]))
        release(adjacency)
    return count - int(np.count_nonzero(np.diagonal(adjacency)))


def excerpt(sample: Sample) -> pd.DataFrame:
    """A week of the nodes of the lowest, the middle and the highest mean, of those drawn.

    The week is the first whole one from a Monday's midnight on, else what there is from the first
    day on. Steps of less than an hour are averaged by the hour: an excerpt is to be looked at, and
    data that may not be passed on stay where they were.

    Returns:
        Columns `time` (ISO, local), `lowest`, `middle`, `highest`, in the channel's unit; empty
        where nothing was observed. Of fewer than three nodes one stands for two.
    """
    days = sample.timestamps.astype("datetime64[D]")
    first = _first_day(days)
    chosen = (days >= first) & (days < first + np.timedelta64(EXCERPT_DAYS, "D"))
    count = sample.observed.sum(0)
    means = sample.values.sum(0, dtype=np.float64) / np.maximum(count, 1)
    there = np.flatnonzero(count)
    ranked = there[means[there].argsort(kind="stable")]
    nodes = ranked[[0, len(ranked) // 2, len(ranked) - 1]]
    values = np.where(sample.observed, sample.values, np.nan)[np.ix_(chosen, nodes)]
    frame = pd.DataFrame(values, columns=["lowest", "middle", "highest"])
    hours = pd.Index(sample.timestamps[chosen].astype("datetime64[h]").astype(str), name="time")
    return frame.groupby(hours).mean().reset_index()


def edge_table(sample: Sample, node_ids: list[str]) -> pd.DataFrame:
    """The pairs of nodes drawn that the graph joins: the strongest, where there are too many.

    Returns:
        Columns `from` and `to` (ids), each pair once, in the order of the nodes; at most
        ``MOST_EDGES`` rows a node, but always ``LEAST_EDGES``.
    """
    weights = np.triu(_undirected(sample.adjacency))
    begin, end = np.nonzero(weights)
    most = max(LEAST_EDGES, MOST_EDGES * len(weights))
    kept = np.sort(np.argsort(-weights[begin, end], kind="stable")[:most])
    names = np.array(node_ids, object)[sample.nodes]
    return pd.DataFrame({"from": names[begin[kept]], "to": names[end[kept]]})


def node_places(sample: Sample, node_ids: list[str]) -> pd.DataFrame:
    """Each node drawn on a plane, near what it is near to in the graph.

    The graph says what is near what and not where it lies: these are the two directions in which
    the lengths of shortest paths differ most (classical scaling; Torgerson 1952). An edge of the
    largest weight has length 1, one of a e-th of it 2; parts that nothing joins lie apart. A
    graph that joins all to all alike lies on a circle.

    Returns:
        Columns `node`, `x`, `y`, without a unit.
    """
    distances = _path_lengths(_undirected(sample.adjacency))
    places = _two_dimensions(distances)
    names = np.array(node_ids, object)[sample.nodes]
    return pd.DataFrame({"node": names, "x": places[:, 0], "y": places[:, 1]})


def _first_day(days: NDArray[np.datetime64]) -> np.datetime64:
    """The day that the excerpt begins with."""
    every = np.unique(days)
    last = every[-1]
    whole = every[every + np.timedelta64(EXCERPT_DAYS - 1, "D") <= last]
    # 1 January 1970 was a Thursday.
    mondays = whole[(whole.astype(np.int64) + 3) % 7 == MONDAY]
    return np.datetime64((mondays if len(mondays) else every)[0])


def _undirected(adjacency: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, n) the larger of both directions' weights, without signs and loops."""
    weights = np.abs(adjacency).astype(np.float64)
    np.fill_diagonal(weights, 0)
    return np.maximum(weights, weights.T)


def _path_lengths(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, n) lengths of shortest paths; where there is none, half more than the longest."""
    joined = weights > 0
    lengths = np.zeros_like(weights)
    if joined.any():
        lengths[joined] = 1 + np.log(weights.max() / weights[joined])
    found: NDArray[np.float64] = shortest_path(csr_array(lengths), directed=False)
    there = np.isfinite(found)
    return np.where(there, found, 1.5 * max(1.0, float(found[there].max(initial=0.0))))


def _two_dimensions(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) places whose distances come near to those given; the sign of each is fixed."""
    size = len(distances)
    apart = distances[np.triu_indices(size, 1)]
    if size > 2 and np.ptp(apart) < 1e-9:
        # No direction is before any other.
        angles = 2 * np.pi * np.arange(size) / size
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    centring = np.eye(size) - 1 / size
    products = -0.5 * centring @ distances**2 @ centring
    values, vectors = np.linalg.eigh(products)
    largest = np.argsort(values)[::-1][:2]
    places = np.zeros((size, 2))
    for axis, number in enumerate(largest):
        column = vectors[:, number] * np.sqrt(max(values[number], 0.0))
        # Rounding, which another machine would round otherwise.
        column[np.abs(column) < 1e-9] = 0.0
        furthest = int(np.abs(column).argmax())
        places[:, axis] = -column if column[furthest] < 0 else column
    return places
