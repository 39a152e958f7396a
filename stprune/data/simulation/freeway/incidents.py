"""Local incidents: for a while a segment lets fewer vehicles pass than want to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stprune.data.simulation.freeway.demand import BINS_PER_DAY, Demand

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
    """One drop of capacity.

    Args:
        detector: Index of the detector at whose road's end it happens.
        first_bin: First 5-minute bin of it.
        last_bin: Last bin of it, inclusive.
        capacity_share: Share of the road's capacity that is left.
    """

    detector: int
    first_bin: int
    last_bin: int
    capacity_share: float


def draw_incidents(
    demand: Demand, days: int, per_day: float, rng: np.random.Generator
) -> list[Incident]:
    """Draw a Poisson number of incidents a day, at busy places and times.

    Args:
        demand: Tells what is busy.
        days: Days from bin 0 on.
        per_day: Expected incidents a day in the whole network.
        rng: Source of chance.

    Returns:
        Incidents by start; each within one day. A draw within an hour of another one on the
        same carriageway is left out, so a crowded network has fewer; and a day on which no
        place is busy has none.
    """
    found: list[Incident] = []
    # Names of detectors are that of the carriageway and a number.
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
            if not any(_too_near(new, other, ways) for other in found):
                found.append(new)
    return sorted(found, key=lambda incident: (incident.first_bin, incident.detector))


def _too_near(one: Incident, other: Incident, ways: list[str]) -> bool:
    return (
        ways[one.detector] == ways[other.detector]
        and one.first_bin <= other.last_bin + CALM_BINS
        and other.first_bin <= one.last_bin + CALM_BINS
    )
