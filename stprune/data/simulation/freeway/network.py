"""A made-up freeway network: corridors that run from the outskirts to one city centre.

Each corridor has two carriageways, inbound and outbound, of the same number of segments.
At every junction between segments a zone of the city joins by one ramp on and one ramp off.
At the centre the corridors meet in an interchange, and slip roads lead down town. There are no
circles in it, so a queue can spill back over junctions and corridors but never lock for good.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# A driver keeps 1.5 s and 1 / 0.15 m behind the one ahead; with 30 m/s that is a capacity of
# 2090 vehicles an hour and lane, and jams grow backwards at 16 km/h: usual values of a freeway.
REACTION_SECONDS = 1.5
JAM_DENSITY_PER_LANE = 0.15
# UXsim moves platoons; one step of it is the time in which a lane can emit one.
PLATOON_VEHICLES = 4
STEP_SECONDS = REACTION_SECONDS * PLATOON_VEHICLES

RAMP_SPEED = 16.0
SLIP_SPEED = 20.0


@dataclass(frozen=True)
class Road:
    """One directed road.

    Args:
        name: Its name, unique in the network.
        start: Junction where it begins.
        end: Junction where it ends.
        steps: Simulation steps that it takes to drive it freely. Whole steps, so that the
            simulator measures the free speed without a rounding error.
        lanes: Lanes side by side.
        free_speed: Speed without others, in m/s.
        priority: Relative right of way where it merges into another road.
    """

    name: str
    start: str
    end: str
    steps: int
    lanes: int
    free_speed: float
    priority: float = 1.0

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
    """Where trips begin and end.

    Args:
        name: Its name; `<name>/from` and `<name>/to` are its two junctions.
        residents: Relative number of people who live there.
        jobs: Relative number of people who work there.
    """

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
    """Roads, zones and detectors.

    Args:
        roads: All roads by name.
        zones: All zones.
        detectors: Names of the roads that carry a detector, at their downstream end.
    """

    roads: dict[str, Road]
    zones: list[Zone]
    detectors: list[str]

    def junctions(self) -> list[str]:
        """Names of all junctions, in the order in which roads mention them."""
        ends = [end for road in self.roads.values() for end in (road.start, road.end)]
        return list(dict.fromkeys(ends))


def build_network(corridors: int, segments: int, rng: np.random.Generator) -> Network:
    """Lay out ``corridors`` of ``segments`` segments in each direction.

    Args:
        corridors: Freeways that meet at the centre, at least 1.
        segments: Segments of each carriageway, at least 3.
        rng: Draws lengths, free speeds and the size of the zones.

    Returns:
        A network of ``2 * corridors * segments`` detectors: corridor by corridor, first
        inbound then outbound, each in driving order.
    """
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
    roads += _interchange(corridors, segments)
    return Network({road.name: road for road in roads}, zones, detectors)


def _carriageway(
    corridor: int, direction: str, segments: int, rng: np.random.Generator
) -> list[Road]:
    roads = []
    for segment in range(segments):
        # Junction 0 is the outer end of a corridor, junction `segments` its inner end.
        inward = segment if direction == "in" else segments - 1 - segment
        first, last = (segment, segment + 1) if direction == "in" else (inward + 1, inward)
        roads.append(
            Road(
                name=f"c{corridor}_{direction}_{segment:02d}",
                start=_junction(corridor, direction, first),
                end=_junction(corridor, direction, last),
                steps=int(rng.integers(4, 8)),
                lanes=3 if inward >= segments // 2 else 2,
                free_speed=float(rng.uniform(27.0, 31.0)),
                priority=3.0,
            )
        )
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

    Each corridor has its own, since vehicles that cannot start yet wait in one line a zone: a
    jam on one corridor must not keep those at home who want to take another.
    """
    zone = Zone(f"c{corridor}_centre", residents=0.5 * segments, jobs=1.5 * segments)
    arrival = _junction(corridor, "in", segments)
    departure = _junction(corridor, "out", segments)
    return zone, [
        Road(f"{zone.name}_off", arrival, zone.sink, 3, 4, SLIP_SPEED),
        Road(f"{zone.name}_on", zone.source, departure, 3, 3, SLIP_SPEED),
    ]


def _interchange(corridors: int, segments: int) -> list[Road]:
    """A connecting road from every corridor to every other."""
    return [
        Road(
            name=f"c{corridor}_to_c{other}",
            start=_junction(corridor, "in", segments),
            end=_junction(other, "out", segments),
            steps=4,
            lanes=1,
            free_speed=SLIP_SPEED,
        )
        for corridor in range(corridors)
        for other in range(corridors)
        if other != corridor
    ]


def _junction(corridor: int, direction: str, position: int) -> str:
    return f"c{corridor}_{direction}/{position:02d}"
