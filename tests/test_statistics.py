"""Ranks, the area under a trade-off, time to an accuracy: published examples and by hand."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_summary import SeededRun, curves_of, summary_of
from scipy import stats

from stprune.statistics.ranks import alike, largest_complete, ranking, rankings
from stprune.statistics.time_to_accuracy import (
    Sample,
    compare_reaching,
    least_log_rank_p,
    log_rank,
    restricted_mean,
    times_to_goal,
)
from stprune.statistics.tradeoff import CAP, area, cloud, on_front, tradeoff_areas

# Demšar (2006), Table 6: areas under the ROC curve of four variants of C4.5 on 14 data sets. His
# ranks tell the last two of the 13th apart, which the printed 0.975 does not.
DEMSAR = pd.DataFrame(
    [
        (0.763, 0.768, 0.771, 0.798),
        (0.599, 0.591, 0.590, 0.569),
        (0.954, 0.971, 0.968, 0.967),
        (0.628, 0.661, 0.654, 0.657),
        (0.882, 0.888, 0.886, 0.898),
        (0.936, 0.931, 0.916, 0.931),
        (0.661, 0.668, 0.609, 0.685),
        (0.583, 0.583, 0.563, 0.625),
        (0.775, 0.838, 0.866, 0.875),
        (1.000, 1.000, 1.000, 1.000),
        (0.940, 0.962, 0.965, 0.962),
        (0.619, 0.666, 0.614, 0.669),
        (0.972, 0.981, 0.97501, 0.975),
        (0.957, 0.978, 0.946, 0.970),
    ],
    columns=["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"],
)


def test_demsars_example():
    found = ranking(-DEMSAR)
    assert found.mean_ranks.round(3).to_dict() == {
        "C4.5+m+cf": 1.964,
        "C4.5+m": 2.0,
        "C4.5+cf": 2.893,
        "C4.5": 3.143,
    }
    # He gives q = 2.569 and CD = 2.569 sqrt(4 5 / (6 14)) = 1.25.
    assert found.critical_difference == pytest.approx(2.569 * math.sqrt(20 / 84), abs=1e-3)
    assert found.critical_difference == pytest.approx(1.25, abs=5e-3)
    # And so, with Nemenyi's test, nothing to choose between the second best and the worst.
    assert alike(found) == [("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5")]
    # His statistic of 9.28 is not corrected for ties; without them it would be ours.
    ranks = found.mean_ranks.to_numpy()
    assert 12 * 14 / 20 * (np.square(ranks).sum() - 4 * 25 / 4) == pytest.approx(9.28, abs=0.01)
    assert found.p < stats.chi2.sf(9.28, 3) < 0.05


def test_groups_of_alike_pruners_overlap_and_none_lies_within_another():
    # Twelve places always in the same order: ranks 1 to 6, critical difference 2.18.
    values = pd.DataFrame([[1.0, 2, 3, 4, 5, 6]] * 12, columns=list("abcdef"))
    assert alike(ranking(values)) == [tuple("abc"), tuple("bcd"), tuple("cde"), tuple("def")]
    # 300 places tell all apart.
    assert alike(ranking(pd.concat([values] * 25))) == []


def test_too_few_places_or_pruners_are_ranked_and_not_tested():
    six = pd.DataFrame([[1.0, 2, 3, 4, 5, 6]] * 2, columns=list("abcdef"))
    found = ranking(six)
    assert not found.testable
    assert math.isnan(found.p)
    assert alike(found) == []
    assert found.mean_ranks.tolist() == [1, 2, 3, 4, 5, 6]
    # Three places can tell the first from the last: 7.54 / sqrt(3) = 4.35 is below 5.
    assert ranking(pd.concat([six, six.iloc[:1]])).testable
    assert not ranking(pd.DataFrame([[1.0, 2.0]] * 50)).testable


def test_the_largest_complete_part_loses_unfinished_places_and_refusing_pruners():
    nan = math.nan
    values = pd.DataFrame(
        [[1, 2, nan], [1, 2, nan], [1, 2, nan], [1, nan, nan]],
        index=["p", "q", "r", "s"],
        columns=["a", "b", "c"],
    )
    assert largest_complete(values).to_dict() == {
        "a": {"p": 1, "q": 1, "r": 1},
        "b": {"p": 2, "q": 2, "r": 2},
    }
    whole = values.fillna(0.0)
    assert largest_complete(whole).equals(whole)
    assert largest_complete(pd.DataFrame(np.full((2, 2), nan))).empty


def test_seeds_are_averaged_and_full_training_is_ranked_at_every_ratio():
    runs = []
    for place in "abcdef":
        runs += [(place, "full", 0.0, seed, 1.0) for seed in range(2)]
        for ratio in (0.5, 0.9):
            runs += [(place, "x", ratio, 0, 0.5), (place, "x", ratio, 1, 2.5)]  # mean 1.5
            runs += [(place, "y", ratio, 0, 2.0)]
    runs += [("unfinished", "x", 0.5, 0, 1.0), ("a", "z", 0.5, 0, 0.1)]
    found = rankings(summary_of(runs))
    assert set(found) == {("epochs", 0.5), ("epochs", 0.9)}
    half = found["epochs", 0.5]
    assert half.mean_ranks.to_dict() == {"full": 1.0, "x": 2.0, "y": 3.0}
    assert (half.blocks, half.left_out) == (6, ("z",))
    assert half.places_left_out == ("unfinished with stid",)
    assert found["epochs", 0.9].left_out == ()
    assert half.p == pytest.approx(stats.chi2.sf(12, 2))


# The area under a trade-off and the Pareto front


Points = list[tuple[float, float]]
POINTS = st.lists(st.tuples(st.floats(0, 150), st.floats(-5, 20)), min_size=1, max_size=6)


def _area(points: Points) -> float:
    percent, change = np.array(points, dtype=float).T
    return float(area(percent[None], change[None])[0])


def _front(points: Points) -> list[bool]:
    percent, change = np.array(points, dtype=float).T
    found: list[bool] = on_front(percent[None], change[None])[0].tolist()
    return found


def test_area_worked_by_hand():
    # No run within 20 % of the time: 10. From 20 to 50 %: 6. From then on 2.
    assert _area([(50, 2), (20, 6)]) == pytest.approx((20 * 10 + 30 * 6 + 50 * 2) / 100)
    # Slower and worse than another adds nothing; slower than full training is no saving.
    assert _area([(50, 2), (20, 6), (60, 3)]) == pytest.approx(4.8)
    assert _area([(120, -3)]) == CAP
    assert _area([(100, 0)]) == CAP
    # Better than full training counts below 0, worse than the cap as the cap.
    assert _area([(0, -2)]) == -2.0
    assert _area([(10, 50)]) == CAP
    assert math.isnan(_area([(10, math.nan), (20, 1)]))


@given(POINTS)
def test_area_is_that_of_the_lowest_change_within_each_time(points):
    times = (np.arange(20_000) + 0.5) / 200
    heights = [
        min([CAP, *(change for percent, change in points if percent <= time)])
        for time in times[::40]
    ]
    # Within the grid's step at each of the stairs.
    assert _area(points) == pytest.approx(float(np.mean(heights)), abs=0.2 * 15 * len(points) / 100)


@given(POINTS)
def test_front_is_that_of_comparing_all_pairs(points):
    expected = [
        not any(other[0] <= one[0] and other[1] <= one[1] and other != one for other in points)
        for one in points
    ]
    assert _front(points) == expected
    assert any(expected)


def _runs(**changes: Any) -> pd.DataFrame:
    """Three seeds of full training at 2 and 100 s, and of x at 0.5 and 0.9."""
    runs = [("a", "full", 0.0, seed, 2.0) for seed in range(3)]
    runs += [("a", "x", 0.5, seed, mae) for seed, mae in enumerate((2.0, 2.1, 2.2))]  # + 5 %
    runs += [("a", "x", 0.9, seed, 2.4) for seed in range(3)]  # + 20 %
    frame = summary_of(runs)
    frame.loc[frame["prune_ratio"] == 0.5, "total_seconds"] = 60.0
    frame.loc[frame["prune_ratio"] == 0.9, "total_seconds"] = 20.0
    return frame.assign(**changes)


def test_means_and_rows_worked_by_hand():
    found = cloud(_runs().sample(frac=1, random_state=2))
    assert found.points == [("full", 0.0), ("x", 0.5), ("x", 0.9)]
    assert found.seeds.tolist() == [3, 3, 3]
    assert found.percent[0] == pytest.approx([100, 60, 20])
    assert found.change[0] == pytest.approx([0, 5, 20])
    # Whatever is drawn, what no seed varies in is the same.
    assert found.percent == pytest.approx(np.tile(found.percent[0], (len(found.percent), 1)))
    row = tradeoff_areas(_runs()).iloc[0]
    assert row["area"] == pytest.approx(0.6 * 10 + 0.4 * 5)
    # The mean over drawn seeds lies between 0 and 10 % and seldom at its ends (1 in 27 each).
    assert row["area_low"] == pytest.approx(6.0)
    assert row["area_high"] == pytest.approx(10.0)
    ratios, on, shares = zip(*row["front"], strict=True)
    assert (ratios, on) == ((0.5, 0.9), (True, True))
    assert shares == (1.0, 1.0)


def test_resampled_seeds_keep_their_runs_together():
    # Seeds differ tenfold, yet each run is 5 % above full training of its own seed.
    levels = np.array([1.0, 3.0, 10.0])
    runs = [("a", "full", 0.0, seed, level) for seed, level in enumerate(levels)]
    runs += [("a", "x", 0.5, seed, 1.05 * level) for seed, level in enumerate(levels)]
    found = cloud(summary_of(runs))
    assert len(found.change) > 1000
    assert found.change[:, 1] == pytest.approx(np.full(len(found.change), 5.0))


@pytest.mark.parametrize("lacking", ["seed == 2", "seed == 2 and prune_ratio == 0.5"])
def test_too_few_seeds_have_an_area_and_no_interval_or_share(lacking):
    runs = _runs()
    row = tradeoff_areas(runs.drop(runs.query(lacking).index)).iloc[0]
    assert (row["seeds"], row["area"]) == (2, pytest.approx(0.6 * 10 + 0.4 * 2.5))
    assert math.isnan(row["area_low"])
    assert all(math.isnan(share) for _, _, share in row["front"])


def test_equal_records_give_equal_intervals_and_no_others_runs_change_them():
    alone = tradeoff_areas(_runs())
    more = _runs()
    other = more[more["pruner"] == "x"].assign(pruner="y", test_mae=3.0)
    both = tradeoff_areas(pd.concat([other, more.iloc[::-1]]))
    columns = ["area", "area_low", "area_high"]
    assert both.query("pruner == 'x'")[columns].to_numpy() == pytest.approx(
        alone[columns].to_numpy()
    )
    assert both.query("pruner == 'y'")["area"].tolist() == [CAP]


@pytest.mark.parametrize("error", [0.0, math.nan])
def test_a_place_where_full_training_has_no_error_has_a_row_and_no_area(error):
    blank = _runs(dataset="b")
    blank["test_mae"] = blank["test_mae"].mask(blank["pruner"] == "full", error)
    areas = tradeoff_areas(pd.concat([_runs(), blank])).set_index("dataset")
    assert math.isnan(areas.loc["b", "area"])
    assert not any(on_front for _, on_front, _ in areas.loc["b", "front"])
    assert areas.loc["a"].equals(tradeoff_areas(_runs()).set_index("dataset").loc["a"])


def test_places_without_full_training_are_left_out_and_budgets_share_it():
    lone = _runs(dataset="b").query("pruner != 'full'")
    assert tradeoff_areas(pd.concat([_runs(), lone]))["dataset"].tolist() == ["a"]
    other = _runs(budget="steps").query("pruner != 'full'")
    assert tradeoff_areas(pd.concat([_runs(), other]))["budget"].tolist() == ["epochs", "steps"]
    assert tradeoff_areas(lone).empty


# Time to full training's accuracy


def _sample(times: list[float], observed: list[int] | None = None) -> Sample:
    seen = np.ones(len(times)) if observed is None else np.array(observed)
    return Sample(np.array(times, dtype=float), seen.astype(bool))


# Freireich et al. (1963): weeks to relapse with 6-mercaptopurine and with placebo.
TREATED = _sample(
    [6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35],
    [1] * 9 + [0] * 12,
)
PLACEBO = _sample([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23])


def _chance(rng: np.random.Generator, count: int, pace: float = 1.0) -> Sample:
    times = rng.exponential(1 / pace, size=count)
    return Sample(np.minimum(times, 2.0), times < 2.0)


def test_restricted_mean_worked_by_hand():
    # 1 until 2, then 3/4; the run lost at 3 leaves two, of which one goes at 5: 3/8 until 10.
    sample = _sample([2, 3, 5, 8], [1, 0, 1, 0])
    found = [restricted_mean(sample, horizon) for horizon in (10, 4, 1)]
    assert found == pytest.approx([2 + 3 * 0.75 + 5 * 0.375, 2 + 2 * 0.75, 1])


def test_the_leukaemia_trial():
    # lifelines 0.30.3, restricted_mean_survival_time at 35 and at 20 weeks.
    assert restricted_mean(TREATED, 35) == pytest.approx(23.287394957983185)
    assert restricted_mean(TREATED, 20) == pytest.approx(16.116526610644254)
    # Kleinbaum and Klein (2012), Section 2.IV: 9 relapses were seen where 19.25 were expected, and
    # a statistic of 16.79, the square of 4.098.
    found = log_rank([(TREATED, PLACEBO)])
    assert found.excess == pytest.approx(9 - 19.25, abs=0.005)
    # One side of 4.1 standard deviations, doubled, among 10,000 drawn divisions.
    assert 2 / 10_000 <= found.p < 0.002
    assert log_rank([(PLACEBO, TREATED)]).excess == pytest.approx(21 - 10.75, abs=0.005)


def test_groups_that_do_not_overlap_have_the_least_p_there_is():
    early, late = _sample([1, 2, 3, 4]), _sample([5, 6, 7, 8], [0, 0, 0, 0])
    assert log_rank([(early, late)]).p == pytest.approx(2 / 70)
    assert least_log_rank_p([(early, late)]) == pytest.approx(2 / 70)
    # Three against three never come below 0.1.
    assert least_log_rank_p([(_sample([1, 2, 3]), _sample([4, 5, 6]))]) == pytest.approx(0.1)
    # In two places they can: 2 / 20^2, each compared within itself only.
    pair = (_sample([1, 2, 3]), _sample([4, 5, 6]))
    assert least_log_rank_p([pair, pair]) == pytest.approx(0.005)
    assert log_rank([pair, pair]).p < 0.02


@pytest.mark.parametrize("places", [1, 3])
def test_without_any_difference_it_is_wrong_at_the_stated_rate(places):
    rng = np.random.default_rng(31 + places)
    strata = [[(_chance(rng, 5), _chance(rng, 5)) for _ in range(places)] for _ in range(400)]
    wrong = sum(log_rank(some).p < 0.05 for some in strata)
    # More are found by chance once in a thousand times.
    assert 0 < wrong < 0.05 * 400 + 3.1 * math.sqrt(400 * 0.05 * 0.95)


WORKED = curves_of(
    ("a", "full", 0, [5.0, 3.0, 4.0], 10.0),
    ("a", "full", 1, [5.0, 4.0, 2.0, 2.5], 10.0),  # the goal is 1.01 (3 + 2) / 2, horizon 40 s
    ("a", "x", 0, [math.nan, 2.52, 9.0], 4.0),  # there after 8 s
    ("a", "x", 1, [3.0, 2.6], 4.0),  # never, and over after 8 s
    ("a", "x", 2, [3.0, 3.0, 1.0], 20.0),  # there after 60 s: not within 40
    ("b", "x", 0, [0.0], 1.0),  # full was not run
)


def test_goal_horizon_and_times_worked_by_hand():
    times = times_to_goal(WORKED.sample(frac=1, random_state=5)).set_index(["pruner", "seed"])
    assert times["goal"].unique() == pytest.approx([2.525])
    assert set(times["horizon_seconds"]) == {40.0}
    found = times[["seconds", "reached"]].sort_index().to_dict("index")
    assert found == {
        ("full", 0): {"seconds": 40.0, "reached": False},
        ("full", 1): {"seconds": 30.0, "reached": True},
        ("x", 0): {"seconds": 8.0, "reached": True},
        # Its own end, after 8 s, is not what it is given credit for.
        ("x", 1): {"seconds": 40.0, "reached": False},
        ("x", 2): {"seconds": 40.0, "reached": False},
    }


def test_rows_worked_by_hand():
    table = compare_reaching(WORKED)
    rows = table.set_index(["dataset", "pruner"])
    assert list(rows.index) == [("all", "full"), ("all", "x"), ("a", "full"), ("a", "x")]
    x = rows.loc[("a", "x")]
    assert (x["seeds"], x["reached"]) == (3, 1)
    assert x["mean_seconds"] == pytest.approx((8 + 40 + 40) / 3)
    assert x["mean_percent"] == pytest.approx(100 * (88 / 3) / 35)
    assert rows.loc[("a", "full"), "mean_seconds"] == pytest.approx(35.0)
    assert rows["verdict"].tolist() == [None, "too few", None, "too few"]
    assert rows[["p", "holm_p"]].isna().all(axis=None)


def _noisy(rng, paces, datasets, seeds):
    """Curves that fall to 1 in noise; a pace above 1 falls in that many times fewer epochs."""
    steps = np.arange(1, 41)
    runs: list[SeededRun] = []
    for place in range(datasets):
        for pruner, pace in paces.items():
            for seed in range(seeds):
                curve = 1 + 3 * np.exp(-0.1 * pace * steps) + 0.02 * rng.random(40)
                runs.append((f"d{place}", pruner, seed, curve.tolist(), 1 + rng.random()))
    return curves_of(*runs)


def test_known_paces_get_the_right_verdicts():
    paces = {"full": 1.0, "quick": 4.0, "slow": 0.4, "equal": 1.0}
    table = compare_reaching(_noisy(np.random.default_rng(1), paces, 3, 5))
    overall = table[table["dataset"] == "all"].set_index("pruner")["verdict"].to_dict()
    assert overall == {"full": None, "quick": "faster", "slow": "slower", "equal": "tie"}
    quick = table[table["pruner"] == "quick"]
    assert quick["reached"].tolist() == [15, 5, 5, 5]
    assert (quick["mean_percent"] < 80).all()
    assert (quick["excess"] > 0).all()


def test_too_few_is_what_no_outcome_could_bring_below_the_level_after_correction():
    rng = np.random.default_rng(2)
    # Five against five: 2 / 252 for each of six is just below 0.05, of seven above.
    six = {"full": 1.0, **{f"p{n}": 4.0 for n in range(6)}}
    seven = six | {"p6": 4.0}
    places = [compare_reaching(_noisy(rng, paces, 1, 5)) for paces in (six, seven)]
    verdicts = [set(table["verdict"].dropna()) for table in places]
    assert "too few" not in verdicts[0]
    assert verdicts[1] == {"too few"}
