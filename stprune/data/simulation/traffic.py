"""Traffic on a made-up freeway: who drives when, incidents, a day of it, what detectors report.

Three patterns of trips (to work, back home, all others) each have a matrix of origins and
destinations (gravity model) and a profile over the day. Vehicles leave at random, as a Poisson
process whose rate follows the profiles and drifts from day to day and hour to hour. UXsim (Seo
2025, JOSS) moves them, in its C++ mode; flow and speed follow from the cumulative counts at both
ends of a road.
"""

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stprune.data.simulation.network import (
    JAM_DENSITY_PER_LANE,
    PLATOON_VEHICLES,
    REACTION_SECONDS,
    STEP_SECONDS,
    Network,
    Road,
    zone_routes,
)
from stprune.data.simulation.shared import drift, hump

PATTERNS = ("to work", "to home", "other")
BIN_SECONDS = 300
BINS_PER_DAY = 86400 // BIN_SECONDS

# Driving time at which the wish for a trip has fallen to 1 / e.
REACH_SECONDS = 1800.0
# Standard deviations of the logarithm of the demand: of the whole city from day to day, and of
# each zone from one two-hour knot to the next.
CITY_SPREAD = 0.06
ZONE_SPREAD = 0.08
ZONE_KNOT_BINS = 24


@dataclass(frozen=True)
class Demand:
    """Expected demand of a network."""

    network: Network
    trips: NDArray[np.float64]  # (3, Z, Z) shares of each pattern from zone to zone; sum 1
    loads: NDArray[np.float64]  # (3, D) shares that pass each detector
    daily_trips: float  # vehicles a weekday
    start: datetime  # midnight at which bin 0 begins

    def rates(self, bins: NDArray[np.int64]) -> NDArray[np.float64]:
        """Expected trips a second of each pattern in ``bins``, before any drift: (3, len(bins))."""
        hour = (bins % BINS_PER_DAY + 0.5) * 24 / BINS_PER_DAY
        weekday = (self.start.weekday() + bins // BINS_PER_DAY) % 7
        shares = np.where(weekday >= 5, _weekend(hour), _weekday(hour))
        return np.asarray(self.daily_trips * shares / 3600)

    def utilisation(self, bins: NDArray[np.int64]) -> NDArray[np.float64]:
        """Expected demand at each detector as a share of its capacity: (len(bins), D).

        Trips count where they pass at the time they start, as if driving took no time.
        """
        capacity = [self.network.roads[name].capacity for name in self.network.detectors]
        return np.asarray(self.rates(bins).T @ self.loads / capacity)


@dataclass(frozen=True)
class Departures:
    """Platoons in the order in which they leave; arrays are (P,)."""

    seconds: NDArray[np.float64]  # from bin 0, negative before
    origins: NDArray[np.int64]  # zones
    destinations: NDArray[np.int64]

    def between(self, first: float, last: float) -> "Departures":
        """Those that leave in [first, last) of bin 0's clock, in seconds since ``first``."""
        low, high = np.searchsorted(self.seconds, [first, last])
        part = slice(int(low), int(high))
        return Departures(self.seconds[part] - first, self.origins[part], self.destinations[part])


def expected_demand(network: Network, level: float, start: datetime) -> Demand:
    """The demand at which the busiest detector of a weekday reaches ``level`` of its capacity."""
    times, routes = zone_routes(network)
    trips = _gravity(network, times)
    detector = {name: index for index, name in enumerate(network.detectors)}
    loads = np.zeros((len(PATTERNS), len(detector)))
    for origin, ways in enumerate(routes):
        for destination, way in enumerate(ways):
            passed = [detector[name] for name in way if name in detector]
            loads[:, passed] += trips[:, origin, destination, None]
    # Any Monday tells the weekday peak of one trip; all else is proportional.
    one = Demand(network, trips, loads, 1.0, datetime(2024, 1, 1))
    peak = float(one.utilisation(np.arange(BINS_PER_DAY)).max())
    return Demand(network, trips, loads, level / peak, start)


def draw_departures(
    demand: Demand, first_bin: int, last_bin: int, rng: np.random.Generator
) -> Departures:
    """Draw the platoons that leave in the bins ``first_bin`` to ``last_bin`` (exclusive).

    A platoon leaves when enough single vehicles have gathered in its zone, so that counts are as
    random as those of a Poisson process of vehicles, not of platoons.
    """
    bins = np.arange(first_bin, last_bin)
    rates = demand.rates(bins)
    city = drift(len(bins), BINS_PER_DAY, CITY_SPREAD, rng)
    parts = []
    for origin in range(len(demand.network.zones)):
        share = np.exp(city + drift(len(bins), ZONE_KNOT_BINS, ZONE_SPREAD, rng))
        by_pattern = rates * demand.trips[:, origin].sum(axis=1)[:, None] * share
        seconds = _arrivals(by_pattern.sum(axis=0), rng)
        position = np.minimum((seconds / BIN_SECONDS).astype(np.int64), len(bins) - 1)
        choice = rng.random(len(seconds)) * by_pattern.sum(axis=0)[position]
        pattern = (choice >= np.cumsum(by_pattern, axis=0)[:-1, position]).sum(axis=0)
        odds = np.cumsum(demand.trips[:, origin], axis=1)
        draw = rng.random(len(seconds)) * odds[pattern, -1]
        destinations = np.empty(len(seconds), dtype=np.int64)
        for number, chances in enumerate(odds):
            these = pattern == number
            destinations[these] = np.searchsorted(chances, draw[these], side="right")
        parts.append((seconds, np.full(len(seconds), origin), destinations))
    seconds, origins, destinations = (np.concatenate([part[k] for part in parts]) for k in range(3))
    order = np.argsort(seconds, kind="stable")
    return Departures(seconds[order] + first_bin * BIN_SECONDS, origins[order], destinations[order])


def _gravity(network: Network, times: NDArray[np.float64]) -> NDArray[np.float64]:
    residents = np.array([zone.residents for zone in network.zones])
    jobs = np.array([zone.jobs for zone in network.zones])
    near = np.exp(-times / REACH_SECONDS)
    np.fill_diagonal(near, 0.0)
    people = residents + jobs
    to_work = residents[:, None] * jobs * near
    to_home = jobs[:, None] * residents * near
    other = people[:, None] * people * near
    return np.stack([trips / trips.sum() for trips in (to_work, to_home, other)])


def _weekday(hour: NDArray[np.float64]) -> NDArray[np.float64]:
    """Trips an hour of each pattern, as shares of the trips of a weekday."""
    evening = _evening(hour)
    to_work, to_home = 0.19 * hump(hour, 7.7, 0.9), 0.21 * hump(hour, 17.2, 1.1)
    return np.stack([to_work, to_home, 0.50 * hump(hour, 13.0, 3.8) + evening])


def _weekend(hour: NDArray[np.float64]) -> NDArray[np.float64]:
    evening = _evening(hour)
    to_work, to_home = 0.04 * hump(hour, 9.0, 1.8), 0.05 * hump(hour, 17.5, 2.5)
    return np.stack([to_work, to_home, 0.58 * hump(hour, 14.0, 3.4) + evening])


def _evening(hour: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evenings and nights are the same on all days, so that midnight has no jump."""
    return 0.08 * hump(hour, 20.2, 1.9) + 0.04 / 24


def _arrivals(rate: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Times (s) at which a platoon is complete, for ``rate`` vehicles a second in each bin."""
    expected = np.concatenate([[0.0], np.cumsum(rate * BIN_SECONDS)])
    # The process began long ago: some of the first platoon are waiting already.
    waiting = int(rng.integers(PLATOON_VEHICLES))
    most = int(expected[-1] / PLATOON_VEHICLES + 10 * np.sqrt(expected[-1]) + 20)
    shapes = np.full(most, float(PLATOON_VEHICLES))
    shapes[0] -= waiting
    gathered = np.cumsum(rng.gamma(shapes))
    gathered = gathered[gathered < expected[-1]]
    return np.asarray(np.interp(gathered, expected, np.arange(len(expected)) * BIN_SECONDS))


# Shortest and longest incident, in 5-minute bins.
SHORTEST_BINS, LONGEST_BINS = 4, 15
# They happen at detectors and times of at least this share of the greatest utilisation, ...
BUSY = 0.4
# ... and leave this share of the expected demand (and at most the given share of the capacity),
# so that every incident bites: a queue grows behind it.
LEFT_OF_DEMAND = (0.35, 0.7)
MOST_LEFT_OF_CAPACITY = 0.7
# Bins that a carriageway is left alone before and after an incident: traffic that one incident
# holds back cannot queue at another.
CALM_BINS = 12


@dataclass(frozen=True)
class Incident:
    """One drop of capacity at the end of a detector's road."""

    detector: int
    first_bin: int
    last_bin: int  # inclusive
    capacity_share: float  # that is left


def draw_incidents(
    demand: Demand, days: int, per_day: float, rng: np.random.Generator
) -> list[Incident]:
    """Draw a Poisson number of incidents a day, at busy places and times, sorted by start.

    Each is within one day. A draw within an hour of another on the same carriageway is left out.
    """
    incidents: list[Incident] = []
    # A detector's name is that of its carriageway and a number.
    ways = [name.rpartition("_")[0] for name in demand.network.detectors]
    greatest = float(demand.utilisation(np.arange(7 * BINS_PER_DAY)).max())
    for day in range(days):
        count = int(rng.poisson(per_day))
        bins = np.arange(day * BINS_PER_DAY, (day + 1) * BINS_PER_DAY - LONGEST_BINS)
        used = demand.utilisation(bins)
        places = np.argwhere(used >= BUSY * greatest)
        for _ in range(count if len(places) else 0):
            position, detector = (int(index) for index in rng.choice(places))
            length = int(rng.integers(SHORTEST_BINS, LONGEST_BINS + 1))
            share = float(rng.uniform(*LEFT_OF_DEMAND) * used[position, detector])
            first = int(bins[position])
            new = Incident(
                detector, first, first + length - 1, round(min(share, MOST_LEFT_OF_CAPACITY), 3)
            )
            if not any(_too_near(new, other, ways) for other in incidents):
                incidents.append(new)
    return sorted(incidents, key=lambda incident: (incident.first_bin, incident.detector))


def _too_near(one: Incident, other: Incident, ways: list[str]) -> bool:
    return (
        ways[one.detector] == ways[other.detector]
        and one.first_bin <= other.last_bin + CALM_BINS
        and other.first_bin <= one.last_bin + CALM_BINS
    )


Curves = dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]


def simulate(
    network: Network,
    departures: Departures,
    drops: list[tuple[int, int, str, float]],
    steps: int,
    seed: int,
    roads: list[str],
) -> Curves:
    """Simulate ``steps`` steps that begin with empty roads.

    Seconds of ``departures`` count from the start of the run; ``drops`` are incidents as first
    step, step after the last, road, share of capacity left; ``seed`` is that of UXsim's own draws
    (the order of merging vehicles). Returns, for each of ``roads``, the vehicles that have entered
    and have left it by the end of each step, each (steps,).
    """
    with _leave_no_trace():
        with warnings.catch_warnings():
            # Importing it causes warnings of its own.
            warnings.simplefilter("ignore")
            import uxsim
            import uxsim.uxsim_cpp
        world = _world(uxsim, network, steps, seed)
        # Before the roads: each platoon has a place for every road that there is when it is made,
        # which nobody reads, and which for a large network would take most of the memory.
        _send(uxsim, world, network, departures)
        for road in network.roads.values():
            world.addLink(
                road.name,
                road.start,
                road.end,
                length=road.length,
                free_flow_speed=road.free_speed,
                jam_density_per_lane=JAM_DENSITY_PER_LANE,
                number_of_lanes=road.lanes,
                merge_priority=road.priority,
            )
        _run(world, network, drops, steps)
    curves = {}
    for name in roads:
        link = world.get_link(name)
        curves[name] = (link.cum_arrival[:steps], link.cum_departure[:steps])
    # A world refers to itself; a month of them would not be freed soon enough.
    del world, link
    gc.collect()
    return curves


@contextmanager
def _leave_no_trace() -> Iterator[None]:
    """Undo what UXsim changes for the whole process: warning filters and format, and fonts."""
    import matplotlib as mpl

    formatwarning = warnings.formatwarning
    try:
        with warnings.catch_warnings(), mpl.rc_context():
            yield
    finally:
        warnings.formatwarning = formatwarning


def _world(uxsim: Any, network: Network, steps: int, seed: int) -> Any:
    seconds = steps * STEP_SECONDS
    world = uxsim.World(
        cpp=True,
        deltan=PLATOON_VEHICLES,
        reaction_time=REACTION_SECONDS,
        # A run that reaches its end starts analyses of every vehicle, which nobody needs.
        tmax=seconds + 10 * STEP_SECONDS,
        random_seed=seed,
        print_mode=0,
        save_mode=0,
        show_mode=0,
        show_progress=0,
        vehicle_logging_timestep_interval=0,
        eular_dt=3600,
        # There is one way between two zones: searching once, in the first step, is enough.
        duo_update_time=2 * seconds,
        duo_noise=0.0,
    )
    for position, name in enumerate(network.junctions()):
        world.addNode(name, position, 0)
    return world


def _send(uxsim: Any, world: Any, network: Network, departures: Departures) -> None:
    """Put the platoons on the timetable.

    `World.addVehicle` would make a Python object of each, which takes longer than the simulation.
    """
    add = uxsim.uxsim_cpp.add_demand
    zones = network.zones
    # The engine makes a platoon whenever that many vehicles have gathered: here in one step,
    # with half a vehicle to spare for rounding.
    flow = (PLATOON_VEHICLES + 0.5) / STEP_SECONDS
    steps = np.floor(departures.seconds / STEP_SECONDS)
    first, last = (steps + 0.25) * STEP_SECONDS, (steps + 1.25) * STEP_SECONDS
    columns = (first, last, departures.origins, departures.destinations)
    for start, end, origin, to in zip(*(column.tolist() for column in columns), strict=True):
        add(world._cpp_world, zones[origin].source, zones[to].sink, start, end, flow, [])


def _run(
    world: Any, network: Network, drops: list[tuple[int, int, str, float]], steps: int
) -> None:
    """Run to the end, with the capacities changed just before the step where each must hold.

    In C++ mode UXsim has no incidents, so the run is cut where a capacity changes. Its
    `World.exec_simulation` looks at Python objects of platoons, which are not there.
    """

    def run_to(step: int) -> None:
        # The engine's end time is inclusive.
        world._cpp_world.main_loop(-1.0, (step - 1) * STEP_SECONDS)

    world.finalize_scenario()
    changes: dict[int, list[tuple[str, float]]] = {}
    for first, end, name, share in drops:
        changes.setdefault(first, []).append((name, share * network.roads[name].capacity))
        usual = world.get_link(name).capacity_out
        changes.setdefault(end, []).append((name, usual))
    for step in sorted(changes):
        if 0 < step < steps:
            run_to(step)
        for name, capacity in changes[step]:
            world.get_link(name).capacity_out = capacity
    run_to(steps)


# Standard deviation of the speeds of single drivers, as a share of the mean.
DRIVER_SPREAD = 0.08


class Bins(NamedTuple):
    """The time in which detectors count: ``number`` bins of ``steps`` steps from ``first_step``."""

    first_step: int
    number: int
    steps: int


def flow_by_bin(
    departures: NDArray[np.float64], moments: NDArray[np.float64], bins: Bins
) -> NDArray[np.float64]:
    """Vehicles that pass the downstream end in each bin: (bins,), whole ones.

    Vehicles of a platoon pass one by one in the time since the platoon before. ``departures`` are
    (K,) vehicles that have left the road by the end of each step; ``moments`` (K,) when in a step
    its last vehicle leaves, a share in (0, 1] drawn at random.
    """
    changes = np.flatnonzero(np.diff(departures, prepend=0.0))
    edges = bins.first_step + bins.steps * np.arange(bins.number + 1)
    times = np.concatenate([[0.0], changes + moments[changes]])
    passed = np.interp(edges, times, np.concatenate([[0.0], departures[changes]]))
    # The tiny addition keeps a whole number whole that interpolation made 2.9999999.
    return np.diff(np.floor(passed + 1e-9))


def speed_by_bin(
    arrivals: NDArray[np.float64], departures: NDArray[np.float64], road: Road, bins: Bins
) -> NDArray[np.float64]:
    """Mean speed on the road in each bin, (bins,) in m/s; the free speed where nobody drove.

    It is the distance driven in the bin over the time spent there (Edie 1963). The n-th arrival is
    the n-th departure, and drives at its mean speed; those still on the road at the end leave then.
    ``arrivals`` and ``departures`` are (K,) vehicles that have entered and left by each step.
    """
    count = len(arrivals)
    entered = _platoon_steps(arrivals)
    left = np.full(len(entered), count)
    gone = _platoon_steps(departures)
    left[: len(gone)] = gone
    pace = road.length / ((left - entered) * STEP_SECONDS)
    change = np.bincount(entered, pace, count + 1) - np.bincount(left, pace, count + 1)
    present = np.bincount(entered, minlength=count + 1) - np.bincount(left, minlength=count + 1)
    window = slice(bins.first_step, bins.first_step + bins.number * bins.steps)
    summed_speed = np.cumsum(change)[window].reshape(bins.number, bins.steps).sum(axis=1)
    vehicles = np.cumsum(present)[window].reshape(bins.number, bins.steps).sum(axis=1)
    mean = np.full(bins.number, road.free_speed)
    np.divide(summed_speed, vehicles, out=mean, where=vehicles > 0)
    return np.asarray(np.clip(mean, 0.0, road.free_speed))


def reported_speed(
    true_speed: NDArray[np.float64], passed: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Speed as the mean over the drivers who passed, who do not all drive alike.

    ``passed`` are vehicles, of the shape of ``true_speed``; without any there is no error.
    """
    spread = np.where(passed > 0, DRIVER_SPREAD / np.sqrt(np.maximum(passed, 1.0)), 0.0)
    error = np.clip(rng.standard_normal(true_speed.shape), -3.0, 3.0)
    return np.asarray(true_speed * (1 + spread * error))


def _platoon_steps(curve: NDArray[np.float64]) -> NDArray[np.int64]:
    """The step of each platoon's passage, from a cumulative count."""
    platoons = np.rint(np.diff(curve, prepend=0.0) / PLATOON_VEHICLES).astype(np.int64)
    return np.repeat(np.arange(len(curve)), platoons)
