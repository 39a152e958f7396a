"""A made-up freeway network: corridors that run from the outskirts to one city centre.

Each corridor has two carriageways, inbound and outbound, of the same number of segments.
At every junction between segments a zone of the city joins by one ramp on and one ramp off.
At the centre the corridors meet in an interchange, and slip roads lead down town. There are no
circles in it, so a queue can spill back over junctions and corridors but never lock for good.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from stprune.data.formats.base import gaussian, spread

# A driver keeps 1.5 s and 1 / 0.15 m behind the one ahead; with 30 m/s that is a capacity of
# 2090 vehicles an hour and lane, and jams grow backwards at 16 km/h: usual values of a freeway.
REACTION_SECONDS = 1.5
JAM_DENSITY_PER_LANE = 0.15
# UXsim moves platoons; one step of it is the time in which a lane can emit one.
PLATOON_VEHICLES = 4
STEP_SECONDS = REACTION_SECONDS * PLATOON_VEHICLES

# Detectors further apart are no neighbours; else the graph of a larger network would be denser.
REACH_METRES = 10_000.0

RAMP_SPEED = 16.0
SLIP_SPEED = 20.0


@dataclass(frozen=True)
class Road:
    """One directed road between two junctions."""

    name: str  # unique
    start: str
    end: str
    steps: int  # free driving time: whole, so that no rounding spoils the free speed
    lanes: int
    free_speed: float  # m/s
    priority: float = 1.0  # relative right of way where it merges into another road

    @property
    def length(self) -> float:
        """Length in metres."""
        return self.steps * STEP_SECONDS * self.free_speed

    @property
    def capacity(self) -> float:
        """Most vehicles a second that it lets pass (top of the triangular diagram)."""
        per_lane = JAM_DENSITY_PER_LANE * self.free_speed
        return self.lanes * per_lane / (1 + per_lane * REACTION_SECONDS)


@dataclass(frozen=True)
class Zone:
    """Where trips begin and end, with relative numbers of residents and jobs."""

    name: str
    residents: float
    jobs: float

    @property
    def source(self) -> str:
        """Junction where its trips start."""
        return f"{self.name}/from"

    @property
    def sink(self) -> str:
        """Junction where trips to it end."""
        return f"{self.name}/to"


@dataclass(frozen=True)
class Network:
    """Roads by name, zones, and the roads that carry a detector at their downstream end."""

    roads: dict[str, Road]
    zones: list[Zone]
    detectors: list[str]

    def junctions(self) -> list[str]:
        """Names of all junctions, in the order in which roads mention them."""
        ends = [end for road in self.roads.values() for end in (road.start, road.end)]
        return list(dict.fromkeys(ends))


def build_network(corridors: int, segments: int, rng: np.random.Generator) -> Network:
    """Lay out corridors; detectors go corridor by corridor, inbound first, in driving order."""
    roads: list[Road] = []
    detectors: list[str] = []
    zones: list[Zone] = []
    for corridor in range(corridors):
        for direction in ("in", "out"):
            carriageway = _carriageway(corridor, direction, segments, rng)
            roads += carriageway
            detectors += [road.name for road in carriageway]
        for junction in range(segments):
            zone, ramps = _zone(corridor, junction, segments, rng)
            zones.append(zone)
            roads += ramps
        centre, slips = _centre(corridor, segments)
        zones.append(centre)
        roads += slips
    for one, other in permutations(range(corridors), 2):
        start, end = _junction(one, "in", segments), _junction(other, "out", segments)
        roads.append(Road(f"c{one}_to_c{other}", start, end, 4, 1, SLIP_SPEED))
    return Network({road.name: road for road in roads}, zones, detectors)


def _carriageway(
    corridor: int, direction: str, segments: int, rng: np.random.Generator
) -> list[Road]:
    roads = []
    for segment in range(segments):
        # Junction 0 is the outer end of a corridor, junction `segments` its inner end.
        inward = segment if direction == "in" else segments - 1 - segment
        first, last = (segment, segment + 1) if direction == "in" else (inward + 1, inward)
        start, end = (_junction(corridor, direction, place) for place in (first, last))
        steps, lanes = int(rng.integers(4, 8)), 3 if inward >= segments // 2 else 2
        speed = float(rng.uniform(27.0, 31.0))
        name = f"c{corridor}_{direction}_{segment:02d}"
        roads.append(Road(name, start, end, steps, lanes, speed, priority=3.0))
    return roads


def _zone(
    corridor: int, junction: int, segments: int, rng: np.random.Generator
) -> tuple[Zone, list[Road]]:
    """The zone at ``junction`` and its ramps; at junction 0 it stands for the country outside."""
    outward = 1 - junction / segments
    size = 4.0 if junction == 0 else 1.0
    zone = Zone(
        f"c{corridor}_zone_{junction:02d}",
        residents=size * float(rng.lognormal(0.0, 0.3)) * (0.4 + outward),
        jobs=size * float(rng.lognormal(0.0, 0.4)) * (1.2 - outward),
    )
    inbound, outbound = _junction(corridor, "in", junction), _junction(corridor, "out", junction)
    # The outer ends of the freeway are as wide as the freeway itself.
    lanes, priority = (2, 3.0) if junction == 0 else (1, 1.0)
    ramps = [Road(f"{zone.name}_on_in", zone.source, inbound, 2, lanes, RAMP_SPEED, priority)]
    ramps.append(Road(f"{zone.name}_off_out", outbound, zone.sink, 2, lanes, RAMP_SPEED))
    if junction > 0:
        ramps.append(Road(f"{zone.name}_off_in", inbound, zone.sink, 2, 1, RAMP_SPEED))
        ramps.append(Road(f"{zone.name}_on_out", zone.source, outbound, 2, 1, RAMP_SPEED))
    return zone, ramps


def _centre(corridor: int, segments: int) -> tuple[Zone, list[Road]]:
    """The quarter of the city centre that a corridor serves, and its slip roads.

    One for all would hold back those who want to take another corridor than that with the jam.
    """
    zone = Zone(f"c{corridor}_centre", residents=0.5 * segments, jobs=1.5 * segments)
    arrival = _junction(corridor, "in", segments)
    departure = _junction(corridor, "out", segments)
    return zone, [
        Road(f"{zone.name}_off", arrival, zone.sink, 3, 4, SLIP_SPEED),
        Road(f"{zone.name}_on", zone.source, departure, 3, 3, SLIP_SPEED),
    ]


def _junction(corridor: int, direction: str, position: int) -> str:
    return f"c{corridor}_{direction}/{position:02d}"


def zone_routes(network: Network) -> tuple[NDArray[np.float64], Iterator[list[list[str]]]]:
    """The quickest way between any two zones.

    Returns (Z, Z) free driving times in seconds, infinite where there is no way, and for each
    origin in turn the names of the roads to each zone, or []: all ways of a large network would not
    fit into memory.
    """
    index = _index(network)
    seconds = [road.steps * STEP_SECONDS for road in network.roads.values()]
    sources = [index[zone.source] for zone in network.zones]
    sinks = [index[zone.sink] for zone in network.zones]
    names = {(index[road.start], index[road.end]): name for name, road in network.roads.items()}
    times, before = dijkstra(
        _graph(network, index, seconds), indices=sources, return_predecessors=True
    )

    def ways_from(source: int, previous: list[int]) -> list[list[str]]:
        ways = []
        for place in sinks:
            way: list[str] = []
            # Follow the predecessors back; -9999 where there is none.
            while place != source and place >= 0:
                way.append(names.get((previous[place], place), ""))
                place = previous[place]
            ways.append(way[::-1] if place >= 0 else [])
        return ways

    return times[:, sinks], (
        ways_from(source, row.tolist()) for source, row in zip(sources, before, strict=True)
    )


def detector_graph(network: Network) -> NDArray[np.float32]:
    """Weights exp(-(distance / sigma)^2) of at least 0.1 by driving distance: (D, D) float32.

    ``sigma`` is the standard deviation of all distances of at most `REACH_METRES`, zeros on the
    diagonal included (Li et al. 2018, DCRNN).
    """
    index = _index(network)
    roads = [network.roads[name] for name in network.detectors]
    lengths = [road.length for road in network.roads.values()]
    between = dijkstra(_graph(network, index, lengths), indices=[index[road.end] for road in roads])
    distances = between[:, [index[road.start] for road in roads]]
    distances += [road.length for road in roads]
    np.fill_diagonal(distances, 0.0)
    near = np.where(distances <= REACH_METRES, distances, np.nan)
    return gaussian(near, sigma=spread(near)).astype(np.float32)


def _index(network: Network) -> dict[str, int]:
    return {name: position for position, name in enumerate(network.junctions())}


def _graph(network: Network, index: dict[str, int], weights: list[float]) -> csr_array:
    rows = [index[road.start] for road in network.roads.values()]
    columns = [index[road.end] for road in network.roads.values()]
    return csr_array((weights, (rows, columns)), shape=(len(index), len(index)))
