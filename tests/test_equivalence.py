"""Equivalence: the two one-sided tests, what they are called, and how often they are wrong."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_summary import noisy_summary, summary_of
from scipy import stats

from stprune.statistics.paired import (
    Equivalence,
    differences_from,
    equivalence,
    equivalences,
    losses,
)

SOME = np.array([0.3, -0.8, 1.1, 0.2, -0.4])


def test_agrees_with_the_tests_of_scipy_and_with_statsmodels():
    found = equivalence(SOME, margin=1.0)
    below, worse = (
        stats.ttest_1samp(SOME, 1.0, alternative=side).pvalue for side in ("less", "greater")
    )
    assert (found.p_not_worse, found.p_worse) == pytest.approx((below, worse))
    # statsmodels 0.15.0: ttost_paired(SOME, zeros, -1, 1).
    assert found.p_equivalent == pytest.approx(0.023581745879408058, rel=1e-9)


@given(
    st.lists(st.floats(-5, 5), min_size=3, max_size=9).filter(lambda some: np.ptp(some) > 1e-3),
    st.floats(0.1, 3.0),
)
def test_equivalent_exactly_where_the_interval_lies_within_the_margin(values, margin):
    found = equivalence(np.array(values), margin)
    room = min(margin - found.high, found.low + margin)
    if abs(room) > 1e-6:
        assert (found.p_equivalent < 0.05) == (room > 0)
    turned = equivalence(-np.array(values), margin)
    assert turned.p_equivalent == pytest.approx(found.p_equivalent)
    assert found.p_not_worse <= found.p_equivalent
    wider = equivalence(np.array(values), 2 * margin)
    assert wider.p_equivalent <= found.p_equivalent + 1e-12


def test_known_losses_get_the_right_verdicts():
    losses = {"equal": 0.0, "better": -4.0, "worse": 4.0}
    table = equivalences(noisy_summary(np.random.default_rng(3), losses, 4, 5, spread=0.25))
    verdicts = table.groupby("pruner")["verdict"].agg(set).to_dict()
    assert verdicts == {"equal": {"lossless"}, "better": {"not worse"}, "worse": {"worse"}}
    # A significant difference is missing as well, yet nothing is shown to be equal.
    loud = equivalences(noisy_summary(np.random.default_rng(3), {"equal": 0.0}, 4, 5, spread=8.0))
    assert set(loud["verdict"]) == {"open"}


def test_rows_over_all_data_sets_count_each_once_and_come_first():
    runs = [("a", "x", 0.5, seed, 2.0 + 0.02 * (seed % 2)) for seed in range(6)]  # + 0.5 %
    runs += [(name, "x", 0.5, 0, 2.0 * factor) for name, factor in (("b", 0.99), ("c", 1.02))]
    full = [(name, "full", 0.0, seed, 2.0) for name in "abc" for seed in range(6)]
    table = equivalences(summary_of([*runs, *full]))
    assert table["dataset"].tolist() == ["all", "a", "b", "c"]
    assert table["count"].tolist() == [3, 6, 1, 1]
    assert table["mean"].tolist() == pytest.approx([(0.5 - 1 + 2) / 3, 0.5, -1.0, 2.0])
    expected = equivalence(np.array([0.5, -1.0, 2.0]))
    assert table["p_equivalent"][0] == pytest.approx(expected.p_equivalent)
    assert table["verdict"].tolist()[2:] == ["too few", "too few"]


def test_losses_are_over_data_sets_where_there_are_three_and_else_over_seeds():
    # Differences of x by data set and seed, in percent; y is full training itself.
    changes = {"a": [0.5, 0.7, 0.9], "b": [1.5, 1.9, 1.7], "c": [-1.0, -1.0, -1.0]}
    runs = [
        (name, pruner, ratio, seed, 2.0 * (1 + change / 100 * (pruner == "x")))
        for name, some in changes.items()
        for seed, change in enumerate(some)
        for pruner, ratio in (("full", 0.0), ("x", 0.5), ("y", 0.5))
    ]
    differences = differences_from(summary_of(runs), "full")
    x, y = losses(differences).to_dict("records")
    assert (x["count"], x["mean"]) == (3, pytest.approx((0.7 + 1.7 - 1.0) / 3))
    assert (y["mean"], y["sd"], y["verdict"]) == (0.0, 0.0, "lossless")
    x, y = losses(differences[differences["dataset"] != "c"]).to_dict("records")
    assert (x["count"], x["mean"]) == (3, pytest.approx(1.2))
    # Over seeds 1.0, 1.3 and 1.3 %: 0.1 from the mean's standard error, t = (1.2 - 2) / 0.1 = -8,
    # two degrees of freedom: p = 0.0076, twice that for two rows without a smaller p is below 0.05.
    assert x["sd"] / 3**0.5 == pytest.approx(0.1)
    assert x["p_within_twice"] == pytest.approx(0.00763, rel=1e-3)
    assert x["verdict"] == "about 1 %"


def test_what_is_full_training_itself_is_no_claim_and_counts_in_no_family():
    losses = {"x": 0.0, "y": 0.3}
    summary = noisy_summary(np.random.default_rng(5), losses, 3, 4, spread=0.3)
    full = summary[summary["pruner"] == "full"]
    itself = full.assign(pruner="full_fewer_epochs", prune_ratio=0.5)
    table = equivalences(pd.concat([summary, itself]))
    same = table["pruner"] == "full_fewer_epochs"
    assert set(table["verdict"][same]) == {"identical"}
    assert table["p_equivalent"][same].isna().all()
    alone = equivalences(summary)
    assert table[~same]["holm_p_equivalent"].tolist() == alone["holm_p_equivalent"].tolist()


def test_without_full_training_there_is_an_empty_table_with_its_columns():
    table = equivalences(summary_of([("a", "x", 0.5, 0, 1.0)]))
    assert table.empty
    assert {*Equivalence._fields, "holm_p_equivalent", "verdict"} <= set(table)
