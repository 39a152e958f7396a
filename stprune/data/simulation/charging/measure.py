"""What a zone reports for each hour: chargers in use and energy delivered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stprune.data.simulation.charging.city import KINDS, ChargingCity
from stprune.data.simulation.charging.demand import HOUR_SECONDS
from stprune.data.simulation.charging.run import Sessions

JOULES_PER_KWH = 3_600_000


def busy_seconds(sessions: Sessions, hours: int, zones: int) -> NDArray[np.int64]:
    """Seconds that cars spent at the chargers of each zone in each hour: (hours, Z) int64."""
    busy = np.zeros((hours, zones), dtype=np.int64)
    begins = sessions.begins
    while len(begins):
        hour = begins // HOUR_SECONDS
        ends = np.minimum(sessions.ends, (hour + 1) * HOUR_SECONDS)
        np.add.at(busy, (hour, sessions.zones), ends - begins)
        later = ends < sessions.ends
        sessions = _some(sessions, later)
        begins = ends[later]
    return busy


def occupancy(busy: NDArray[np.int64]) -> NDArray[np.float64]:
    """Chargers in use, mean over the hour: (hours, Z), from `busy_seconds`."""
    return busy / HOUR_SECONDS


def volume(city: ChargingCity, busy: NDArray[np.int64]) -> NDArray[np.float64]:
    """Energy delivered in kWh: (hours, Z); every charger of a zone has the power of its kind."""
    watts = np.array([KINDS[kind].watts for kind in city.kinds], dtype=np.int64)
    return np.asarray(busy * watts / JOULES_PER_KWH)


def _some(sessions: Sessions, chosen: NDArray[np.bool_]) -> Sessions:
    return Sessions(
        sessions.zones[chosen],
        sessions.begins[chosen],
        sessions.ends[chosen],
        sessions.served,
        sessions.left,
        sessions.present,
    )
