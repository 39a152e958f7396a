"""Who drives where and when, and local incidents that let fewer vehicles pass than want to.

Three patterns of trips (to work, back home, all others) each have a matrix of origins and
destinations (gravity model) and a profile over the day. Vehicles leave at random, as a Poisson
process whose rate follows the profiles and drifts from day to day and hour to hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from stprune.data.simulation.freeway.network import PLATOON_VEHICLES, Network, ZoneRoutes
from stprune.data.simulation.rhythm import drift, hump

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
    """Expected demand of a network.

    Args:
        network: The network.
        trips: (3, Z, Z), share of the trips of each pattern from zone to zone; each sums to 1.
        loads: (3, D), share of the trips of each pattern that passes each detector.
        daily_trips: Trips a weekday, in vehicles.
        start: Midnight at which bin 0 begins; its weekday tells which days are weekends.
    """

    network: Network
    trips: NDArray[np.float64]
    loads: NDArray[np.float64]
    daily_trips: float
    start: datetime

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
    """Platoons in the order in which they leave; arrays are (P,).

    ``seconds`` count from bin 0, negative before; the others are indices of zones.
    """

    seconds: NDArray[np.float64]
    origins: NDArray[np.int64]
    destinations: NDArray[np.int64]

    def between(self, first: float, last: float) -> Departures:
        """Those that leave in [first, last), in seconds since bin 0."""
        low, high = np.searchsorted(self.seconds, [first, last])
        part = slice(int(low), int(high))
        return Departures(self.seconds[part], self.origins[part], self.destinations[part])


def expected_demand(network: Network, level: float, start: datetime) -> Demand:
    """The demand at which the busiest detector of a weekday reaches ``level`` of its capacity."""
    routes = ZoneRoutes(network)
    trips = _gravity(network, routes.times)
    detector = {name: index for index, name in enumerate(network.detectors)}
    loads = np.zeros((len(PATTERNS), len(detector)))
    for origin in range(len(network.zones)):
        for destination, way in enumerate(routes.ways_from(origin)):
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

    A platoon leaves as soon as enough single vehicles have gathered in its zone, so that counts
    are as random as those of a Poisson process of vehicles, not of platoons.
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
    return np.stack(
        [
            0.19 * hump(hour, 7.7, 0.9),
            0.21 * hump(hour, 17.2, 1.1),
            0.50 * hump(hour, 13.0, 3.8) + evening,
        ]
    )


def _weekend(hour: NDArray[np.float64]) -> NDArray[np.float64]:
    evening = _evening(hour)
    return np.stack(
        [
            0.04 * hump(hour, 9.0, 1.8),
            0.05 * hump(hour, 17.5, 2.5),
            0.58 * hump(hour, 14.0, 3.4) + evening,
        ]
    )


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
    """One drop of capacity at the end of a detector's road.

    It lasts from ``first_bin`` to ``last_bin``, inclusive, and leaves ``capacity_share``.
    """

    detector: int
    first_bin: int
    last_bin: int
    capacity_share: float


def draw_incidents(
    demand: Demand, days: int, per_day: float, rng: np.random.Generator
) -> list[Incident]:
    """Draw a Poisson number of incidents a day, at busy places and times.

    Returns:
        Incidents by start; each within one day. A draw within an hour of another one on the
        same carriageway is left out, so a crowded network has fewer; and a day on which no
        place is busy has none.
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
