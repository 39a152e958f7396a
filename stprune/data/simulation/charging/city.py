"""A made-up city of zones with chargers, and what all of it shares: calendar, weather, tariff.

Offices and shops are in the middle, homes around them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

# Zones are cells of a jittered grid this far apart; two that touch and lie at most
# `TOUCHING_KM` apart are neighbours, so that the rim of the map is not linked across the country.
SPACING_KM = 2.5
JITTER_KM = 0.8
TOUCHING_KM = 1.8 * SPACING_KM
SMALLEST_SITE = 4


@dataclass(frozen=True)
class Kind:
    """What people do in a zone while their car charges.

    ``hours`` is the median time at a charger and ``hours_spread`` the standard deviation of its
    logarithm; ``watts`` the power of a charger; ``patience_minutes`` the mean time in line;
    ``moves_on`` the share of drivers without a charger who try a neighbouring zone; ``fee`` the
    operator's mean fee in yuan / kWh.
    """

    name: str
    hours: float
    hours_spread: float
    watts: int
    patience_minutes: float
    moves_on: float
    fee: float


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
    """Zones and how they lie.

    Args:
        kinds: (Z,) index into `KINDS`.
        chargers: (Z,) chargers of each zone.
        popularity: (Z,) demand of a zone relative to others of its kind and size; mean about 1.
        places: (Z, 2) km east and north of the centre.
        neighbours: For each zone the neighbouring zones, nearest first.
    """

    kinds: NDArray[np.int64]
    chargers: NDArray[np.int64]
    popularity: NDArray[np.float64]
    places: NDArray[np.float64]
    neighbours: list[list[int]]

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
    """Lay out a city of at least 4 zones (fewer have no inside).

    The chargers of a zone spread widely about ``mean_chargers``; ``rng`` draws places, kinds,
    sizes and popularity.
    """
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
    """Zones whose cells touch (Delaunay), nearest first.

    The nearest zone always touches and is nearer than `TOUCHING_KM`, so none is left alone.
    """
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
    """What holds in each hour for all zones; arrays are (hours,).

    ``hour`` is the hour of the day; a ``free_day`` a Saturday, Sunday or holiday; ``cold`` a cold
    spell; ``tariff`` the price of the grid in yuan / kWh.
    """

    hour: NDArray[np.int64]
    free_day: NDArray[np.bool_]
    holiday: NDArray[np.bool_]
    storm: NDArray[np.bool_]
    cold: NDArray[np.bool_]
    tariff: NDArray[np.float64]


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
