"""Who wants to charge where and when, and local events: chargers that fail, and crowds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stprune.data.simulation.charging.city import (
    HOME,
    HOURS_PER_DAY,
    KINDS,
    ChargingCity,
    Circumstances,
)
from stprune.data.simulation.rhythm import drift, hump

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
    """Drivers in the order in which they arrive; arrays are (K,) int64.

    ``seconds`` count from the start of the run; ``charging`` and ``patience`` are seconds at a
    charger and in one line; ``tries`` counts the zones before giving up, the own one included.
    """

    seconds: NDArray[np.int64]
    zones: NDArray[np.int64]
    charging: NDArray[np.int64]
    patience: NDArray[np.int64]
    tries: NDArray[np.int64]


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

    Seconds are whole numbers, and so is all that follows from them: sums over sessions have no
    rounding that could differ from machine to machine. ``expected`` is (hours, Z) drivers an hour
    before drift; ``extra`` those whom events bring on top, without drift.
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
    """One event in a zone, hours inclusive and counted from the start of the run.

    An outage takes ``chargers_out`` chargers; a crowd brings ``extra_drivers`` an hour.
    """

    kind: Literal["outage", "crowd"]
    zone: int
    first_hour: int
    last_hour: int
    chargers_out: int = 0
    extra_drivers: float = 0.0


def draw_disturbances(
    city: ChargingCity,
    expected: NDArray[np.float64],
    first_hour: int,
    outages: float,
    crowds: float,
    rng: np.random.Generator,
) -> list[Disturbance]:
    """Draw a Poisson number of both kinds; none ends after the run or near another one.

    ``outages`` and ``crowds`` are expected numbers, before those near another are left out;
    ``expected`` is (hours, Z) drivers an hour and tells where an outage is felt; nothing happens
    before ``first_hour``, a midnight.

    Returns:
        Events by start.
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
