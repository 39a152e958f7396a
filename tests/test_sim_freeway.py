"""The simulated freeway: does it behave like traffic, and are its labels true?"""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stprune.base.errors import ConfigError
from stprune.data.canonical import RawSeries, read_canonical, write_canonical
from stprune.data.card import DatasetCard, load_card
from stprune.data.formats.simulated_freeway import Options, load
from stprune.data.simulation.freeway.network import PLATOON_VEHICLES


def small_card(**changes: Any) -> DatasetCard:
    """A card of the published form for a smaller city."""
    options = {"seed": 3, "days": 7, "corridors": 2, "segments": 4, "incidents_per_day": 2}
    options |= changes.pop("options", {})
    published = load_card("sim_freeway").model_dump()
    size = {
        "options": options,
        "nodes": 2 * options["corridors"] * options["segments"],
        "steps": 288 * options["days"],
    }
    return DatasetCard.model_validate(published | size | changes)


@pytest.fixture(scope="module")
def week() -> RawSeries:
    return load(small_card(), {})


def by_day(week: RawSeries, channel: int) -> NDArray[np.float32]:
    """(7, 288, 16)."""
    return week.values[..., channel].reshape(7, 288, -1)


def test_the_published_card_has_the_size_that_its_options_make() -> None:
    card = load_card("sim_freeway")
    options = Options.model_validate(card.options)
    assert (card.nodes, card.steps) == (64, 8064) == (options.size, options.steps)


def test_a_small_city_becomes_a_canonical_data_set(week: RawSeries, tmp_path: Path) -> None:
    write_canonical(week, small_card(), tmp_path)
    data = read_canonical(tmp_path)
    assert data.series.shape == (2016, 16, 2)
    assert data.mask.all()
    assert data.timestamps[0] == np.datetime64("2024-01-01T00:00:00")
    assert data.timestamps[-1] == np.datetime64("2024-01-07T23:55:00")
    assert data.node_ids[:5] == ["c0_in_00", "c0_in_01", "c0_in_02", "c0_in_03", "c0_out_00"]
    columns = ["event", "node", "first_step", "last_step", "capacity_share", "kind"]
    assert list(data.events.columns) == columns
    assert len(data.events) > 3


def test_the_seed_decides_every_bit() -> None:
    def series(seed: int) -> RawSeries:
        options = {"seed": seed, "days": 2, "corridors": 1, "segments": 3}
        return load(small_card(options=options), {})

    one, same, other = series(1), series(1), series(2)
    np.testing.assert_array_equal(one.values, same.values)
    np.testing.assert_array_equal(one.adjacency, same.adjacency)
    assert one.events.equals(same.events)
    assert (one.values != other.values).mean() > 0.5
    assert not np.array_equal(one.adjacency, other.adjacency)


def test_nothing_outside_is_changed() -> None:
    # In a fresh process, since it is the first import of UXsim that changes most.
    code = """
import random, warnings
import matplotlib as mpl, numpy as np, scipy.sparse.csgraph, pandas
from stprune.data.card import DatasetCard
from stprune.data.formats.simulated_freeway import load

def surroundings():
    state = np.random.get_state(legacy=False)["state"]
    chance = random.getstate(), state["key"].tobytes(), state["pos"]
    return chance, list(warnings.filters), warnings.formatwarning, dict(mpl.rcParams)

card = DatasetCard.model_validate_json(CARD)
before = surroundings()
load(card, {})
for was, is_now in zip(before, surroundings(), strict=True):
    assert was == is_now, (was, is_now)
"""
    card = small_card(options={"days": 1, "corridors": 1, "segments": 3})
    code = code.replace("CARD", repr(card.model_dump_json()))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_counts_are_whole_and_fit_through_the_road(week: RawSeries) -> None:
    flow, speed = week.values[..., 0], week.values[..., 1]
    assert (flow >= 0).all()
    assert (flow == np.floor(flow)).all()
    # By chance one in four is a multiple of the platoon.
    busy = flow[flow > 50]
    assert abs((busy % PLATOON_VEHICLES == 0).mean() - 1 / PLATOON_VEHICLES) < 0.05
    # Three lanes of at most 0.59 vehicles a second, and a platoon a lane that slips in.
    assert flow.max() <= 3 * 0.59 * 300 + 3 * PLATOON_VEHICLES
    assert speed.min() > 0
    assert speed.max() < 31 * 3.6 * 1.24


def test_commuters_come_on_weekdays_only(week: RawSeries) -> None:
    flow = by_day(week, 0)
    inbound = np.array(["_in_" in name for name in week.node_ids])
    morning, evening = slice(7 * 12, 9 * 12), slice(16 * 12 + 6, 18 * 12 + 6)

    def mean(days: slice, hours: slice, nodes: Any) -> float:
        return float(flow[days][:, hours][..., nodes].mean())

    workdays, weekend = slice(0, 5), slice(5, 7)
    assert mean(workdays, morning, inbound) > 1.5 * mean(workdays, morning, ~inbound)
    assert mean(workdays, evening, ~inbound) > 1.3 * mean(workdays, evening, inbound)
    assert mean(workdays, morning, inbound) > 2 * mean(weekend, morning, inbound)
    night = slice(2 * 12, 4 * 12)
    assert mean(slice(0, 7), night, slice(None)) < 0.1 * mean(workdays, morning, inbound)


def test_days_differ_but_join(week: RawSeries) -> None:
    flow, speed = by_day(week, 0), by_day(week, 1)
    daily = flow.sum(axis=(1, 2))
    assert len(set(daily)) == 7
    assert daily[:5].std() / daily[:5].mean() > 0.005
    free = np.median(speed, axis=(0, 1))
    assert (speed[1:, 0] > 0.7 * free).all()
    # All midnights together, so that chance matters little; empty roads would show at once.
    before, after = flow[:-1, -1].sum(), flow[1:, 0].sum()
    assert after == pytest.approx(before, rel=0.15)


def test_traffic_is_slower_at_every_incident_than_at_that_time_on_other_days(
    week: RawSeries,
) -> None:
    speed = by_day(week, 1)
    ratios = []
    places = week.events[["node", "first_step", "last_step"]].to_numpy().tolist()
    for node, first_step, last_step in places:
        day, first = divmod(first_step, 288)
        # The queue needs a step to grow.
        steps = slice(first + 1, last_step - day * 288 + 1)
        alike = [other for other in range(7) if other != day and (other >= 5) == (day >= 5)]
        usual = np.median(speed[alike, steps, node].mean(axis=1))
        ratios.append(speed[day, steps, node].mean() / usual)
    assert max(ratios) < 1
    assert np.median(ratios) < 0.5


def test_the_graph_links_each_segment_to_the_next_and_the_interchange(week: RawSeries) -> None:
    index = {name: position for position, name in enumerate(week.node_ids)}
    weights = week.adjacency
    assert weights.dtype == np.float32
    for segment in range(3):
        pair = index[f"c0_in_{segment:02d}"], index[f"c0_in_{segment + 1:02d}"]
        assert weights[pair] > 0.1 > weights[pair[::-1]]
    assert weights[index["c0_in_03"], index["c1_out_00"]] > 0.1
    assert weights[index["c0_in_03"], index["c0_out_00"]] == 0
    assert (np.diag(weights) == 0).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes": 18}, "16 nodes and 2016 steps, but the card says 18 and 2016"),
        ({"step_minutes": 10}, "step_minutes must be 5, got 10"),
        ({"start": datetime(2024, 1, 1, 6)}, "must be a midnight"),
        ({"options": {"demand_level": 9}}, "`demand_level`"),
        ({"options": {"segment": 4}}, "did you mean `segments`"),
        (
            {"channels": [{"name": "flow", "unit": "vehicles"}]},
            "must be flow and speed",
        ),
    ],
)
def test_a_wrong_card_is_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(small_card(**changes), {})
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_published_data_set(tmp_path: Path) -> None:
    card = load_card("sim_freeway")
    raw = load(card, {})
    write_canonical(raw, card, tmp_path)
    speed = raw.values[..., 1]
    jammed = (speed < 0.6 * np.median(speed, axis=0)).mean()
    assert 0.01 < jammed < 0.1
    assert 28 * 3 < len(raw.events) < 28 * 5
    # Every detector has a neighbour in one direction or the other.
    assert ((raw.adjacency + raw.adjacency.T).sum(axis=1) > 0).all()
