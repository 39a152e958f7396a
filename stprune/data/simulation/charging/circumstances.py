"""What the whole city shares: calendar, holidays, storms, cold spells, and the tariff."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

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

    Args:
        hour: Hour of the day, 0 to 23.
        free_day: True on Saturdays, Sundays and holidays.
        holiday: True on holidays.
        storm: True while a storm lasts.
        cold: True in a cold spell.
        tariff: Price of the grid in yuan / kWh.
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
