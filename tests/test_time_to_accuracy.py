"""Time to full training's accuracy: log-rank tests, goals worked by hand, verdicts."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from made_up_summary import SeededRun, curves_of

from stprune.statistics.time_to_accuracy import (
    Sample,
    compare_reaching,
    least_log_rank_p,
    log_rank,
    restricted_mean,
    times_to_goal,
)


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


def test_restricted_mean_worked_by_hand() -> None:
    # 1 until 2, then 3/4; the run lost at 3 leaves two, of which one goes at 5: 3/8 until 10.
    sample = _sample([2, 3, 5, 8], [1, 0, 1, 0])
    found = [restricted_mean(sample, horizon) for horizon in (10, 4, 1)]
    assert found == pytest.approx([2 + 3 * 0.75 + 5 * 0.375, 2 + 2 * 0.75, 1])


def test_the_leukaemia_trial() -> None:
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


def test_groups_that_do_not_overlap_have_the_least_p_there_is() -> None:
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
def test_without_any_difference_it_is_wrong_at_the_stated_rate(places: int) -> None:
    rng = np.random.default_rng(31 + places)
    strata = [[(_chance(rng, 5), _chance(rng, 5)) for _ in range(places)] for _ in range(400)]
    wrong = sum(log_rank(some).p < 0.05 for some in strata)
    # More are found by chance once in a thousand times.
    assert 0 < wrong < 0.05 * 400 + 3.1 * math.sqrt(400 * 0.05 * 0.95)


WORKED = curves_of(
    ("a", "full", 0, [5.0, 3.0, 4.0], 10.0),
    ("a", "full", 1, [5.0, 4.0, 2.0, 2.5], 10.0),  # the goal is (3 + 2) / 2, horizon 40 s
    ("a", "x", 0, [math.nan, 2.5, 9.0], 4.0),  # there after 8 s
    ("a", "x", 1, [3.0, 2.6], 4.0),  # never, and over after 8 s
    ("a", "x", 2, [3.0, 3.0, 1.0], 20.0),  # there after 60 s: not within 40
    ("b", "x", 0, [0.0], 1.0),  # full was not run
)


def test_goal_horizon_and_times_worked_by_hand() -> None:
    times = times_to_goal(WORKED.sample(frac=1, random_state=5)).set_index(["pruner", "seed"])
    assert set(times["goal"]) == {2.5}
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


def test_rows_worked_by_hand() -> None:
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


def _noisy(
    rng: np.random.Generator, paces: dict[str, float], datasets: int, seeds: int
) -> pd.DataFrame:
    """Curves that fall to 1 in noise; a pace above 1 falls in that many times fewer epochs."""
    steps = np.arange(1, 41)
    runs: list[SeededRun] = []
    for place in range(datasets):
        for pruner, pace in paces.items():
            for seed in range(seeds):
                curve = 1 + 3 * np.exp(-0.1 * pace * steps) + 0.02 * rng.random(40)
                runs.append((f"d{place}", pruner, seed, curve.tolist(), 1 + rng.random()))
    return curves_of(*runs)


def test_known_paces_get_the_right_verdicts() -> None:
    paces = {"full": 1.0, "quick": 4.0, "slow": 0.4, "equal": 1.0}
    table = compare_reaching(_noisy(np.random.default_rng(1), paces, 3, 5))
    overall = table[table["dataset"] == "all"].set_index("pruner")["verdict"].to_dict()
    assert overall == {"full": None, "quick": "faster", "slow": "slower", "equal": "tie"}
    quick = table[table["pruner"] == "quick"]
    assert quick["reached"].tolist() == [15, 5, 5, 5]
    assert (quick["mean_percent"] < 80).all()
    assert (quick["excess"] > 0).all()


def test_too_few_is_what_no_outcome_could_bring_below_the_level_after_correction() -> None:
    rng = np.random.default_rng(2)
    # Five against five: 2 / 252 for each of six is just below 0.05, of seven above.
    six = {"full": 1.0, **{f"p{n}": 4.0 for n in range(6)}}
    seven = six | {"p6": 4.0}
    places = [compare_reaching(_noisy(rng, paces, 1, 5)) for paces in (six, seven)]
    verdicts = [set(table["verdict"].dropna()) for table in places]
    assert "too few" not in verdicts[0]
    assert verdicts[1] == {"too few"}
