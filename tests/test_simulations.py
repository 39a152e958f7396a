"""Simulated cities: their cards, queues and traffic by hand, and what holds for any drivers."""

import hashlib
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_files import small_city

from stprune.base.errors import ConfigError
from stprune.data.card import FORMATS, DatasetCard, dataset_ids, load_card
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
from stprune.data.simulation.network import Road
from stprune.data.simulation.traffic import Bins, flow_by_bin, speed_by_bin

SIMULATED = ["sim_freeway", "sim_charging"]


def small_card(dataset: str, days: int = 2, seed: int = 1, **changes: Any) -> DatasetCard:
    """The published card for six nodes and a few days."""
    card = small_city(dataset, days, seed=seed)
    values = card.model_dump(exclude_defaults=True)
    values["options"] |= changes.pop("options", {})
    return DatasetCard.model_validate(values | changes)


def load(card: DatasetCard) -> Any:
    return FORMATS.module(card.format).load(card, {})


@pytest.mark.parametrize("dataset", [name for name in dataset_ids() if name.startswith("sim_")])
def test_a_published_card_has_the_size_that_its_options_make(dataset, monkeypatch):
    card = load_card(dataset)
    monkeypatch.setattr(FORMATS.module(card.format), "np", None)
    with pytest.raises(AttributeError):  # a ConfigError before anything is drawn, if it has not
        load(card)


@pytest.mark.parametrize("dataset", SIMULATED)
@pytest.mark.parametrize(
    "changes",
    [
        {"nodes": 18},
        {"step_minutes": 10},
        {"start": datetime(2024, 1, 1, 6)},
        {"options": {"demand_level": 9}},
        {"options": {"segment": 4}},
        {"channels": [{"name": "flow", "unit": "vehicles"}], "target": "flow"},
    ],
)
def test_a_wrong_card_is_refused_in_one_line(dataset, changes):
    with pytest.raises(ConfigError):
        load(small_card(dataset, **changes))


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [("sim_freeway", "d2c383edb669019a"), ("sim_charging", "2731ddf2027be87c")],
)
def test_the_bits_are_those_of_the_kept_results_unless_the_seed_is_another(dataset, expected):
    """Demand, calendar, events and queues all show in them."""
    raw = load(small_card(dataset))
    parts = raw.values.tobytes(), raw.adjacency.tobytes(), raw.events.to_csv(index=False).encode()
    assert hashlib.sha256(b"".join(parts)).hexdigest()[:16] == expected
    assert (raw.values != load(small_card(dataset, seed=2)).values).mean() > 0.5


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


def rows_of(sessions: Sessions) -> list[list[int]]:
    rows = np.stack([sessions.zones, sessions.begins, sessions.ends], axis=1)
    return sorted(rows.tolist())


def test_a_line_by_hand():
    assert (DETOUR_SECONDS, BALK_SHARE) == (480, 0.3)
    drivers = drivers_of(
        (0, 0, 3600, 600, 2),  # Charges at once.
        (100, 0, 1000, 600, 2),  # Waits here until 700, next door from 1180 to 1780; gives up.
        (200, 0, 2000, 600, 2),  # Sees one waiting, goes next door: from 680 to 2680.
        (2500, 1, 5000, 300, 1),  # Waits until 2680 and is cut by the end of the run.
        (7300, 1, 100, 100, 1),  # Would come after the end.
    )
    sessions = simulate(city_of(1, 1), drivers, [], 2)
    assert rows_of(sessions) == [[0, 0, 3600], [1, 680, 2680], [1, 2680, 7200]]
    busy = busy_seconds(sessions, 2, 2)
    np.testing.assert_array_equal(busy, [[3600, 2000 + 920], [0, 3600]])


def test_an_outage_by_hand():
    outage = Disturbance("outage", 0, first_hour=1, last_hour=1, chargers_out=1)
    drivers = drivers_of(
        (0, 0, 5400, 600, 1),  # Keeps the charger that is left.
        (60, 0, 5400, 600, 2),  # Last come, cut at 3600; the rest next door, from 4080 to 5940.
        (3700, 0, 600, 7200, 1),  # Waits until 5400.
        (5500, 0, 1200, 7200, 1),  # Waits until 6000, and so as if one charger were all.
        (7200, 0, 300, 1, 1),  # Again there are two.
    )
    sessions = simulate(city_of(2, 1), drivers, [outage], 3)
    here = [[0, 0, 5400], [0, 60, 3600], [0, 5400, 6000], [0, 6000, 7200], [0, 7200, 7500]]
    assert rows_of(sessions) == [*here, [1, 4080, 5940]]


# Smallest and largest second, zone, seconds needed, patience and tries.
DRIVER = [(0, 4 * 3600), (0, 2), (1, 9000), (1, 3000), (1, 3)]


@given(
    st.lists(st.tuples(*(st.integers(*ends) for ends in DRIVER)), max_size=40), st.integers(0, 2)
)
def test_no_charger_serves_two(rows, out):
    city = city_of(2, 1, 2)
    outage = Disturbance("outage", 0, first_hour=1, last_hour=2, chargers_out=out)
    sessions = simulate(city, drivers_of(*sorted(rows)), [outage], 4)
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


def test_flow_by_hand():
    # Platoons of four leave in the steps 1, 3, 3 and 7. The first one passes from the start of
    # the run to 2, the next two from 2 to 4, the last from 4 to 8.
    departures = np.array([0, 4, 4, 12, 12, 12, 12, 16], dtype=float)
    late = np.ones(8)
    np.testing.assert_array_equal(flow_by_bin(departures, late, Bins(0, 4, 2)), [4, 8, 2, 2])
    # At 1 two have passed, at 3 eight, at 5 thirteen, at 7 fifteen.
    np.testing.assert_array_equal(flow_by_bin(departures, late, Bins(1, 3, 2)), [6, 5, 2])
    # Half a step earlier: by 1.5, 3.5 and 7.5. At 2 it is 4 + 8 / 4, at 4 it is 12 + 4 / 8.
    np.testing.assert_array_equal(flow_by_bin(departures, late / 2, Bins(0, 2, 2)), [6, 6])
    np.testing.assert_array_equal(flow_by_bin(np.zeros(8), late, Bins(0, 2, 4)), [0, 0])


def test_speed_by_hand():
    road = Road("road", "a", "b", steps=4, lanes=1, free_speed=20.0)
    arrivals, departures = np.zeros(20), np.zeros(20)
    arrivals[1:] += 4  # freely from 1 to 5: 20 m/s
    departures[5:] += 4
    arrivals[8:] += 4  # in twice the time from 8 to 16: 10 m/s
    departures[16:] += 4
    arrivals[12:] += 4  # from 12 to the end of the run at 20: 10 m/s
    speed = speed_by_bin(arrivals, departures, road, Bins(0, 5, 4))
    np.testing.assert_allclose(speed, [20, 20, 10, 10, 10])
    # One step at 20 m/s in [4, 5), three at 10 m/s in [8, 11): (20 + 30) / 4.
    np.testing.assert_allclose(speed_by_bin(arrivals, departures, road, Bins(4, 1, 7)), [12.5])
    empty = speed_by_bin(np.zeros(8), np.zeros(8), road, Bins(0, 2, 4))
    np.testing.assert_array_equal(empty, [20, 20])
