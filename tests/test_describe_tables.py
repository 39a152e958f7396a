"""The tables of a description, worked by hand and against independent formulas."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from toy import canonical, day_times

from stprune.base.errors import DataError
from stprune.describe.description import size_facts
from stprune.describe.redundancy import (
    day_similarity,
    effective_rank,
    gini,
    node_similarity,
    pair_correlations,
    rank_table,
    spectrum,
    stationarity_tables,
    top_share,
    window_overlap,
    window_similarity,
)
from stprune.describe.statistics import (
    Sample,
    autocorrelation_table,
    autocorrelations,
    day_rows,
    masking_table,
    moments_by_node,
    moments_by_slot,
    standardised,
)

NAN = float("nan")


def sample_of(values, timestamps=None, start="2024-01-01", minutes=60):
    """A sample of (T, n) values, NaN where missing, from a Monday on."""
    steps, nodes = values.shape
    times = np.datetime64(start, "s") + np.arange(steps) * np.timedelta64(60 * minutes, "s")
    return Sample(
        values.astype(np.float32),
        np.arange(nodes),
        times if timestamps is None else timestamps,
        np.zeros((nodes, nodes), np.float32),
        minutes,
    )


def noise(steps: int, nodes: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(steps, nodes))


def with_holes(values: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    return np.where(np.random.default_rng(1).random(values.shape) > share, values, NAN)


def counts_of(table: pd.DataFrame) -> dict[str, int]:
    return dict(table.groupby("pairs")["count"].first())


def quantile(table: pd.DataFrame, pairs: str, percentile: int) -> float:
    return float(table.set_index(["pairs", "percentile"])["correlation"].loc[(pairs, percentile)])


def test_pairs_with_gaps_are_correlated_over_what_both_have():
    values = with_holes(noise(60, 5) + 3, 0.3)
    # pandas drops incomplete pairs too.
    expected = pd.DataFrame(values).corr().to_numpy()
    found = pair_correlations(values.T.astype(np.float32), centred=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_only_joined_nodes_count_as_such_and_one_direction_is_enough():
    values = noise(200, 3)
    values[:, 1] = 2 * values[:, 0] + 1
    adjacency = np.zeros((3, 3), np.float32)
    adjacency[1, 0] = 1
    table = node_similarity(standardised(sample_of(values)).values.T, adjacency)
    assert counts_of(table) == {"all pairs": 3, "joined by an edge": 1}
    assert quantile(table, "joined by an edge", 0) == pytest.approx(1)


def test_days_that_repeat_weekly_are_alike_on_the_same_weekday_only():
    scaled = standardised(sample_of(np.tile(noise(7 * 24, 2), (3, 1))))
    table = day_similarity(*day_rows(scaled, 99, np.random.default_rng(0)))
    assert counts_of(table) == {"all pairs": 21 * 20 // 2, "same weekday": 7 * 3}
    assert quantile(table, "same weekday", 0) == pytest.approx(1, abs=1e-6)
    assert quantile(table, "all pairs", 50) < 0.7


def test_windows_a_period_apart_are_the_same_and_those_past_the_end_are_not_compared():
    scaled = standardised(sample_of(np.tile(noise(24, 2), (5, 1))))
    starts = np.arange(5 * 24 - 5)
    table = window_similarity(scaled, starts, 6, np.arange(len(starts)))
    assert counts_of(table) == {
        "all pairs": 115 * 114 // 2,
        "one step apart": 114,
        "a window apart": 109,
        "a day apart": 91,
        "a week apart": 0,
    }
    assert quantile(table, "a day apart", 0) == pytest.approx(1, abs=1e-6)
    assert math.isnan(quantile(table, "a week apart", 50))


def test_ranks_of_known_matrices():
    # Shares 3/4 and 1/4: entropy ln 4 - (3/4) ln 3.
    assert effective_rank(np.array([3.0, 1.0])) == pytest.approx(4 / 3**0.75)
    assert effective_rank(np.array([2.0, 0.0])) == 1
    # Singular values 3, 2, 1: variances 9, 4, 1 of 14; two of them hold 93 %.
    matrix = np.diag([3.0, 2.0, 1.0]).astype(np.float32)
    row = rank_table(spectrum("days", matrix)).iloc[0]
    assert (row["of"], row["largest_possible"], row["components_for_90_percent"]) == ("days", 3, 2)
    nothing = rank_table(spectrum("days", 0 * matrix))
    assert nothing[["effective_rank", "components_for_90_percent"]].isna().all(axis=None)


def test_moments_of_nodes_with_gaps_constants_and_nothing(monkeypatch):
    # Blocks of two steps: the first value of a node may lie in a later one.
    monkeypatch.setattr("stprune.data.canonical.BLOCK_VALUES", 8)
    values = np.array(
        [[9, 1013.7, 9, 0], [9, 1013.7, 9, 0], [9, 1013.7, 9, 4], [1, 1013.7, 9, 8], [3, 0, 9, 9]]
    )
    mask = np.ones((5, 4, 1), bool)
    mask[:3, 0], mask[4, 1], mask[:, 2] = False, False, False
    table = moments_by_node(canonical(values[:, :, None].astype(np.float32), mask), 0)
    expected = {
        "observed": [2, 4, 0, 5],
        "missing_rate": [0.6, 0.2, 1, 0],
        "mean": [2, np.float32(1013.7), NAN, 4.2],
        "std": [1, 0, NAN, math.sqrt(161 / 5 - 4.2**2)],
        "minimum": [1, np.float32(1013.7), NAN, 0],
        "maximum": [3, np.float32(1013.7), NAN, 9],
    }
    for name, column in expected.items():
        np.testing.assert_allclose(table[name], column, atol=1e-9, err_msg=name)


def test_slots_are_averaged_over_days_apart_from_the_weekend():
    values = np.zeros((7 * 24, 2))
    # Monday to Friday at 3:00 node 0 has 1..5 and node 1 twice that; Saturday and Sunday 7 each.
    for day in range(7):
        values[day * 24 + 3] = [day + 1, 2 * (day + 1)] if day < 5 else [7, 7]
    values[3, 0] = NAN
    table = moments_by_slot(sample_of(values)).set_index(["days", "slot"])
    row = table.loc[("weekdays", 3)]
    # Node 0: 2, 3, 4, 5 (mean 3.5, variance 1.25); node 1: 2 ... 10 (mean 6, variance 8).
    assert row["mean"] == pytest.approx((3.5 + 6) / 2)
    assert row["std_over_days"] == pytest.approx(math.sqrt((1.25 + 8) / 2))
    assert row["std_over_nodes"] == pytest.approx(1.25)
    assert (row["hour"], row["observed"]) == (3, 9)
    assert table.loc[("weekend", 3), "mean"] == 7


def test_autocorrelation_with_gaps_is_that_of_the_pairs_that_are_there():
    values = with_holes(noise(80, 3).cumsum(0), 0.4).astype(np.float32)
    found = autocorrelations(values, 40)
    moved = values.astype(float) - np.nanmean(values.astype(float), axis=0)
    for lag in range(41):
        early, late = moved[: 80 - lag], moved[lag:]
        both = np.isfinite(early * late)
        squares = ((part**2).sum(0, where=both) for part in (early, late))
        expected = (early * late).sum(0, where=both) / np.sqrt(math.prod(squares))
        expected[both.sum(0) < 8] = NAN
        np.testing.assert_allclose(found[lag], expected, atol=1e-6)


def test_a_lag_of_a_day_is_a_day_even_where_nights_are_left_out():
    times = day_times(9)
    hours = (times - times.astype("datetime64[D]")).astype("timedelta64[h]").astype(int)
    table = autocorrelation_table(sample_of(1.0 * hours[:, None], times))
    memory = table.set_index("lag")["mean"]
    assert memory[24] == pytest.approx(1)
    assert memory[18] < 0.5


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30).filter(lambda v: sum(v) > 1e-3))
def test_gini_is_the_mean_difference_of_pairs(numbers):
    values = np.array(numbers)
    expected = np.abs(values[:, None] - values).mean() / (2 * values.mean())
    assert gini(values) == pytest.approx(expected, abs=1e-9)
    assert top_share(np.array([1.0, 1, 2, 6]), 0.25) == pytest.approx(0.6)


def test_a_calm_series_with_one_burst_has_a_long_tail():
    values = np.tile(np.resize([0.0, 0.1], 400)[:, None], (1, 2))
    values[200:204] += [[5.0], [-5.0], [5.0], [-5.0]]
    tables = stationarity_tables(sample_of(values), np.arange(400 - 7), 4, 4)
    row = tables["stationarity_tail"].set_index("measure").loc["first_difference"]
    # Five differences add up to 39.5 and are in 7 windows each; the 2716 others are 0.1. The top
    # 39 windows are the 11 that see any of the five, with 42 small ones, and 28 calm ones.
    held = 7 * 39.5 + 42 * 0.1 + 28 * 7 * 0.1
    assert row["share_of_top_tenth"] == pytest.approx(held / (7 * 39.5 + 2716 * 0.1), rel=1e-4)
    assert row["windows"] == 393


def test_a_node_counts_only_with_windows_it_has_whole():
    values = noise(40, 2)
    values[20, 0] = NAN
    values[:, 1] = NAN
    tables = stationarity_tables(sample_of(values), np.arange(33), 4, 4)
    # Of 33 windows 8 have step 20 in them.
    assert (tables["node_stationarity_tail"]["windows"] == 25).all()
    tables = stationarity_tables(sample_of(values[:, 1:]), np.arange(33), 4, 4)
    assert tables["node_stationarity"].empty
    assert tables["node_stationarity_tail"].empty


def test_overlap_by_stride_and_at_a_break():
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


def test_a_bad_node_in_a_calm_window_is_found(monkeypatch):
    monkeypatch.setattr("stprune.describe.statistics.LARGE", 0.5)
    # Eight windows at four nodes; in the two of the lowest mean one node is as bad as any.
    errors = np.repeat(np.arange(1.0, 9)[:, None], 4, axis=1)
    errors[:2] = [[0, 0, 0, 5], [0, 0, 0, 7]]
    table = masking_table(errors).set_index("quarter")
    # Node 3 has 5, 7, 3, ..., 8: its median is 5.5; the other nodes' is 4.5.
    assert table["windows"].tolist() == [2, 2, 2, 2]
    assert table["mean_error"][1] == pytest.approx((5 / 4 + 7 / 4) / 2)
    assert table["large_share"].tolist() == pytest.approx([1 / 8, 0, 7 / 8, 1])
    assert table["windows_with_any"].tolist() == pytest.approx([1 / 2, 0, 1, 1])
    assert table["share_of_large"].tolist() == pytest.approx([1 / 16, 0, 7 / 16, 8 / 16])
    # Nodes and windows without targets count nowhere.
    with pytest.raises(DataError):
        masking_table(errors[:3])
    errors = np.vstack([errors, np.full(4, NAN)])
    errors[:, 1] = NAN
    table = masking_table(errors)
    assert table["windows"].sum() == 8
    assert table["mean_error"][0] == pytest.approx((5 / 3 + 7 / 3) / 2)


def test_sizes_windows_and_edges_are_counted():
    dataset = canonical(np.zeros((27, 3, 1)))
    dataset.adjacency[:] = [[7, 1, 0], [1, 0, 0], [0.5, 0, 2]]
    facts = size_facts(dataset, np.arange(20), 8)
    assert [facts[f"{name}_windows"] for name in ("train", "validation", "test")] == [12, 4, 4]
    assert facts["edges"] == 3
    assert (facts["first"], facts["last"]) == ("2024-01-01T00:00", "2024-01-02T02:00")
    assert facts["source"] == "simulated"
