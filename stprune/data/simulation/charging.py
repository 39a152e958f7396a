"""A made-up city that charges its cars: zones, calendar, drivers, disturbances, and the queues.

Offices and shops are in the middle, homes around them. Weather and tariff are the same everywhere.
"""

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
import simpy
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from stprune.data.simulation.shared import drift, hump

# Zones are cells of a jittered grid this far apart; two that touch and lie at most
# `TOUCHING_KM` apart are neighbours, so that the rim of the map is not linked across the country.
SPACING_KM = 2.5
JITTER_KM = 0.8
TOUCHING_KM = 1.8 * SPACING_KM
SMALLEST_SITE = 4


@dataclass(frozen=True)
class Kind:
    """What people do in a zone while their car charges."""

    name: str
    hours: float  # median time at a charger
    hours_spread: float  # standard deviation of its logarithm
    watts: int  # of a charger
    patience_minutes: float  # mean time in line
    moves_on: float  # share of drivers without a charger who try a neighbouring zone
    fee: float  # operator's mean in yuan / kWh


KINDS = (
    Kind("home", 4.2, 0.40, 7_000, 60.0, 0.4, 0.30),
    Kind("work", 3.0, 0.35, 11_000, 25.0, 0.5, 0.40),
    Kind("shop", 1.2, 0.45, 30_000, 12.0, 0.6, 0.60),
    Kind("transit", 0.9, 0.40, 50_000, 15.0, 0.9, 0.70),
)
HOME, WORK, SHOP, TRANSIT = range(len(KINDS))
# Shares of the kinds in the centre and at the rim.
CENTRE_MIX = (0.15, 0.40, 0.30, 0.15)
RIM_MIX = (0.65, 0.10, 0.10, 0.15)


@dataclass(frozen=True)
class ChargingCity:
    """Zones and how they lie."""

    kinds: NDArray[np.int64]  # (Z,) index into `KINDS`
    chargers: NDArray[np.int64]  # (Z,)
    popularity: NDArray[np.float64]  # (Z,) demand relative to others of its kind and size
    places: NDArray[np.float64]  # (Z, 2) km east and north of the centre
    neighbours: list[list[int]]  # of each zone, nearest first

    @property
    def names(self) -> list[str]:
        """Names of the zones, such as ``zone_007_home``."""
        return [f"zone_{zone:03d}_{KINDS[kind].name}" for zone, kind in enumerate(self.kinds)]

    def adjacency(self) -> NDArray[np.float32]:
        """(Z, Z) float32, symmetric: 1 between neighbours, 0 elsewhere and on the diagonal."""
        weights = np.zeros((len(self.kinds), len(self.kinds)), dtype=np.float32)
        for zone, others in enumerate(self.neighbours):
            weights[zone, others] = 1.0
        return weights


def build_city(zones: int, mean_chargers: float, rng: np.random.Generator) -> ChargingCity:
    """Lay out a city of at least 4 zones (fewer have no inside)."""
    places = _places(zones, rng)
    outward = np.hypot(*places.T) / np.hypot(*places.T).max()
    mix = (1 - outward[:, None]) * np.array(CENTRE_MIX) + outward[:, None] * np.array(RIM_MIX)
    kinds = (rng.random(zones)[:, None] >= np.cumsum(mix, axis=1)[:, :-1]).sum(axis=1)
    # A lognormal of this spread has a mean of exp(spread^2 / 2) times its median.
    sizes = mean_chargers * np.exp(rng.normal(0.0, 0.5, zones) - 0.5**2 / 2)
    return ChargingCity(
        kinds=kinds,
        chargers=np.maximum(np.rint(sizes), SMALLEST_SITE).astype(np.int64),
        popularity=np.exp(rng.normal(0.0, 0.25, zones) - 0.25**2 / 2),
        places=places,
        neighbours=_neighbours(places),
    )


def _places(zones: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """The cells of a square grid that are nearest to its middle, each moved a little: (Z, 2)."""
    side = int(np.ceil(np.sqrt(zones))) + 2
    cells = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)
    centred = (cells - (side - 1) / 2) * SPACING_KM
    nearest = np.argsort(np.hypot(*centred.T), kind="stable")[:zones]
    # In rows from south to north, so that neighbours have numbers near each other.
    return centred[np.sort(nearest)] + rng.uniform(-JITTER_KM, JITTER_KM, (zones, 2))


def _neighbours(places: NDArray[np.float64]) -> list[list[int]]:
    """Zones whose cells touch (Delaunay), nearest first; the nearest is never too far to count."""
    touching: list[set[int]] = [set() for _ in places]
    for corners in Delaunay(places).simplices.tolist():
        for corner in corners:
            touching[corner].update(other for other in corners if other != corner)
    apart = np.hypot(*(places[:, None] - places[None, :]).transpose(2, 0, 1))
    return [
        sorted((other for other in others if row[other] <= TOUCHING_KM), key=lambda o: (row[o], o))
        for others, row in zip(touching, apart.tolist(), strict=True)
    ]


HOURS_PER_DAY = 24
# One of each in so many days, on average; and their shortest and longest length.
HOLIDAY_EVERY_DAYS, HOLIDAY_DAYS = 60, (3, 7)
STORM_EVERY_DAYS, STORM_HOURS = 20, (6, 24)
COLD_EVERY_DAYS, COLD_DAYS = 45, (3, 6)
# The grid's price in yuan / kWh by hour of the day: night, day, and the two peaks.
NIGHT_PRICE, DAY_PRICE, PEAK_PRICE = 0.35, 0.70, 1.10
NIGHT_HOURS = (23, 0, 1, 2, 3, 4, 5, 6)
PEAK_HOURS = (10, 11, 14, 15, 16, 17, 18)


@dataclass(frozen=True)
class Circumstances:
    """What holds in each hour for all zones; arrays are (hours,)."""

    hour: NDArray[np.int64]  # of the day
    free_day: NDArray[np.bool_]  # Saturday, Sunday or holiday
    holiday: NDArray[np.bool_]
    storm: NDArray[np.bool_]
    cold: NDArray[np.bool_]
    tariff: NDArray[np.float64]  # price of the grid in yuan / kWh


def draw_circumstances(start: datetime, days: int, rng: np.random.Generator) -> Circumstances:
    """Draw the circumstances of ``days`` days from midnight ``start`` on."""
    hours = days * HOURS_PER_DAY
    hour = np.arange(hours) % HOURS_PER_DAY
    weekday = (start.weekday() + np.arange(hours) // HOURS_PER_DAY) % 7
    holiday = np.repeat(_spells(days, HOLIDAY_EVERY_DAYS, HOLIDAY_DAYS, rng), HOURS_PER_DAY)
    storm = _spells(hours, STORM_EVERY_DAYS * HOURS_PER_DAY, STORM_HOURS, rng)
    cold = np.repeat(_spells(days, COLD_EVERY_DAYS, COLD_DAYS, rng), HOURS_PER_DAY)
    tariff = np.full(HOURS_PER_DAY, DAY_PRICE)
    tariff[list(NIGHT_HOURS)] = NIGHT_PRICE
    tariff[list(PEAK_HOURS)] = PEAK_PRICE
    return Circumstances(hour, (weekday >= 5) | holiday, holiday, storm, cold, tariff[hour])


def _spells(
    steps: int, every: int, length: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """A Poisson number of spells, each of a uniform length, both ends included: (steps,)."""
    inside = np.zeros(steps, dtype=np.bool_)
    for _ in range(int(rng.poisson(steps / every))):
        first = int(rng.integers(steps))
        inside[first : first + int(rng.integers(length[0], length[1] + 1))] = True
    return inside


HOUR_SECONDS = 3600
SHORTEST_SECONDS, LONGEST_SECONDS = 300, 14 * HOUR_SECONDS
MOST_TRIES = 3

# Drivers a charger and day, by kind; with the median times this keeps a charger of an average
# zone busy for a third to a half of the day.
WEEKDAY_DRIVERS = np.array([2.0, 2.3, 5.5, 9.5])
FREE_DAY_DRIVERS = np.array([1.8, 0.6, 7.5, 8.0])
# What circumstances leave of the demand, by kind.
ON_HOLIDAYS = np.array([0.8, 0.5, 1.15, 1.35])
IN_STORMS = np.array([0.85, 0.6, 0.2, 0.35])
# Cold batteries take longer.
COLD_SECONDS_SHARE = 1.25
# Relative change of demand for a relative change of the price.
PRICE_RESPONSE = 0.25
# More electric cars every day: what they add in a year.
GROWTH_A_YEAR = 0.25
# Standard deviations of the logarithm of the demand: the city's from day to day, a zone's from
# half day to half day, and a zone's slow change over two weeks.
CITY_SPREAD, ZONE_SPREAD, SLOW_SPREAD = 0.07, 0.10, 0.12
ZONE_KNOT_HOURS, SLOW_KNOT_HOURS = 12, 14 * HOURS_PER_DAY
# Fees of operators differ between zones, and change with every four weeks.
FEE_SPREAD, FEE_HOURS = 0.1, 28 * HOURS_PER_DAY


@dataclass(frozen=True)
class Drivers:
    """Drivers in the order in which they arrive; arrays are (K,) int64, times in seconds."""

    seconds: NDArray[np.int64]  # from the start of the run
    zones: NDArray[np.int64]
    charging: NDArray[np.int64]  # at a charger
    patience: NDArray[np.int64]  # in one line
    tries: NDArray[np.int64]  # zones before giving up, the own one included


def draw_prices(
    city: ChargingCity, around: Circumstances, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Tariff and operator's fee in yuan / kWh, in whole fen: (hours, Z)."""
    months = len(around.hour) // FEE_HOURS + 1
    mean = np.array([KINDS[kind].fee for kind in city.kinds])
    fees = mean * np.exp(rng.normal(0.0, FEE_SPREAD, (months, len(mean))))
    by_hour = fees[np.arange(len(around.hour)) // FEE_HOURS]
    return np.asarray(np.round(around.tariff[:, None] + by_hour, 2), dtype=np.float64)


def expected_drivers(
    city: ChargingCity, around: Circumstances, prices: NDArray[np.float64], level: float
) -> NDArray[np.float64]:
    """Drivers an hour that are expected in each zone, before drift: (hours, Z).

    ``prices`` is (hours, Z) in yuan / kWh; ``level`` scales the demand of the whole city.
    """
    hour = np.arange(HOURS_PER_DAY, dtype=np.float64) + 0.5
    weekday = _weekday(hour) * WEEKDAY_DRIVERS
    free_day = _free_day(hour) * FREE_DAY_DRIVERS
    by_kind = np.where(around.free_day[:, None], free_day[around.hour], weekday[around.hour])
    by_kind = by_kind * np.where(around.holiday[:, None], ON_HOLIDAYS, 1.0)
    by_kind = by_kind * np.where(around.storm[:, None], IN_STORMS, 1.0)
    dear = prices / prices.mean(axis=0) - 1
    growth = 1 + GROWTH_A_YEAR * np.arange(len(around.hour)) / (365 * HOURS_PER_DAY)
    size = level * city.popularity * city.chargers
    drivers = by_kind[:, city.kinds] * size * np.exp(-PRICE_RESPONSE * dear) * growth[:, None]
    return np.asarray(drivers, dtype=np.float64)


def draw_drivers(
    city: ChargingCity,
    around: Circumstances,
    expected: NDArray[np.float64],
    extra: NDArray[np.float64],
    rng: np.random.Generator,
) -> Drivers:
    """Draw drivers as a Poisson process whose rate drifts from day to day and zone to zone.

    ``expected`` is (hours, Z) drivers an hour before drift; ``extra`` those whom events bring.
    """
    hours, zones = expected.shape
    shared = drift(hours, HOURS_PER_DAY, CITY_SPREAD, rng)
    change = [
        shared
        + drift(hours, ZONE_KNOT_HOURS, ZONE_SPREAD, rng)
        + drift(hours, SLOW_KNOT_HOURS, SLOW_SPREAD, rng)
        for _ in range(zones)
    ]
    counts = rng.poisson(expected * np.exp(np.stack(change, axis=1)) + extra)
    hour, zone = np.divmod(np.repeat(np.arange(hours * zones), counts.reshape(-1)), zones)
    seconds = hour * HOUR_SECONDS + rng.integers(HOUR_SECONDS, size=len(hour))
    kinds = city.kinds[zone]
    charging = np.array([kind.hours for kind in KINDS])[kinds] * HOUR_SECONDS
    charging *= np.exp(rng.normal(0.0, np.array([kind.hours_spread for kind in KINDS])[kinds]))
    charging *= np.where(around.cold[hour], COLD_SECONDS_SHARE, 1.0)
    charging = np.clip(np.rint(charging), SHORTEST_SECONDS, LONGEST_SECONDS)
    patience = rng.exponential(np.array([kind.patience_minutes for kind in KINDS])[kinds] * 60)
    moves_on = np.array([kind.moves_on for kind in KINDS])[kinds]
    moves = rng.random((MOST_TRIES - 1, len(kinds))) < moves_on
    tries = 1 + np.cumprod(moves, axis=0).sum(axis=0)
    order = np.argsort(seconds, kind="stable")
    columns = (seconds, zone, charging, np.rint(patience) + 1, tries)
    return Drivers(*(column[order].astype(np.int64) for column in columns))


def _weekday(hour: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of a weekday's drivers an hour: (24, kinds), each column sums to about 1."""
    flat = np.full_like(hour, 1 / HOURS_PER_DAY)
    home = 0.70 * hump(hour, 18.8, 1.7) + 0.15 * hump(hour, 23.3, 1.0) + 0.15 * flat
    work = 0.75 * hump(hour, 8.6, 0.9) + 0.20 * hump(hour, 13.4, 1.2) + 0.05 * flat
    shop = 0.35 * hump(hour, 12.3, 1.5) + 0.55 * hump(hour, 18.2, 2.0) + 0.10 * flat
    night, noon = hump(hour, 23.6, 1.4), hump(hour, 12.5, 1.3)
    transit = 0.22 * noon + 0.18 * hump(hour, 16.8, 1.2) + 0.22 * night + 0.38 * flat
    return np.stack([home, work, shop, transit], axis=1)


def _free_day(hour: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same for Saturdays, Sundays and holidays."""
    flat = np.full_like(hour, 1 / HOURS_PER_DAY)
    home = 0.50 * hump(hour, 18.5, 3.0) + 0.25 * hump(hour, 12.0, 2.5) + 0.25 * flat
    work = 0.70 * hump(hour, 11.0, 2.5) + 0.30 * flat
    shop = 0.80 * hump(hour, 14.8, 2.9) + 0.12 * hump(hour, 19.5, 1.5) + 0.08 * flat
    night, noon = hump(hour, 0.3, 1.6), hump(hour, 13.2, 2.2)
    transit = 0.30 * noon + 0.22 * night + 0.48 * flat
    return np.stack([home, work, shop, transit], axis=1)


# Outages take this share of a zone's chargers for about 8 hours, at times of at least half of
# the zone's usual peak, so that each is felt.
OUT_SHARE = (0.5, 1.0)
OUTAGE_HOURS, OUTAGE_SPREAD, SHORTEST_OUTAGE, LONGEST_OUTAGE = 8.0, 0.6, 3, 36
FELT_SHARE = 0.5
# Crowds come in the evening, where no one lives and chargers would not be busy anyway, and would
# keep this share of the chargers busy on top of the usual demand.
CROWD_HOURS, CROWD_LOAD = (4, 7), (0.8, 1.6)
CALM_SHARE = 0.6
FIRST_START, LAST_START = 16, 18
# Share of the hours in which a zone has less than its usual peak of demand.
USUAL_PEAK = 0.99
# A zone and its neighbours are left alone for so long before and after an event.
CALM_HOURS = 12


@dataclass(frozen=True)
class Disturbance:
    """One event in a zone, hours inclusive and counted from the start of the run."""

    kind: Literal["outage", "crowd"]
    zone: int
    first_hour: int
    last_hour: int
    chargers_out: int = 0  # by an outage
    extra_drivers: float = 0.0  # an hour, by a crowd


def draw_disturbances(
    city: ChargingCity,
    expected: NDArray[np.float64],
    first_hour: int,
    outages: float,
    crowds: float,
    rng: np.random.Generator,
) -> list[Disturbance]:
    """Draw a Poisson number of both, sorted by start; none ends after the run or near another one.

    ``outages`` and ``crowds`` are expected numbers, before those near another are left out;
    ``expected`` is (hours, Z) drivers an hour; nothing happens before ``first_hour``, a midnight.
    """
    wanted = [
        *(_crowd(city, expected, first_hour, rng) for _ in range(rng.poisson(crowds))),
        *(_outage(city, expected, first_hour, rng) for _ in range(rng.poisson(outages))),
    ]
    events: list[Disturbance] = []
    for new in wanted:
        fits = new is not None and new.last_hour < len(expected)
        if new is not None and fits and not any(_too_near(new, other, city) for other in events):
            events.append(new)
    return sorted(events, key=lambda event: (event.first_hour, event.zone))


def extra_drivers(events: list[Disturbance], hours: int, zones: int) -> NDArray[np.float64]:
    """Drivers an hour whom the events bring: (hours, Z)."""
    extra = np.zeros((hours, zones))
    for event in events:
        extra[event.first_hour : event.last_hour + 1, event.zone] += event.extra_drivers
    return extra


def _outage(
    city: ChargingCity, expected: NDArray[np.float64], first_hour: int, rng: np.random.Generator
) -> Disturbance | None:
    zone = int(rng.integers(len(city.kinds)))
    busy = expected[:, zone] >= FELT_SHARE * np.quantile(expected[:, zone], USUAL_PEAK)
    starts = first_hour + np.flatnonzero(busy[first_hour:])
    length = OUTAGE_HOURS * np.exp(rng.normal(0.0, OUTAGE_SPREAD))
    length = int(np.clip(np.rint(length), SHORTEST_OUTAGE, LONGEST_OUTAGE))
    share = rng.uniform(*OUT_SHARE)
    if not len(starts):
        return None
    first = int(rng.choice(starts))
    out = max(1, round(share * int(city.chargers[zone])))
    return Disturbance("outage", zone, first, first + length - 1, chargers_out=out)


def _crowd(
    city: ChargingCity, expected: NDArray[np.float64], first_hour: int, rng: np.random.Generator
) -> Disturbance | None:
    day = int(rng.integers(first_hour // HOURS_PER_DAY, len(expected) // HOURS_PER_DAY))
    first = day * HOURS_PER_DAY + int(rng.integers(FIRST_START, LAST_START + 1))
    length = int(rng.integers(CROWD_HOURS[0], CROWD_HOURS[1] + 1))
    load = rng.uniform(*CROWD_LOAD)
    usual = expected[first : first + length].mean(axis=0)
    calm = usual < CALM_SHARE * np.quantile(expected, USUAL_PEAK, axis=0)
    venues = np.flatnonzero(calm & (city.kinds != HOME))
    if not len(venues):
        return None
    zone = int(rng.choice(venues))
    busy_chargers = load * int(city.chargers[zone])
    drivers = round(busy_chargers / KINDS[city.kinds[zone]].hours, 1)
    return Disturbance("crowd", zone, first, first + length - 1, extra_drivers=drivers)


def _too_near(one: Disturbance, other: Disturbance, city: ChargingCity) -> bool:
    return (
        (one.zone == other.zone or one.zone in city.neighbours[other.zone])
        and one.first_hour <= other.last_hour + CALM_HOURS
        and other.first_hour <= one.last_hour + CALM_HOURS
    )


# A driver who finds more cars waiting than this share of the chargers does not join the line.
BALK_SHARE = 0.3
# Time from one zone to the next.
DETOUR_SECONDS = 480
# Lower goes first in simpy: a failure takes a charger from its driver.
FAILURE, DRIVER = 0, 1

Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Sessions:
    """One car at one charger each, in seconds since the start of the run; arrays are (S,) int64."""

    zones: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]


class _Run:
    """All zones of one run."""

    def __init__(self, city: ChargingCity) -> None:
        self.city = city
        self.clock = simpy.Environment()
        self.sites = [
            simpy.PreemptiveResource(self.clock, capacity) for capacity in city.chargers.tolist()
        ]
        self.sessions: list[tuple[int, int, int]] = []
        # Sessions that go on, by their driver: those that the run's end cuts.
        self.charging: dict[int, tuple[int, int]] = {}

    def send(self, drivers: Drivers) -> Process:
        """Let every driver arrive in time."""
        rows = np.stack([drivers.zones, drivers.charging, drivers.patience, drivers.tries], axis=1)
        pairs = zip(drivers.seconds.tolist(), rows.tolist(), strict=True)
        for driver, (second, row) in enumerate(pairs):
            if second > self.clock.now:
                yield self.clock.timeout(second - self.clock.now)
            self.clock.process(self.drive(driver, *row))

    def drive(self, driver: int, zone: int, needed: int, patience: int, tries: int) -> Process:
        """One driver: charge here, or try the freest neighbouring zone, or give up."""
        tried = [zone]
        while True:
            needed -= yield from self.charge(driver, zone, needed, patience)
            others = [other for other in self.city.neighbours[zone] if other not in tried]
            if needed == 0 or len(tried) == tries or not others:
                return
            zone = max(others, key=self.free_chargers)
            tried.append(zone)
            yield self.clock.timeout(DETOUR_SECONDS)

    def charge(
        self, driver: int, zone: int, needed: int, patience: int
    ) -> Generator[simpy.Event, Any, int]:
        """Charge in ``zone`` if a charger is free in time; returns the seconds charged."""
        site = self.sites[zone]
        if len(site.queue) > BALK_SHARE * site.capacity:
            return 0
        with site.request(priority=DRIVER, preempt=False) as place:
            if not place.triggered:
                yield place | self.clock.timeout(patience)
                if not place.triggered:
                    return 0
            begin = int(self.clock.now)
            self.charging[driver] = (zone, begin)
            # A failure interrupts; the driver goes on with what is still needed.
            with suppress(simpy.Interrupt):
                yield self.clock.timeout(needed)
            del self.charging[driver]
            end = int(self.clock.now)
            self.sessions.append((zone, begin, end))
            return end - begin

    def free_chargers(self, zone: int) -> int:
        """Count free chargers as an app shows them: those not in use, less cars that wait there."""
        site = self.sites[zone]
        return int(site.capacity - site.count - len(site.queue))

    def fail(self, event: Disturbance) -> Process:
        """Take one charger out of order while ``event`` lasts."""
        yield self.clock.timeout(event.first_hour * HOUR_SECONDS)
        with self.sites[event.zone].request(priority=FAILURE, preempt=True) as place:
            yield place
            yield self.clock.timeout((event.last_hour + 1) * HOUR_SECONDS - self.clock.now)


def simulate(
    city: ChargingCity, drivers: Drivers, events: list[Disturbance], hours: int
) -> Sessions:
    """Simulate ``hours`` hours that begin with free chargers; nothing is drawn here."""
    run = _Run(city)
    # Failures first, so that at the same second they come before drivers.
    for event in events:
        for _ in range(event.chargers_out):
            run.clock.process(run.fail(event))
    end = hours * HOUR_SECONDS
    run.clock.process(run.send(drivers))
    run.clock.run(until=end)
    cut = [(zone, begin, end) for zone, begin in run.charging.values()]
    return Sessions(*np.array(run.sessions + cut, dtype=np.int64).reshape(-1, 3).T)


JOULES_PER_KWH = 3_600_000


def busy_seconds(sessions: Sessions, hours: int, zones: int) -> NDArray[np.int64]:
    """Seconds that cars spent at the chargers of each zone in each hour: (hours, Z) int64."""
    busy = np.zeros((hours, zones), dtype=np.int64)
    zone, begins, ends = sessions.zones, sessions.begins, sessions.ends
    while len(begins):
        hour = begins // HOUR_SECONDS
        until = np.minimum(ends, (hour + 1) * HOUR_SECONDS)
        np.add.at(busy, (hour, zone), until - begins)
        later = until < ends
        zone, begins, ends = zone[later], until[later], ends[later]
    return busy


def volume(city: ChargingCity, busy: NDArray[np.int64]) -> NDArray[np.float64]:
    """Energy delivered in kWh: (hours, Z); every charger of a zone has the power of its kind."""
    watts = np.array([KINDS[kind].watts for kind in city.kinds], dtype=np.int64)
    return np.asarray(busy * watts / JOULES_PER_KWH)
