"""What a data set is at a glance, and how single nodes move: worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from toy import canonical, day_times

from stprune.describe.overview import (
    edge_count,
    edge_table,
    excerpt,
    node_places,
    size_facts,
)
from stprune.describe.sample import Sample
from stprune.describe.stationarity_tail import node_percentiles

IDS = ["s0", "s1", "s2", "s3"]


def sample_of(
    values: NDArray[np.floating],
    adjacency: NDArray[np.floating] | None = None,
    *,
    start: str = "2024-01-01",
    minutes: int = 60,
) -> Sample:
    """A sample of (T, n) values, NaN where missing."""
    steps, nodes = values.shape
    times = np.datetime64(start, "s") + np.arange(steps) * np.timedelta64(60 * minutes, "s")
    graph = np.zeros((nodes, nodes)) if adjacency is None else adjacency
    return Sample(
        np.nan_to_num(values).astype(np.float32),
        np.isfinite(values),
        np.arange(nodes),
        times,
        graph.astype(np.float32),
        minutes,
    )


def chain(*weights: float) -> NDArray[np.float64]:
    """An undirected chain of nodes, with so strong edges."""
    graph = np.diag(weights, 1)
    return graph + graph.T


def test_sizes_windows_and_edges_are_counted() -> None:
    dataset = canonical(np.zeros((27, 3, 1)))
    weights = np.array([[7, 1, 0], [1, 0, 0], [0.5, 0, 2]], np.float32)
    dataset.adjacency[:] = weights
    facts = size_facts(dataset, 8)
    # Twenty windows begin at steps 0 to 19.
    assert (facts["train_windows"], facts["validation_windows"], facts["test_windows"]) == (
        12,
        4,
        4,
    )
    assert facts["edges"] == edge_count(weights) == 3
    assert (facts["first"], facts["last"]) == ("2024-01-01T00:00", "2024-01-02T02:00")
    assert facts["source"] == "simulated"


def test_windows_of_a_table_cross_no_night() -> None:
    # Ten days of 18 hours: 11 windows of 8 steps in each.
    facts = size_facts(canonical(np.zeros((180, 1, 1)), timestamps=day_times(10)), 8)
    assert facts["train_windows"] + facts["validation_windows"] + facts["test_windows"] == 110


def test_the_excerpt_is_a_whole_week_from_a_monday_by_the_hour() -> None:
    # From a Wednesday on, in half hours; nodes of means 2, 0 and 1 (and one never observed).
    values = np.tile([2.0, 0.0, 1.0, np.nan], (48 * 20, 1))
    values[::2, 0] += 1
    monday = 5 * 48
    values[monday : monday + 2, 2] = np.nan
    values[monday + 2, 2] = np.nan
    values[monday + 3, 2] = 9
    table = excerpt(sample_of(values, start="2024-01-03", minutes=30))
    assert table["time"].iloc[0] == "2024-01-08T00"
    assert table["time"].iloc[-1] == "2024-01-14T23"
    assert len(table) == 7 * 24
    assert (table["lowest"] == 0).all()
    assert (table["highest"] == 2.5).all()
    # Nothing was observed in the first hour, and one of two values in the second.
    assert np.isnan(table["middle"].iloc[0])
    assert table["middle"].iloc[1:4].tolist() == [9, 1, 1]


def test_less_than_a_week_is_shown_from_its_first_day_on() -> None:
    table = excerpt(sample_of(np.ones((30, 1)), start="2024-01-03"))
    assert table["time"].iloc[[0, -1]].tolist() == ["2024-01-03T00", "2024-01-04T05"]
    assert table[["lowest", "middle", "highest"]].eq(1).all(axis=None)


def test_edges_are_pairs_and_the_strongest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = sample_of(np.zeros((2, 4)), chain(3, 1, 2) + np.eye(4))
    every = list(edge_table(sample, IDS).itertuples(index=False, name=None))
    assert every == [("s0", "s1"), ("s1", "s2"), ("s2", "s3")]
    monkeypatch.setattr("stprune.describe.overview.MOST_EDGES", 0)
    monkeypatch.setattr("stprune.describe.overview.LEAST_EDGES", 2)
    some = list(edge_table(sample, IDS).itertuples(index=False, name=None))
    assert some == [("s0", "s1"), ("s2", "s3")]


def test_a_chain_lies_on_a_line_at_the_lengths_of_its_edges() -> None:
    # The weaker edge is a e-th of the stronger: lengths 1 and 2, in one direction only.
    directed = np.triu(chain(1, np.exp(-1)))
    places = node_places(sample_of(np.zeros((2, 3)), directed), IDS)
    assert places["node"].tolist() == IDS[:3]
    assert places["y"].abs().max() < 1e-6
    assert np.abs(np.diff(places["x"])).tolist() == pytest.approx([1, 2])
    # The end that is furthest from the middle stands on the right, whatever the solver's sign.
    assert places["x"].iloc[2] == places["x"].max() > 0


def test_what_is_joined_to_all_alike_lies_on_a_circle_and_parts_lie_apart() -> None:
    round_ = node_places(sample_of(np.zeros((2, 4)), np.ones((4, 4))), IDS)
    np.testing.assert_allclose(np.hypot(round_["x"], round_["y"]), 1)
    pairs = np.zeros((4, 4))
    pairs[0, 1] = pairs[2, 3] = 1
    places = node_places(sample_of(np.zeros((2, 4)), pairs), IDS).set_index("node")
    near = np.hypot(*(places.loc["s0"] - places.loc["s1"]))
    far = np.hypot(*(places.loc["s0"] - places.loc["s2"]))
    assert near < far
    assert len(node_places(sample_of(np.zeros((2, 1))), IDS)) == 1


def test_movement_at_single_nodes_is_not_evened_out() -> None:
    # Of two nodes one moves by 1 at each step in the first half only, the other in the second
    # half: their means are alike throughout, each alone is not.
    steps = np.arange(401)
    saw = (steps % 2).astype(float)
    first = np.where(steps <= 200, saw, 0.0)
    second = np.where(steps >= 200, saw, 0.0)
    starts = np.arange(401 - 7)
    table, tails = node_percentiles(
        sample_of(np.stack([first, second], axis=1)), starts, history=4, horizon=4
    )
    row = tails.set_index("measure").loc["first_difference"]
    assert row["windows"] == 2 * len(starts)
    # Half of all windows move, alike, but for the few across the middle.
    assert row["share_of_top_tenth"] == pytest.approx(0.2, abs=0.01)
    difference = table[table["measure"] == "first_difference"].set_index("percentile")["value"]
    assert difference.loc[25] == 0
    assert difference.loc[99.9] == pytest.approx(1 / np.std(first), rel=1e-3)


def test_a_node_counts_only_with_windows_it_has_whole() -> None:
    values = np.random.default_rng(0).normal(size=(40, 2))
    values[20, 0] = np.nan
    values[:, 1] = np.nan
    _, tails = node_percentiles(sample_of(values), np.arange(33), history=4, horizon=4)
    # Of 33 windows 8 have step 20 in them.
    assert (tails["windows"] == 25).all()
    table, tails = node_percentiles(sample_of(values[:, 1:]), np.arange(33), history=4, horizon=4)
    assert len(table) == len(tails) == 0
