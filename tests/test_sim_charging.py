"""The simulated charging: queues by hand, and what holds for any drivers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stprune.data.simulation.charging import (
    BALK_SHARE,
    DETOUR_SECONDS,
    HOME,
    ChargingCity,
    Disturbance,
    Drivers,
    Sessions,
    busy_seconds,
    simulate,
)


def city_of(*chargers: int) -> ChargingCity:
    """Zones in a row, each with the zones beside it as neighbours."""
    zones = len(chargers)
    return ChargingCity(
        kinds=np.full(zones, HOME),
        chargers=np.array(chargers),
        popularity=np.ones(zones),
        places=np.stack([np.arange(zones), np.zeros(zones)], axis=1),
        neighbours=[[z for z in (zone - 1, zone + 1) if 0 <= z < zones] for zone in range(zones)],
    )


def drivers_of(*rows: tuple[int, int, int, int, int]) -> Drivers:
    """Rows are second, zone, seconds needed, patience, tries."""
    return Drivers(*np.array(rows, dtype=np.int64).reshape(-1, 5).T)


def rows_of(sessions: Sessions) -> set[tuple[int, int, int]]:
    columns = (sessions.zones.tolist(), sessions.begins.tolist(), sessions.ends.tolist())
    return set(zip(*columns, strict=True))


def test_a_line_by_hand() -> None:
    assert (DETOUR_SECONDS, BALK_SHARE) == (480, 0.3)
    drivers = drivers_of(
        (0, 0, 3600, 600, 2),  # Charges at once.
        (100, 0, 1000, 600, 2),  # Waits here until 700, next door from 1180 to 1780; gives up.
        (200, 0, 2000, 600, 2),  # Sees one waiting, goes next door: from 680 to 2680.
        (2500, 1, 5000, 300, 1),  # Waits until 2680 and is cut by the end of the run.
        (7300, 1, 100, 100, 1),  # Would come after the end.
    )
    sessions = simulate(city_of(1, 1), drivers, [], 2)
    assert rows_of(sessions) == {(0, 0, 3600), (1, 680, 2680), (1, 2680, 7200)}
    assert (sessions.served, sessions.left, sessions.present) == (2, 1, 1)
    busy = busy_seconds(sessions, 2, 2)
    np.testing.assert_array_equal(busy, [[3600, 2000 + 920], [0, 3600]])


def test_an_outage_by_hand() -> None:
    outage = Disturbance("outage", 0, first_hour=1, last_hour=1, chargers_out=1)
    drivers = drivers_of(
        (0, 0, 5400, 600, 1),  # Keeps the charger that is left.
        (60, 0, 5400, 600, 2),  # Last come, cut at 3600; the rest next door, from 4080 to 5940.
        (3700, 0, 600, 7200, 1),  # Waits until 5400.
        (5500, 0, 1200, 7200, 1),  # Waits until 6000, and so as if one charger were all.
        (7200, 0, 300, 1, 1),  # Again there are two.
    )
    sessions = simulate(city_of(2, 1), drivers, [outage], 3)
    assert rows_of(sessions) == {
        (0, 0, 5400),
        (0, 60, 3600),
        (1, 4080, 5940),
        (0, 5400, 6000),
        (0, 6000, 7200),
        (0, 7200, 7500),
    }
    assert (sessions.served, sessions.left, sessions.present) == (5, 0, 0)


# Smallest and largest second, zone, seconds needed, patience and tries.
DRIVER = [(0, 4 * 3600), (0, 2), (1, 9000), (1, 3000), (1, 3)]


@given(
    st.lists(st.tuples(*(st.integers(*ends) for ends in DRIVER)), max_size=40), st.integers(0, 2)
)
def test_no_driver_is_lost_and_no_charger_serves_two(
    rows: list[tuple[int, int, int, int, int]], out: int
) -> None:
    city = city_of(2, 1, 2)
    outage = Disturbance("outage", 0, first_hour=1, last_hour=2, chargers_out=out)
    sessions = simulate(city, drivers_of(*sorted(rows)), [outage], 4)
    came = sum(second < 4 * 3600 for second, *_ in rows)
    assert sessions.served + sessions.left + sessions.present == came
    for zone in range(3):
        mine = sessions.zones == zone
        begins, ends = sessions.begins[mine], sessions.ends[mine]
        for moment in np.unique(begins):
            together = ((begins <= moment) & (moment < ends)).sum()
            free = 2 - out if zone == 0 and 3600 <= moment < 3 * 3600 else city.chargers[zone]
            assert together <= free
    busy = busy_seconds(sessions, 4, 3)
    assert busy.sum() == (sessions.ends - sessions.begins).sum()
    needed = sum(seconds for second, _, seconds, *_ in rows if second < 4 * 3600)
    assert busy.sum() <= needed
