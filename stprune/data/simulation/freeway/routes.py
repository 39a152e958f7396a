"""Ways through a network: the quickest between zones, and how far detectors are apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from stprune.data.simulation.freeway.network import STEP_SECONDS, Network

# Detectors further apart are no neighbours; else the graph of a larger network would be denser.
REACH_METRES = 10_000.0
SMALLEST_WEIGHT = 0.1


def zone_routes(network: Network) -> tuple[NDArray[np.float64], list[list[list[str]]]]:
    """The quickest way between any two zones.

    Returns:
        Free driving times (Z, Z) in seconds, infinite where there is no way, and the names of
        the roads of each way, in order (empty where there is none).
    """
    index = _index(network)
    seconds = [road.steps * STEP_SECONDS for road in network.roads.values()]
    sources = [index[zone.source] for zone in network.zones]
    sinks = [index[zone.sink] for zone in network.zones]
    times, before = dijkstra(
        _graph(network, index, seconds), indices=sources, return_predecessors=True
    )
    by_ends = {(index[road.start], index[road.end]): name for name, road in network.roads.items()}
    ways = [
        [_way(before[origin], source, sink, by_ends) for sink in sinks]
        for origin, source in enumerate(sources)
    ]
    return times[:, sinks], ways


def detector_distances(network: Network) -> NDArray[np.float64]:
    """Driving distance from each detector to each other one, in metres.

    Returns:
        (D, D), from row to column; 0 on the diagonal, infinite where there is no way.
    """
    index = _index(network)
    roads = [network.roads[name] for name in network.detectors]
    lengths = [road.length for road in network.roads.values()]
    between = dijkstra(_graph(network, index, lengths), indices=[index[road.end] for road in roads])
    distances = between[:, [index[road.start] for road in roads]]
    distances += [road.length for road in roads]
    np.fill_diagonal(distances, 0.0)
    return np.asarray(distances)


def gaussian_adjacency(distances: NDArray[np.float64]) -> NDArray[np.float32]:
    """Weights exp(-(distance / sigma)^2), as usual for freeway data (Li et al. 2018, DCRNN).

    ``sigma`` is the standard deviation of all distances of at most `REACH_METRES`, zeros on the
    diagonal included; weights below `SMALLEST_WEIGHT` and the diagonal are set to 0.

    Args:
        distances: (D, D) in metres, infinite where there is no way.

    Returns:
        (D, D) float32, weight of the edge from row to column.
    """
    near = distances <= REACH_METRES
    sigma = distances[near].std()
    weights = np.where(near, np.exp(-np.square(np.where(near, distances, 0.0) / sigma)), 0.0)
    weights[weights < SMALLEST_WEIGHT] = 0.0
    np.fill_diagonal(weights, 0.0)
    return weights.astype(np.float32)


def _index(network: Network) -> dict[str, int]:
    return {name: position for position, name in enumerate(network.junctions())}


def _graph(network: Network, index: dict[str, int], weights: list[float]) -> csr_array:
    rows = [index[road.start] for road in network.roads.values()]
    columns = [index[road.end] for road in network.roads.values()]
    return csr_array((weights, (rows, columns)), shape=(len(index), len(index)))


def _way(
    before: NDArray[np.int32], source: int, sink: int, by_ends: dict[tuple[int, int], str]
) -> list[str]:
    """Follow the predecessors back from ``sink``; empty where ``source`` does not reach it."""
    names: list[str] = []
    while sink != source:
        previous = int(before[sink])
        if previous < 0:
            return []
        names.append(by_ends[previous, sink])
        sink = previous
    return names[::-1]
