"""The parts of the simulated charging: queues by hand, demand, disturbances and measures."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stprune.data.simulation.charging import measure
from stprune.data.simulation.charging.circumstances import Circumstances, draw_circumstances
from stprune.data.simulation.charging.city import HOME, SHOP, TRANSIT, ChargingCity, build_city
from stprune.data.simulation.charging.demand import (
    Drivers,
    draw_drivers,
    draw_prices,
    expected_drivers,
)
from stprune.data.simulation.charging.disturbances import (
    Disturbance,
    draw_disturbances,
    extra_drivers,
)
from stprune.data.simulation.charging.run import BALK_SHARE, DETOUR_SECONDS, Sessions, simulate

MONDAY = datetime(2024, 1, 1)


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
    busy = measure.busy_seconds(sessions, 2, 2)
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


def test_the_freest_neighbour_is_tried_first() -> None:
    city = city_of(3, 1, 5)
    drivers = drivers_of((0, 1, 900, 60, 1), (10, 1, 900, 60, 2))
    assert rows_of(simulate(city, drivers, [], 1)) == {(1, 0, 900), (2, 550, 1450)}


@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 4 * 3600),
            st.integers(0, 2),
            st.integers(1, 9000),
            st.integers(1, 3000),
            st.integers(1, 3),
        ),
        max_size=40,
    ),
    out=st.integers(0, 2),
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
    busy = measure.busy_seconds(sessions, 4, 3)
    assert busy.sum() == (sessions.ends - sessions.begins).sum()
    needed = sum(seconds for second, _, seconds, *_ in rows if second < 4 * 3600)
    assert busy.sum() <= needed


def test_measures_by_hand() -> None:
    city = ChargingCity(
        np.array([HOME, TRANSIT]), np.array([2, 2]), np.ones(2), np.zeros((2, 2)), [[1], [0]]
    )
    sessions = Sessions(
        zones=np.array([0, 0, 1]),
        begins=np.array([1800, 3600, 0]),
        ends=np.array([9000, 5400, 0]),
        served=3,
        left=0,
        present=0,
    )
    busy = measure.busy_seconds(sessions, 3, 2)
    np.testing.assert_array_equal(busy, [[1800, 0], [5400, 0], [1800, 0]])
    np.testing.assert_array_equal(measure.occupancy(busy)[:, 0], [0.5, 1.5, 0.5])
    # Home chargers have 7 kW, those of transit 50.
    np.testing.assert_array_equal(measure.volume(city, busy)[:, 0], [3.5, 10.5, 3.5])
    np.testing.assert_array_equal(measure.volume(city, np.array([[0, 720]])), [[0, 10]])


def calm(days: int) -> Circumstances:
    """No holidays, storms or cold; from a Monday on; the same price all day."""
    hours = np.arange(days * 24)
    no = np.zeros(len(hours), dtype=bool)
    return Circumstances(hours % 24, hours // 24 % 7 >= 5, no, no, no, np.ones(len(hours)))


def test_as_many_come_as_are_expected() -> None:
    city = build_city(12, 10, np.random.default_rng(0))
    around = calm(28)
    prices = np.ones((len(around.hour), 12))
    expected = expected_drivers(city, around, prices, 1.0)
    np.testing.assert_allclose(expected_drivers(city, around, prices, 0.5), expected / 2)
    extra = np.zeros_like(expected)
    extra[30, 4] = 500.0
    drivers = draw_drivers(city, around, expected, extra, np.random.default_rng(1))
    assert (np.diff(drivers.seconds) >= 0).all()
    assert len(drivers.seconds) == pytest.approx(expected.sum() + 500, rel=0.15)
    crowd = ((drivers.seconds // 3600 == 30) & (drivers.zones == 4)).sum()
    assert crowd == pytest.approx(500, rel=0.15)
    assert drivers.charging.min() >= 300
    assert set(np.unique(drivers.tries)) == {1, 2, 3}
    at_home = drivers.charging[city.kinds[drivers.zones] == HOME]
    assert np.median(at_home) == pytest.approx(4.2 * 3600, rel=0.05)


def test_dear_hours_and_storms_keep_drivers_away() -> None:
    city = build_city(12, 10, np.random.default_rng(0))
    around = calm(14)
    flat = expected_drivers(city, around, np.ones((len(around.hour), 12)), 1.0)
    prices = np.ones((len(around.hour), 12))
    prices[40] = 2.0
    dear = expected_drivers(city, around, prices, 1.0)
    assert (dear[40] < 0.85 * flat[40]).all()
    stormy = np.arange(len(around.hour)) == 40
    storm = Circumstances(
        around.hour, around.free_day, around.holiday, stormy, around.cold, around.tariff
    )
    changed = expected_drivers(city, storm, np.ones_like(prices), 1.0)
    np.testing.assert_array_equal(np.delete(changed, 40, 0), np.delete(flat, 40, 0))
    shops = city.kinds == SHOP
    np.testing.assert_allclose(changed[40, shops], 0.2 * flat[40, shops])


def test_the_calendar_and_the_tariff() -> None:
    around = draw_circumstances(datetime(2024, 1, 5), 200, np.random.default_rng(3))
    weekend = around.free_day & ~around.holiday
    # From Friday on: Saturday and Sunday are the hours 24 to 71.
    np.testing.assert_array_equal(np.flatnonzero(weekend)[:48], np.arange(24, 72))
    assert around.holiday.any()
    assert around.free_day[around.holiday].all()
    assert 0 < around.storm.mean() < 0.1
    assert 0 < around.cold.mean() < 0.3
    np.testing.assert_array_equal(around.tariff[[3, 8, 11, 23]], [0.35, 0.70, 1.10, 0.35])
    city = build_city(9, 10, np.random.default_rng(0))
    prices = draw_prices(city, around, np.random.default_rng(0))
    np.testing.assert_array_equal(prices, np.round(prices, 2))
    # The operator's fee is the same all day, and another one after four weeks.
    np.testing.assert_allclose(prices[11] - prices[3], np.full(9, 0.75), atol=0.011)
    assert (prices[3] != prices[3 + 28 * 24]).any()


def test_disturbances_keep_away_from_each_other_and_from_the_ends() -> None:
    city = build_city(20, 10, np.random.default_rng(0))
    around = calm(60)
    expected = expected_drivers(city, around, np.ones((len(around.hour), 20)), 1.0)
    events = draw_disturbances(city, expected, 24, 60.0, 30.0, np.random.default_rng(0))
    assert len(events) > 40
    for number, one in enumerate(events):
        assert 24 <= one.first_hour <= one.last_hour < len(expected)
        assert (one.chargers_out > 0) == (one.kind == "outage") == (one.extra_drivers == 0)
        assert one.chargers_out <= city.chargers[one.zone]
        for other in events[number + 1 :]:
            if other.zone in (one.zone, *city.neighbours[one.zone]):
                assert other.first_hour > one.last_hour + 12
    assert draw_disturbances(city, expected, 24, 0.0, 0.0, np.random.default_rng(0)) == []


def test_extra_drivers_by_hand() -> None:
    events = [
        Disturbance("crowd", 1, first_hour=1, last_hour=2, extra_drivers=5.5),
        Disturbance("outage", 0, first_hour=0, last_hour=3, chargers_out=2),
    ]
    np.testing.assert_array_equal(extra_drivers(events, 4, 2), [[0, 0], [0, 5.5], [0, 5.5], [0, 0]])


def test_a_city_grows_from_its_middle() -> None:
    city = build_city(300, 20, np.random.default_rng(0))
    outward = np.hypot(*city.places.T)
    middle = outward < np.quantile(outward, 0.2)
    rim = outward > np.quantile(outward, 0.8)
    assert (city.kinds[rim] == HOME).mean() > 1.5 * (city.kinds[middle] == HOME).mean()
    assert city.chargers.mean() == pytest.approx(20, rel=0.1)
    assert len(set(city.names)) == 300
    for zone, others in enumerate(city.neighbours):
        apart = np.hypot(*(city.places[others] - city.places[zone]).T)
        assert len(others) >= 1
        assert (np.diff(apart) >= 0).all()
        assert apart.max() <= 4.5
