"""The queues at all chargers through simpy, and what each zone reports of them by the hour."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from stprune.data.simulation.charging.city import KINDS, ChargingCity
from stprune.data.simulation.charging.demand import HOUR_SECONDS, Disturbance, Drivers

# A driver who finds more cars waiting than this share of the chargers does not join the line.
BALK_SHARE = 0.3
# Time from one zone to the next.
DETOUR_SECONDS = 480
# Lower goes first in simpy: a failure takes a charger from its driver.
FAILURE, DRIVER = 0, 1

Process = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Sessions:
    """What happened at the chargers; a session is one car at one charger; arrays are (S,) int64.

    A session lasts from ``begins`` to ``ends``, in seconds since the start of the run, when it
    ended by itself, by a failure or with the run. Drivers were ``served`` all that they needed,
    have ``left`` without it, or were still ``present`` when the run ended.
    """

    zones: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    served: int
    left: int
    present: int


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
        self.served = self.left = 0

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
            if needed == 0:
                self.served += 1
                return
            others = [other for other in self.city.neighbours[zone] if other not in tried]
            if len(tried) == tries or not others:
                self.left += 1
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
        """As an app would show them: chargers not in use, less cars that wait there."""
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
    """Simulate ``hours`` hours that begin with free chargers; nothing is drawn here.

    Drivers, in order of arrival, hold those of crowds already; outages take chargers out of
    order, no two at once in a zone.
    """
    run = _Run(city)
    # Failures first, so that at the same second they come before drivers.
    for event in events:
        for _ in range(event.chargers_out):
            run.clock.process(run.fail(event))
    end = hours * HOUR_SECONDS
    run.clock.process(run.send(drivers))
    run.clock.run(until=end)
    cut = [(zone, begin, end) for zone, begin in run.charging.values()]
    zones, begins, ends = np.array(run.sessions + cut, dtype=np.int64).reshape(-1, 3).T
    present = int((drivers.seconds < end).sum()) - run.served - run.left
    return Sessions(zones, begins, ends, run.served, run.left, present)


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
