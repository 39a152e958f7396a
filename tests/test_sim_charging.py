"""The simulated charging: does it behave like a city, and are its labels true?"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shortened_simulations
from numpy.typing import NDArray

from stprune.base.errors import ConfigError
from stprune.data.canonical import RawSeries, read_canonical, write_canonical
from stprune.data.card import DatasetCard, load_card
from stprune.data.formats.simulated_charging import Options, load
from stprune.data.simulation.charging.city import HOME, SHOP, WORK, build_city

KINDS = ("home", "work", "shop", "transit")


def card_of(**changes: Any) -> DatasetCard:
    """Six weeks of a city of 16 zones, with many events."""
    options = {"seed": 2, "days": 42, "zones": 16, "mean_chargers": 10}
    options |= {"outages_per_week": 3, "crowds_per_week": 2} | changes.pop("options", {})
    published = load_card("sim_charging").model_dump()
    size = {"options": options, "nodes": options["zones"], "steps": 24 * options["days"]}
    return DatasetCard.model_validate(published | size | changes)


@pytest.fixture(scope="module")
def weeks() -> RawSeries:
    return load(card_of(), {})


@pytest.fixture(scope="module")
def chargers() -> NDArray[np.int64]:
    return build_city(16, 10, np.random.default_rng([2, 0])).chargers


def of_kind(data: RawSeries, kind: int) -> list[int]:
    return [zone for zone, name in enumerate(data.node_ids) if name.endswith(KINDS[kind])]


def test_the_published_card_has_the_size_that_its_options_make() -> None:
    card = load_card("sim_charging")
    options = Options.model_validate(card.options)
    assert (card.nodes, card.steps) == (40, 4320) == (options.size, options.steps)


def test_it_becomes_a_canonical_data_set(weeks: RawSeries, tmp_path: Path) -> None:
    write_canonical(weeks, card_of(), tmp_path)
    data = read_canonical(tmp_path)
    assert data.series.shape == (1008, 16, 3)
    assert data.mask.all()
    assert data.timestamps[0] == np.datetime64("2024-01-01T00:00:00")
    assert data.timestamps[-1] == np.datetime64("2024-02-11T23:00:00")
    assert {"node", "first_step", "last_step", "kind"} <= set(data.events.columns)


def test_the_seed_decides_every_bit() -> None:
    small = {"days": 3, "zones": 5, "mean_chargers": 5}
    one, same, other = (load(card_of(options={**small, "seed": seed}), {}) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.values, same.values)
    np.testing.assert_array_equal(one.adjacency, same.adjacency)
    assert one.events.equals(same.events)
    assert (one.values != other.values).mean() > 0.5


def test_no_more_chargers_are_busy_than_there_are(
    weeks: RawSeries, chargers: NDArray[np.int64]
) -> None:
    occupancy = weeks.values[..., 0]
    assert (occupancy >= 0).all()
    assert (occupancy <= chargers).all()
    # Limited chargers bind: many zones are full now and then, and none is full most of the time.
    full = (occupancy > 0.98 * chargers).mean(axis=0)
    assert (full > 0.005).sum() > 8
    assert full.max() < 0.3


def test_energy_is_time_at_a_charger_times_its_power(weeks: RawSeries) -> None:
    occupancy, volume = weeks.values[..., 0], weeks.values[..., 1]
    for kind, kilowatts in enumerate((7, 11, 30, 50)):
        zones = of_kind(weeks, kind)
        np.testing.assert_allclose(volume[:, zones], kilowatts * occupancy[:, zones], rtol=1e-5)


def test_people_charge_where_and_when_they_are(weeks: RawSeries) -> None:
    by_hour = weeks.values[..., 0].reshape(6, 7, 24, 16)
    workdays, weekend = by_hour[:, :5].mean((0, 1)), by_hour[:, 5:].mean((0, 1))

    def mean(days: NDArray[np.float32], kind: int, hours: slice) -> float:
        return float(days[hours][:, of_kind(weeks, kind)].mean())

    assert mean(workdays, WORK, slice(9, 12)) > 3 * mean(workdays, WORK, slice(20, 24))
    assert mean(workdays, WORK, slice(9, 12)) > 2 * mean(weekend, WORK, slice(9, 12))
    assert mean(workdays, HOME, slice(19, 23)) > 3 * mean(workdays, HOME, slice(9, 12))
    assert mean(weekend, SHOP, slice(13, 17)) > 1.3 * mean(workdays, SHOP, slice(13, 17))


def test_an_outage_takes_its_chargers_away_for_just_its_hours(
    weeks: RawSeries, chargers: NDArray[np.int64]
) -> None:
    occupancy = weeks.values[..., 0]
    outages = weeks.events[weeks.events["kind"] == "outage"]
    assert len(outages) > 5
    fuller_next = 0
    for event in outages.itertuples():
        left = chargers[event.node] - event.chargers_out
        during = occupancy[event.first_step : event.last_step + 1, event.node]
        assert during.max() <= left + 1e-5
        fuller_next += occupancy[event.last_step + 1, event.node] > left
    # Demand is there and comes back at once, mostly.
    assert fuller_next > len(outages) / 3


def test_a_crowd_fills_its_zone(weeks: RawSeries, chargers: NDArray[np.int64]) -> None:
    busy = weeks.values[..., 0] / chargers
    crowds = weeks.events[weeks.events["kind"] == "crowd"]
    assert len(crowds) > 5
    gains = []
    for event in crowds.itertuples():
        # The first hour fills.
        steps = np.arange(event.first_step + 1, event.last_step + 1)
        others = [steps + 168 * week for week in range(-5, 6) if week]
        usual = [busy[s, event.node].mean() for s in others if s[0] >= 0 and s[-1] < 1008]
        gains.append(busy[steps, event.node].mean() - np.median(usual))
    assert np.median(gains) > 0.4
    assert min(gains) > 0.1


def test_events_have_realistic_lengths_and_keep_apart(weeks: RawSeries) -> None:
    events = weeks.events
    length = events["last_step"] - events["first_step"] + 1
    assert length[events["kind"] == "outage"].between(3, 36).all()
    assert length[events["kind"] == "crowd"].between(4, 7).all()
    assert (events["first_step"] >= 0).all()
    assert (events["last_step"] < 1008).all()
    assert events["first_step"].is_monotonic_increasing
    for _, same_zone in events.groupby("node"):
        gaps = same_zone["first_step"].to_numpy()[1:] - same_zone["last_step"].to_numpy()[:-1]
        assert (gaps > 12).all()


def test_the_graph_joins_neighbours_both_ways_and_leaves_none_alone(weeks: RawSeries) -> None:
    weights = weeks.adjacency
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, weights.T)
    assert set(np.unique(weights)) == {0.0, 1.0}
    assert (np.diag(weights) == 0).all()
    assert weights.sum(axis=1).min() >= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes": 18}, "16 nodes and 1008 steps, but the card says 18 and 1008"),
        ({"step_minutes": 30}, "step_minutes must be 60, got 30"),
        ({"start": datetime(2024, 1, 1, 6)}, "must be a midnight"),
        ({"options": {"zones": 3}}, "`zones`"),
        ({"options": {"chargers": 4}}, "did you mean `mean_chargers`"),
        (
            {"channels": [{"name": "occupancy", "unit": "chargers"}]},
            "must be occupancy and volume and price",
        ),
    ],
)
def test_a_wrong_card_is_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(card_of(**changes), {})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dataset", shortened_simulations.simulated_ids())
def test_every_simulated_card_can_be_made_small(dataset: str, tmp_path: Path) -> None:
    card = shortened_simulations.fabricate(dataset, tmp_path)
    assert load_card(dataset, tmp_path) == card
    assert card.nodes * card.steps < 4000
    assert min(card.splits) * card.steps >= 24


@pytest.mark.slow
def test_the_published_data_set(tmp_path: Path) -> None:
    card = load_card("sim_charging")
    raw = load(card, {})
    write_canonical(raw, card, tmp_path)
    kinds = raw.events["kind"].value_counts()
    assert 20 < kinds["outage"] < 60
    assert 10 < kinds["crowd"] < 40
    # The week before tells more than the mean: there is a rhythm, and it is not all.
    occupancy = raw.values[..., 0]
    weekly = np.abs(occupancy[168:] - occupancy[:-168]).mean()
    flat = np.abs(occupancy - occupancy.mean(axis=0)).mean()
    assert 0.3 * flat < weekly < 0.8 * flat
