"""Local events: chargers that fail, and crowds that come for a concert or a match."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stprune.data.simulation.charging.circumstances import HOURS_PER_DAY
from stprune.data.simulation.charging.city import HOME, KINDS, ChargingCity

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
    """One event.

    Args:
        kind: ``outage`` or ``crowd``.
        zone: Zone in which it happens.
        first_hour: First hour of it, counted from the start of the run.
        last_hour: Last hour of it, inclusive.
        chargers_out: Chargers that are out of order; 0 for a crowd.
        extra_drivers: Additional drivers an hour; 0 for an outage.
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

    Args:
        city: The city.
        expected: (hours, Z) drivers an hour, from midnight on: tells where an outage is felt.
        first_hour: Hour before which nothing happens, a midnight.
        outages: Expected outages, before those that would be near another are left out.
        crowds: The same for crowds.
        rng: Source of chance.

    Returns:
        Events by start.
    """
    wanted = [
        *(_crowd(city, expected, first_hour, rng) for _ in range(rng.poisson(crowds))),
        *(_outage(city, expected, first_hour, rng) for _ in range(rng.poisson(outages))),
    ]
    found: list[Disturbance] = []
    for new in wanted:
        fits = new is not None and new.last_hour < len(expected)
        if new is not None and fits and not any(_too_near(new, other, city) for other in found):
            found.append(new)
    return sorted(found, key=lambda event: (event.first_hour, event.zone))


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
