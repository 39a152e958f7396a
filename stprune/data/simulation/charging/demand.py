"""Who wants to charge where and when: drivers by kind of zone, hour, day and circumstances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stprune.data.simulation.charging.circumstances import HOURS_PER_DAY, Circumstances
from stprune.data.simulation.charging.city import KINDS, ChargingCity
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

    Args:
        seconds: Arrival in whole seconds since the start of the run.
        zones: Zone that each heads for.
        charging: Seconds at the charger that each needs there.
        patience: Seconds that each waits in one line.
        tries: Zones that each tries before giving up, the own one included.
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

    Args:
        city: The city.
        around: Circumstances of each hour.
        prices: (hours, Z) in yuan / kWh.
        level: Factor on the demand of the whole city.
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
    rounding that could differ from machine to machine.

    Args:
        city: The city.
        around: Circumstances of each hour.
        expected: (hours, Z) drivers an hour before drift.
        extra: (hours, Z) drivers an hour whom events bring on top; they do not drift.
        rng: Source of chance.
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
