"""The tables of a description, worked by hand and against independent formulas."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from toy import canonical, day_times

from stprune.describe.description import size_facts
from stprune.describe.overview import edge_count, edge_table, excerpt, node_places
from stprune.describe.redundancy import (
    day_similarity,
    effective_rank,
    gini,
    node_similarity,
    pair_correlations,
    rank_table,
    singular_values,
    spectrum,
    stationarity_tables,
    top_share,
    window_overlap,
    window_similarity,
)
from stprune.describe.sample import (
    Rows,
    Sample,
    day_rows,
    standardised,
)
from stprune.describe.statistics import (
    autocorrelation_table,
    autocorrelations,
    gap_lengths,
    missing_by_hour,
    moments_by_node,
    moments_by_slot,
)

IDS = ["s0", "s1", "s2", "s3"]
EVERY = 10**6


def sample_of(
    values: NDArray[np.floating],
    observed: NDArray[np.bool_] | None = None,
    timestamps: NDArray[np.datetime64] | None = None,
    adjacency: NDArray[np.floating] | None = None,
    start: str = "2024-01-01",
    minutes: int = 60,
) -> Sample:
    """A sample of (T, n) values, NaN where missing, from a Monday on."""
    steps, nodes = values.shape
    seen = np.isfinite(values) if observed is None else observed
    times = np.datetime64(start, "s") + np.arange(steps) * np.timedelta64(60 * minutes, "s")
    graph = np.zeros((nodes, nodes)) if adjacency is None else adjacency
    return Sample(
        np.where(seen, values, 0).astype(np.float32),
        seen,
        np.arange(nodes),
        times if timestamps is None else timestamps,
        graph.astype(np.float32),
        minutes,
    )


def noise(steps: int, nodes: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(steps, nodes))


def quantile(table: pd.DataFrame, pairs: str, percentile: int) -> float:
    chosen = (table["pairs"] == pairs) & (table["percentile"] == percentile)
    return float(table.loc[chosen, "correlation"].iloc[0])


def test_pairs_with_gaps_are_correlated_over_what_both_have() -> None:
    values = noise(60, 5).T + 3
    observed = np.random.default_rng(1).random(values.shape) > 0.3
    # pandas drops incomplete pairs too.
    expected = pd.DataFrame(np.where(observed, values, np.nan).T).corr().to_numpy()
    found = pair_correlations(values.astype(np.float32), observed, centred=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_only_joined_nodes_count_as_such_and_one_direction_is_enough() -> None:
    values = noise(200, 3)
    values[:, 1] = 2 * values[:, 0] + 1
    adjacency = np.zeros((3, 3), np.float32)
    adjacency[1, 0] = 1
    scaled = standardised(sample_of(values, adjacency=adjacency))
    table = node_similarity(Rows(scaled.values.T.copy(), scaled.observed.T.copy()), adjacency)
    counts = table.groupby("pairs")["count"].first()
    assert counts.to_dict() == {"all pairs": 3, "joined by an edge": 1}
    assert quantile(table, "joined by an edge", 0) == pytest.approx(1)


def test_days_that_repeat_weekly_are_alike_on_the_same_weekday_only() -> None:
    week = noise(7 * 24, 2)
    scaled = standardised(sample_of(np.tile(week, (3, 1))))
    rows, dates = day_rows(scaled, EVERY, np.random.default_rng(0))
    table = day_similarity(rows, dates)
    assert table.groupby("pairs")["count"].first().to_dict() == {
        "all pairs": 21 * 20 // 2,
        "same weekday": 7 * 3,
    }
    assert quantile(table, "same weekday", 0) == pytest.approx(1, abs=1e-6)
    assert quantile(table, "all pairs", 50) < 0.7


def test_windows_a_period_apart_are_the_same_and_those_past_the_end_are_not_compared() -> None:
    scaled = standardised(sample_of(np.tile(noise(24, 2), (5, 1))))
    starts = np.arange(5 * 24 - 5)
    table = window_similarity(scaled, starts, 6, np.arange(len(starts)))
    counts = table.groupby("pairs")["count"].first().to_dict()
    assert counts == {
        "all pairs": 115 * 114 // 2,
        "one step apart": 114,
        "a window apart": 109,
        "a day apart": 91,
        "a week apart": 0,
    }
    assert quantile(table, "a day apart", 0) == pytest.approx(1, abs=1e-6)
    assert math.isnan(quantile(table, "a week apart", 50))


def test_no_window_is_compared_across_a_night_as_if_it_were_the_next_step() -> None:
    times = day_times(3)
    starts = np.concatenate([day * 18 + np.arange(18 - 3) for day in range(3)])
    table = window_similarity(
        standardised(sample_of(noise(54, 2), timestamps=times)), starts, 4, np.arange(len(starts))
    )
    counts = table.groupby("pairs")["count"].first().to_dict()
    assert counts["one step apart"] == 3 * 14
    assert counts["a day apart"] == 2 * 15


def test_effective_rank_of_known_matrices() -> None:
    # Shares 3/4 and 1/4: entropy ln 4 - (3/4) ln 3.
    assert effective_rank(np.array([3.0, 1.0])) == pytest.approx(4 / 3**0.75)
    assert effective_rank(np.ones(5)) == pytest.approx(5)
    assert effective_rank(np.array([2.0, 0.0])) == 1
    assert math.isnan(effective_rank(np.zeros(3)))


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 100))
def test_effective_rank_lies_between_one_and_the_rank(n: int, k: int, seed: int) -> None:
    matrix = noise(n, k, seed).astype(np.float32)
    singular = singular_values(Rows(matrix, np.ones(matrix.shape, np.bool_)))
    exact = np.linalg.svd(matrix.astype(np.float64), compute_uv=False)
    np.testing.assert_allclose(singular, exact, atol=1e-6 * exact[0])
    assert 1 - 1e-9 <= effective_rank(singular) <= min(n, k) + 1e-9


def test_rank_table_counts_the_components_for_nine_tenths_of_the_variance() -> None:
    # Singular values 3, 2, 1: variances 9, 4, 1 of 14; two of them hold 93 %.
    matrix = np.diag([3.0, 2.0, 1.0]).astype(np.float32)
    table = rank_table(spectrum("days", Rows(matrix, np.ones((3, 3), np.bool_))))
    row = table.iloc[0]
    assert (row["of"], row["largest_possible"], row["components_for_90_percent"]) == ("days", 3, 2)
    nothing = rank_table(spectrum("days", Rows(0 * matrix, np.ones((3, 3), np.bool_))))
    assert nothing[["effective_rank", "components_for_90_percent"]].isna().all(axis=None)


def test_moments_of_nodes_with_gaps_constants_and_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # Blocks of two steps: the first value of a node may lie in a later one.
    monkeypatch.setattr("stprune.describe.sample.BLOCK_VALUES", 8)
    values = np.array(
        [[9, 1013.7, 9, 0], [9, 1013.7, 9, 0], [9, 1013.7, 9, 4], [1, 1013.7, 9, 8], [3, 0, 9, 9]]
    )
    mask = np.ones((5, 4, 1), bool)
    mask[:3, 0], mask[4, 1], mask[:, 2] = False, False, False
    dataset = canonical(values[:, :, None].astype(np.float32), mask)
    table = moments_by_node(dataset, 0)
    assert table["observed"].tolist() == [2, 4, 0, 5]
    np.testing.assert_allclose(table["missing_rate"], [0.6, 0.2, 1, 0])
    np.testing.assert_allclose(table["mean"], [2, np.float32(1013.7), np.nan, 4.2])
    assert table["std"][0] == pytest.approx(1)
    assert table["std"][1] == 0
    assert table["std"][3] == pytest.approx(math.sqrt(161 / 5 - 4.2**2))
    np.testing.assert_allclose(table["minimum"], [1, np.float32(1013.7), np.nan, 0])
    np.testing.assert_allclose(table["maximum"], [3, np.float32(1013.7), np.nan, 9])


def test_slots_are_averaged_over_days_apart_from_the_weekend() -> None:
    values = np.zeros((7 * 24, 2))
    # Monday to Friday at 3:00 node 0 has 1..5 and node 1 twice that; Saturday and Sunday 7 each.
    for day in range(7):
        values[day * 24 + 3] = [day + 1, 2 * (day + 1)] if day < 5 else [7, 7]
    observed = np.ones(values.shape, np.bool_)
    observed[3, 0] = False
    table = moments_by_slot(sample_of(values, observed)).set_index(["days", "slot"])
    row = table.loc[("weekdays", 3)]
    # Node 0: 2, 3, 4, 5 (mean 3.5, variance 1.25); node 1: 2 ... 10 (mean 6, variance 8).
    assert row["mean"] == pytest.approx((3.5 + 6) / 2)
    assert row["std_over_days"] == pytest.approx(math.sqrt((1.25 + 8) / 2))
    assert row["std_over_nodes"] == pytest.approx(1.25)
    assert (row["hour"], row["observed"]) == (3, 9)
    assert table.loc[("weekend", 3), "mean"] == 7


def test_autocorrelation_with_gaps_is_that_of_the_pairs_that_are_there() -> None:
    values = noise(80, 3).cumsum(0).astype(np.float32)
    observed = np.random.default_rng(2).random(values.shape) > 0.4
    found = autocorrelations(np.where(observed, values, 0), observed, 40)
    for node in range(3):
        moved = values[:, node].astype(float) - values[observed[:, node], node].mean(dtype=float)
        for lag in range(41):
            early, late = moved[: 80 - lag], moved[lag:]
            both = observed[: 80 - lag, node] & observed[lag:, node]
            scale = math.sqrt((early[both] ** 2).sum() * (late[both] ** 2).sum())
            expected = (early * late)[both].sum() / scale if both.sum() >= 8 else np.nan
            np.testing.assert_allclose(found[lag, node], expected, atol=1e-6)


def test_a_constant_or_absent_node_has_no_autocorrelation() -> None:
    values = np.column_stack([np.full(50, 1013.7), np.zeros(50), noise(50, 1)[:, 0]])
    observed = np.ones(values.shape, np.bool_)
    observed[:, 1] = False
    found = autocorrelations(values.astype(np.float32), observed, 5)
    assert np.isnan(found[:, :2]).all()
    assert found[0, 2] == pytest.approx(1)
    table = autocorrelation_table(sample_of(values, observed))
    assert (table["nodes"] == 1).all()
    assert len(table) == 27  # half of the two days and two hours, and a day's pairs at least


def test_a_lag_of_a_day_is_a_day_even_where_nights_are_left_out() -> None:
    times = day_times(9)
    hours = (times - times.astype("datetime64[D]")).astype("timedelta64[h]").astype(int)
    table = autocorrelation_table(sample_of(1.0 * hours[:, None], timestamps=times))
    memory = table.set_index("lag")["mean"]
    assert memory[24] == pytest.approx(1)
    assert memory[18] < 0.5


def test_gaps_end_with_the_series_and_at_breaks() -> None:
    observed = np.ones((36, 2), np.bool_)
    observed[0, 0] = False
    observed[16:21, 1] = False  # two steps of the first day, three of the second
    observed[33:, 0] = False
    table = gap_lengths(sample_of(np.ones((36, 2)), observed, day_times(2)))
    assert table["steps"].tolist() == [1, 2, 3]
    assert table["gaps"].tolist() == [1, 1, 2]
    np.testing.assert_allclose(table["share_of_missing"], [1 / 9, 2 / 9, 6 / 9])
    assert gap_lengths(sample_of(np.ones((5, 2)))).empty


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=40))
def test_gaps_hold_all_missing_values(rows: list[list[bool]]) -> None:
    observed = np.array(rows)
    table = gap_lengths(sample_of(np.ones(observed.shape), observed))
    assert (table["steps"] * table["gaps"]).sum() == (~observed).sum()


def test_missing_by_hour_does_not_count_steps_that_the_data_set_leaves_out() -> None:
    observed = np.ones((36, 2), np.bool_)
    observed[[2, 20], 0] = False  # 8:00 on both days
    table = missing_by_hour(sample_of(np.ones((36, 2)), observed, day_times(2)))
    assert table["missing_rate"][8] == 0.5
    assert table["missing_rate"][9] == 0
    assert table["missing_rate"][:6].isna().all()


def test_gini_and_top_share_by_hand() -> None:
    # Mean difference of 1, 2, 3 over all ordered pairs: 8 / 9; over twice the mean: 2 / 9.
    assert gini(np.array([3.0, 1, 2])) == pytest.approx(2 / 9)
    assert math.isnan(gini(np.zeros(4)))
    assert top_share(np.array([1.0, 1, 2, 6]), 0.25) == pytest.approx(0.6)
    assert top_share(np.array([1.0, 3]), 0.1) == pytest.approx(0.75)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30).filter(lambda v: sum(v) > 1e-3))
def test_gini_is_the_mean_difference_of_pairs(numbers: list[float]) -> None:
    values = np.array(numbers)
    expected = np.abs(values[:, None] - values).mean() / (2 * values.mean())
    assert gini(values) == pytest.approx(expected, abs=1e-9)


def test_a_calm_series_with_one_burst_has_a_long_tail() -> None:
    values = np.tile(np.resize([0.0, 0.1], 400)[:, None], (1, 2))
    values[200:204] += [[5.0], [-5.0], [5.0], [-5.0]]
    tables = stationarity_tables(sample_of(values), np.arange(400 - 7), 4, 4)
    row = tables["stationarity_tail"].set_index("measure").loc["first_difference"]
    # Five differences add up to 39.5 and are in 7 windows each; the 2716 others are 0.1. The top
    # 39 windows are the 11 that see any of the five, with 42 small ones, and 28 calm ones.
    held = 7 * 39.5 + 42 * 0.1 + 28 * 7 * 0.1
    assert row["share_of_top_tenth"] == pytest.approx(held / (7 * 39.5 + 2716 * 0.1), rel=1e-4)
    assert row["windows"] == 393


def test_overlap_by_stride_and_at_a_break() -> None:
    table = window_overlap(np.arange(9), 4).set_index("stride")
    assert table.loc[1, "overlap"] == 0.75
    assert table.loc[1, "times_seen"] == pytest.approx(9 * 4 / 12)
    assert table.loc[4, "overlap"] == 0
    assert table.loc[4, "times_seen"] == 1
    # Windows at 0, 1 and 10: the first two share three of four steps, the last none.
    broken = window_overlap(np.array([0, 1, 10]), 4).iloc[0]
    assert broken["overlap"] == pytest.approx(0.75 / 2)
    assert broken["times_seen"] == pytest.approx(12 / 9)
    assert math.isnan(window_overlap(np.array([3]), 4)["overlap"][0])


def test_standardising_leaves_gaps_and_constants_at_zero() -> None:
    values = np.column_stack([np.arange(10.0), np.full(10, 1013.7)])
    observed = np.ones(values.shape, np.bool_)
    observed[4, 0] = False
    scaled = standardised(sample_of(values, observed))
    assert (scaled.values[:, 1] == 0).all()
    seen = scaled.values[observed[:, 0], 0]
    assert scaled.values[4, 0] == 0
    assert seen.mean() == pytest.approx(0, abs=1e-6)
    assert seen.std() == pytest.approx(1, abs=1e-6)


def chain(*weights: float) -> NDArray[np.float64]:
    """An undirected chain of nodes, with so strong edges."""
    graph = np.diag(weights, 1)
    return graph + graph.T


def test_sizes_windows_and_edges_are_counted() -> None:
    dataset = canonical(np.zeros((27, 3, 1)))
    weights = np.array([[7, 1, 0], [1, 0, 0], [0.5, 0, 2]], np.float32)
    dataset.adjacency[:] = weights
    facts = size_facts(dataset, np.arange(20))
    assert [facts[f"{name}_windows"] for name in ("train", "validation", "test")] == [12, 4, 4]
    assert facts["edges"] == edge_count(weights) == 3
    assert (facts["first"], facts["last"]) == ("2024-01-01T00:00", "2024-01-02T02:00")
    assert facts["source"] == "simulated"


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


def test_edges_are_pairs_and_the_strongest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = sample_of(np.zeros((2, 4)), adjacency=chain(3, 1, 2) + np.eye(4))
    every = list(edge_table(sample, IDS).itertuples(index=False, name=None))
    assert every == [("s0", "s1"), ("s1", "s2"), ("s2", "s3")]
    monkeypatch.setattr("stprune.describe.overview.MOST_EDGES", 0)
    monkeypatch.setattr("stprune.describe.overview.LEAST_EDGES", 2)
    some = list(edge_table(sample, IDS).itertuples(index=False, name=None))
    assert some == [("s0", "s1"), ("s2", "s3")]


def test_a_chain_lies_on_a_line_at_the_lengths_of_its_edges() -> None:
    # The weaker edge is a e-th of the stronger: lengths 1 and 2, in one direction only.
    directed = np.triu(chain(1, np.exp(-1)))
    places = node_places(sample_of(np.zeros((2, 3)), adjacency=directed), IDS)
    assert places["node"].tolist() == IDS[:3]
    assert places["y"].abs().max() < 1e-6
    assert np.abs(np.diff(places["x"])).tolist() == pytest.approx([1, 2])
    # The end that is furthest from the middle stands on the right, whatever the solver's sign.
    assert places["x"].iloc[2] == places["x"].max() > 0


def test_what_is_joined_to_all_alike_lies_on_a_circle_and_parts_lie_apart() -> None:
    round_ = node_places(sample_of(np.zeros((2, 4)), adjacency=np.ones((4, 4))), IDS)
    np.testing.assert_allclose(np.hypot(round_["x"], round_["y"]), 1)
    pairs = np.zeros((4, 4))
    pairs[0, 1] = pairs[2, 3] = 1
    places = node_places(sample_of(np.zeros((2, 4)), adjacency=pairs), IDS).set_index("node")
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
    tables = stationarity_tables(sample_of(np.stack([first, second], axis=1)), starts, 4, 4)
    table = tables["node_stationarity"]
    row = tables["node_stationarity_tail"].set_index("measure").loc["first_difference"]
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
    tables = stationarity_tables(sample_of(values), np.arange(33), 4, 4)
    # Of 33 windows 8 have step 20 in them.
    assert (tables["node_stationarity_tail"]["windows"] == 25).all()
    tables = stationarity_tables(sample_of(values[:, 1:]), np.arange(33), 4, 4)
    assert tables["node_stationarity"].empty
    assert tables["node_stationarity_tail"].empty
