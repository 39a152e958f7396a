"""The simulated freeway: are its labels true, parts by hand."""

from __future__ import annotations

import numpy as np
import pytest

from stprune.data.canonical import RawSeries
from stprune.data.card import load_card
from stprune.data.formats.simulated_freeway import load
from stprune.data.simulation.cards import new_city
from stprune.data.simulation.freeway.network import Road
from stprune.data.simulation.freeway.traffic import Bins, flow_by_bin, speed_by_bin


@pytest.fixture(scope="module")
def days() -> RawSeries:
    """Three weekdays of a city of 16 detectors, with many incidents."""
    card = new_city("sim_freeway", load_card("sim_freeway"), nodes=16, days=3, seed=3)
    return load(card.model_copy(update={"options": card.options | {"incidents_per_day": 2}}), {})


def test_traffic_is_slower_at_every_incident_than_at_that_time_on_other_days(
    days: RawSeries,
) -> None:
    speed = days.values[..., 1].reshape(3, 288, -1)
    ratios = []
    places = days.events[["node", "first_step", "last_step"]].to_numpy().tolist()
    for node, first_step, last_step in places:
        day, first = divmod(first_step, 288)
        # The queue needs a step to grow.
        steps = slice(first + 1, last_step - day * 288 + 1)
        alike = [other for other in range(3) if other != day]
        usual = np.median(speed[alike, steps, node].mean(axis=1))
        ratios.append(speed[day, steps, node].mean() / usual)
    assert max(ratios) < 1
    assert np.median(ratios) < 0.5


def test_flow_by_hand() -> None:
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


def test_speed_by_hand() -> None:
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
