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


class ZoneRoutes:
    """The quickest way between any two zones.

    Ways are told one at a time: those of a large network would not fit into memory together.

    Args:
        network: The network.

    Attributes:
        times: (Z, Z) free driving times in seconds, infinite where there is no way.
    """

    def __init__(self, network: Network) -> None:
        index = _index(network)
        seconds = [road.steps * STEP_SECONDS for road in network.roads.values()]
        self._sources = [index[zone.source] for zone in network.zones]
        self._sinks = [index[zone.sink] for zone in network.zones]
        times, self._before = dijkstra(
            _graph(network, index, seconds), indices=self._sources, return_predecessors=True
        )
        self.times: NDArray[np.float64] = times[:, self._sinks]
        self._names = {
            (index[road.start], index[road.end]): name for name, road in network.roads.items()
        }

    def ways_from(self, origin: int) -> list[list[str]]:
        """Names of the roads from zone ``origin`` to each zone, in order; empty if there is none.

        Args:
            origin: Index of a zone.
        """
        before = self._before[origin].tolist()
        return [self._way(before, self._sources[origin], sink) for sink in self._sinks]

    def _way(self, before: list[int], source: int, sink: int) -> list[str]:
        """Follow the predecessors back from ``sink``."""
        names: list[str] = []
        while sink != source:
            previous = before[sink]
            if previous < 0:
                return []
            names.append(self._names[previous, sink])
            sink = previous
        return names[::-1]


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
