"""Paired comparisons: only like is paired with like, and the tests are what they are called."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from made_up_summary import noisy_summary, summary_of
from scipy import stats

from stprune.statistics.paired import (
    CELL,
    WINS,
    Values,
    bootstrap_interval,
    compare,
    compare_all,
    compare_with_full,
    count_wins,
    differences_from,
    holm,
    signed_rank_test,
    t_test,
    verdicts,
)

Run = tuple[str, str, float, int, float]


def _differences(values: dict[str, list[float]]) -> pd.DataFrame:
    """Differences in percent by data set, one seed each."""
    rows = [
        ("epochs", dataset, "stid", 0.5, seed, value)
        for dataset, some in values.items()
        for seed, value in enumerate(some)
    ]
    return pd.DataFrame(rows, columns=[*CELL, "difference"])


def _pairs(summary: pd.DataFrame, other: str) -> list[tuple[object, ...]]:
    """Data set, prune ratio, seed and rounded difference of each pair of x."""
    found = differences_from(summary.sample(frac=1, random_state=3), other)
    found = found[found["pruner"] == "x"].round({"difference": 6})
    columns = ["dataset", "prune_ratio", "seed", "difference"]
    return list(found[columns].itertuples(index=False, name=None))


def test_pairs_worked_by_hand():
    summary = summary_of(
        [
            *(("a", "full", 0.0, seed, level) for seed, level in ((0, 2.0), (1, 4.0))),
            ("a", "x", 0.5, 0, 2.2),
            ("a", "random_dynamic", 0.5, 0, 2.0),
            ("a", "x", 0.9, 0, 3.0),
            ("a", "random_dynamic", 0.9, 0, 4.0),
            ("a", "x", 0.5, 1, 3.0),
            ("b", "x", 0.5, 0, 5.0),  # that data set of full was not run
            ("b", "random_dynamic", 0.5, 1, 4.0),  # another seed: no pair
            ("c", "x", 0.5, 0, math.nan),
            ("c", "random_dynamic", 0.5, 0, 4.0),  # no score: no pair
        ]
    )
    of_random = [("a", 0.5, 0, 10.0), ("a", 0.9, 0, -25.0)]
    of_full = [("a", 0.5, 0, 10.0), ("a", 0.5, 1, -25.0), ("a", 0.9, 0, 50.0)]
    assert (_pairs(summary, "random_dynamic"), _pairs(summary, "full")) == (of_random, of_full)


def test_comparison_worked_by_hand():
    found = compare(_differences({"a": [-1.0, -3.0], "b": [-2.0], "c": [6.0]}))
    assert found.cells == 4
    assert found.mean == pytest.approx(0.0)
    assert (found.datasets, found.ahead) == (3, 2)
    # Means by data set: -2, -2 and 6; mean 2/3, sd sqrt(64/3), so t = (2/3) / (8/3) = 1/4 and,
    # with two degrees of freedom, p = 1 - t / sqrt(2 + t^2).
    assert found.datasets_mean == pytest.approx(2 / 3)
    assert found.datasets_p == pytest.approx(1 - 0.25 / math.sqrt(2 + 0.0625))
    assert found.t_p == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(5))
def test_p_values_agree_with_independent_ones(seed):
    values = np.random.default_rng(seed).normal(0.4, 1.0, size=7)
    assert t_test(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert signed_rank_test(tuple(values)) == pytest.approx(_signed_rank_by_counting(values))


def _signed_rank_by_counting(values: Values) -> float:
    """Share of all sign patterns whose rank sum is as far from its mean as the one seen."""
    ranks = np.abs(values).argsort().argsort() + 1
    half = ranks.sum() / 2
    seen = abs(ranks[values > 0].sum() - half)
    signs = itertools.product((0, 1), repeat=len(values))
    return float(np.mean([abs((ranks * np.array(sign)).sum() - half) >= seen for sign in signs]))


def test_tests_of_what_cannot_be_tested():
    assert math.isnan(t_test(np.array([3.0])))
    assert math.isnan(signed_rank_test((3.0,)))
    assert t_test(np.zeros(5)) == signed_rank_test((0.0,) * 5) == 1.0
    assert t_test(np.full(5, -2.0)) == 0.0
    assert all(map(math.isnan, bootstrap_interval((3.0,))))


def test_bootstrap_interval_nears_the_normal_one_and_is_repeatable():
    values = np.random.default_rng(1).normal(3.0, 2.0, size=400)
    low, high = bootstrap_interval(tuple(values))
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    bootstrap_interval.cache_clear()
    assert bootstrap_interval(tuple(values)) == (low, high)


def test_holm_worked_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, and never below the one before.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.4, 0.5]) == pytest.approx([0.8, 0.8])
    assert holm([0.7, 0.9]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []
    assert holm([math.nan, 0.01, 0.02]) == pytest.approx([math.nan, 0.02, 0.02], nan_ok=True)


def test_verdict_needs_both_a_small_p_and_a_side():
    cases = [(-1.0, 0.049), (1.0, 0.049), (-9.0, 0.05), (9.0, math.nan), (0.0, 0.0)]
    table = pd.DataFrame(cases, columns=["mean", "holm_p"])
    assert verdicts(table).tolist() == ["win", "lose", "tie", "tie", "tie"]


def test_families_are_corrected_apart():
    losses = {"x": -5.0, "y": 0.0, "random_dynamic": 0.0}
    half = noisy_summary(np.random.default_rng(8), losses, datasets=4, seeds=3, spread=1.0)
    summary = pd.concat([half, half[half["pruner"] != "full"].assign(prune_ratio=0.9)])
    both = pd.concat([summary, summary.assign(budget="total_time")])
    table = compare_all(both)
    alone = compare_all(summary)
    assert len(table) == 2 * len(alone) == 2 * 2 * 3
    for _, part in table.groupby("budget"):
        assert part["holm_p"].tolist() == pytest.approx(alone["holm_p"].tolist())
    overall = alone[alone["prune_ratio"].isna()]
    assert overall["verdict"].tolist() == ["win", "tie"]
    assert overall[["cells", "datasets", "ahead"]].iloc[0].tolist() == [24, 4, 4]
    assert overall["mean"].tolist() == pytest.approx([-5.0, 0.0], abs=1.0)
    assert overall["holm_p"].tolist() == pytest.approx(holm(overall["t_p"].tolist()))
    single = alone[alone["prune_ratio"].notna()]
    assert single["holm_p"].tolist() == pytest.approx(holm(single["t_p"].tolist()))


def test_budgets_and_backbones_are_never_mixed_but_full_serves_every_budget():
    full = summary_of([("a", "full", 0.0, 0, 2.0)])
    pruned = summary_of([("a", "x", 0.5, 0, 2.2)])
    control = summary_of([("a", "random_dynamic", 0.5, 0, 2.0)], budget="total_time")
    both = pd.concat([full, pruned, control])
    assert differences_from(both, "full")["budget"].tolist() == ["epochs", "total_time"]
    assert differences_from(both, "random_dynamic").empty
    for elsewhere in ({"budget": "epochs", "backbone": "gwnet"}, {"dataset": "b"}):
        found = differences_from(pd.concat([pruned, control.assign(**elsewhere)]), "random_dynamic")
        assert found.empty


def test_known_effects_get_the_right_verdicts_and_both_tests_are_corrected():
    losses = {"better": -2.0, "equal": 0.0, "worse": 2.0}
    summary = noisy_summary(np.random.default_rng(2), losses, datasets=4, seeds=3, spread=0.8)
    table = compare_with_full(summary).set_index("pruner")
    assert table["verdict"].to_dict() == {"better": "win", "equal": "tie", "worse": "lose"}
    assert table["cells"].tolist() == [12, 12, 12]
    assert table["holm_p"].tolist() == pytest.approx(holm(table["t_p"].tolist()))
    assert table["wilcoxon_holm_p"].tolist() == pytest.approx(holm(table["wilcoxon_p"].tolist()))
    values = differences_from(summary, "full").query("pruner == 'worse'")["difference"]
    assert table["t_p"]["worse"] == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert table["sd"]["worse"] == pytest.approx(values.std())
    assert table["low"]["worse"] < table["mean"]["worse"] < table["high"]["worse"]


def test_too_few_pairs_have_a_mean_and_neither_test_nor_interval():
    few = compare_with_full(noisy_summary(np.random.default_rng(1), {"x": 9.0}, 1, 2, 0.1))
    assert few["verdict"].tolist() == ["too few"]
    assert few["mean"][0] == pytest.approx(9.0, abs=1)
    assert few[["low", "high", "t_p", "holm_p", "wilcoxon_p"]].isna().all(axis=None)
    # Of five pairs the t test is made; Wilcoxon's could not come below 2 / 2^5.
    some = compare_with_full(noisy_summary(np.random.default_rng(1), {"x": 9.0}, 1, 5, 0.1))
    assert some["verdict"].tolist() == ["lose"]
    assert math.isnan(some["wilcoxon_p"][0])


def test_wins_worked_by_hand():
    summary = summary_of(
        [
            *(("a", "full", 0.0, seed, 2.0) for seed in range(4)),
            *(("a", "x", 0.5, seed, mae) for seed, mae in enumerate((1.9, 2.01, 2.2, 1.995))),
            *(("a", "random_dynamic", 0.5, seed, 1.8) for seed in range(2)),
        ]
    )
    of_full = count_wins(summary, "full").set_index("pruner")[list(WINS)]
    assert of_full.loc["x"].tolist() == [1, 2, 1]
    assert of_full.loc["random_dynamic"].tolist() == [2, 0, 0]
    against = count_wins(summary, "random_dynamic")
    assert against[["pruner", *WINS]].to_numpy().tolist() == [["x", 0, 0, 2]]
    assert count_wins(summary, "never_run").empty


@pytest.mark.parametrize("control", ["random_dynamic", "full"])
@pytest.mark.parametrize("error", [0.0, math.nan])
def test_nothing_is_a_percentage_of_nothing(control, error):
    ratio = 0.0 if control == "full" else 0.5
    runs = [("a", "x", 0.5, seed, 1.0) for seed in (0, 1)]
    controls = [("a", control, ratio, 0, error), ("a", control, ratio, 1, 2.0)]
    found = differences_from(summary_of([*runs, *controls]), control)
    assert found[["seed", "difference"]].to_numpy().tolist() == [[1, -50.0]]
