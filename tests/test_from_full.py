"""Pairs with full training: who is paired with whom, and what their differences are called."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from made_up_summary import most_false_alarms, noisy_summary, summary_of
from scipy import stats

from stprune.base.errors import RecordError
from stprune.statistics.enough import signed_rank_can_tell
from stprune.statistics.from_full import compare_with_full, differences_from_full
from stprune.statistics.significance import holm
from stprune.statistics.tally import TALLIES, tallies, tally


def test_pairs_and_differences_worked_by_hand() -> None:
    summary = summary_of(
        [
            ("a", "full", 0.0, 0, 2.0),
            ("a", "full", 0.0, 1, 4.0),
            ("a", "x", 0.5, 0, 2.1),  # 5 % above
            ("a", "x", 0.9, 0, 2.5),  # 25 % above
            ("a", "x", 0.5, 1, 3.0),  # 25 % below
            ("a", "x", 0.5, 2, 9.0),  # that seed of full was not run
            ("b", "x", 0.5, 0, 9.0),  # nor that data set
            ("a", "y", 0.5, 0, math.nan),
        ]
    )
    pairs = differences_from_full(summary.sample(frac=1, random_state=3))
    assert pairs[["pruner", "prune_ratio", "seed"]].to_numpy().tolist() == [
        ["x", 0.5, 0],
        ["x", 0.5, 1],
        ["x", 0.9, 0],
    ]
    assert pairs["difference"].tolist() == pytest.approx([5.0, -25.0, 25.0])


def test_a_full_run_serves_every_budget_of_its_data_set_and_no_other_backbone() -> None:
    full = summary_of([("a", "full", 0.0, 0, 2.0)])
    pruned = [("a", "x", 0.5, 0, 2.2)]
    both = pd.concat([full, summary_of(pruned), summary_of(pruned, budget="total_time")])
    assert differences_from_full(both)["budget"].tolist() == ["epochs", "total_time"]
    elsewhere = summary_of(pruned).assign(backbone="gwnet")
    assert differences_from_full(pd.concat([full, elsewhere])).empty


def test_misshapen_summaries_are_refused_with_one_line() -> None:
    full, run = ("a", "full", 0.0, 0, 2.0), ("a", "x", 0.5, 0, 2.0)
    cases = [
        (summary_of([full, full, run]), r"two runs have the same address \(a, stid, 0\)"),
        (summary_of([full, run, run]), r"two runs have the same address \(.*x, 0\.5, 0\)"),
        (summary_of([("a", "full", 0.0, 0, 0.0), run]), "`full` must be above 0"),
        (summary_of([full, run]).drop(columns="budget"), r"lacks the columns \['budget'\]"),
    ]
    for summary, message in cases:
        with pytest.raises(RecordError, match=message) as error:
            differences_from_full(summary)
        assert "\n" not in str(error.value)


def test_known_effects_get_the_right_verdicts_and_both_tests_are_corrected() -> None:
    losses = {"better": -2.0, "equal": 0.0, "worse": 2.0}
    summary = noisy_summary(np.random.default_rng(2), losses, datasets=4, seeds=3, spread=0.8)
    table = compare_with_full(summary).set_index("pruner")
    assert table["verdict"].to_dict() == {"better": "win", "equal": "tie", "worse": "lose"}
    assert table["cells"].tolist() == [12, 12, 12]
    assert table["holm_p"].tolist() == pytest.approx(holm(table["t_p"].tolist()))
    assert table["wilcoxon_holm_p"].tolist() == pytest.approx(holm(table["wilcoxon_p"].tolist()))
    values = differences_from_full(summary).query("pruner == 'worse'")["difference"]
    assert table["t_p"]["worse"] == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert table["sd"]["worse"] == pytest.approx(values.std())
    assert table["low"]["worse"] < table["mean"]["worse"] < table["high"]["worse"]


def test_too_few_pairs_have_a_mean_and_neither_test_nor_interval() -> None:
    few = compare_with_full(noisy_summary(np.random.default_rng(1), {"x": 9.0}, 1, 2, 0.1))
    assert few["verdict"].tolist() == ["too few"]
    assert few["mean"][0] == pytest.approx(9.0, abs=1)
    assert few[["low", "high", "t_p", "holm_p", "wilcoxon_p"]].isna().all(axis=None)
    # Of five pairs the t test is made; Wilcoxon's could not come below 2 / 2^5.
    some = compare_with_full(noisy_summary(np.random.default_rng(1), {"x": 9.0}, 1, 5, 0.1))
    assert some["verdict"].tolist() == ["lose"]
    assert math.isnan(some["wilcoxon_p"][0])


@pytest.mark.parametrize("pairs", range(2, 9))
def test_whether_the_signed_rank_test_can_tell_is_what_its_best_case_says(pairs: int) -> None:
    best = stats.wilcoxon(np.arange(1.0, pairs + 1)).pvalue
    assert signed_rank_can_tell(pairs) == (best < 0.05)


def test_without_any_difference_a_family_is_wrong_at_the_stated_rate() -> None:
    rng = np.random.default_rng(9)
    parts = [
        noisy_summary(rng, dict.fromkeys("xyz", 0.0), 1, 6, 1.0).assign(
            budget=f"b{n}", dataset=f"d{n}"
        )
        for n in range(120)
    ]
    table = compare_with_full(pd.concat(parts, ignore_index=True))
    wrong = table.groupby("budget")["verdict"].agg(lambda some: set(some) != {"tie"})
    assert len(wrong) == 120
    assert 0 < wrong.sum() < most_false_alarms(120)


def test_tallies_worked_by_hand() -> None:
    assert tally(np.array([-1.01, -1.0, 0.0, 1.0, 1.01, 5.0])) == (1, 3, 2)
    summary = summary_of(
        [
            *(("a", "full", 0.0, seed, 2.0) for seed in range(3)),
            *(("a", "x", 0.5, seed, mae) for seed, mae in enumerate((1.9, 2.01, 2.2))),
            *(("a", "random_dynamic", 0.5, seed, 1.8) for seed in range(2)),
        ]
    )
    of_full = tallies(summary, "full").set_index("pruner")[list(TALLIES)]
    assert of_full.loc["x"].tolist() == [1, 1, 1]
    assert of_full.loc["random_dynamic"].tolist() == [2, 0, 0]
    against = tallies(summary, "random_dynamic")
    assert against[["pruner", *TALLIES]].to_numpy().tolist() == [["x", 0, 0, 2]]
    assert tallies(summary, "never_run").empty
