"""Censored times: the leukaemia trial's numbers, exact permutations, and the stated rate."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from made_up_summary import most_false_alarms
from scipy import stats

from stprune.statistics.survival import (
    Sample,
    least_log_rank_p,
    log_rank,
    log_rank_scores,
    restricted_mean,
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


def _joined(ours: Sample, theirs: Sample) -> Sample:
    return Sample(*(np.concatenate(pair) for pair in zip(ours, theirs, strict=True)))


def _chance(rng: np.random.Generator, count: int, pace: float = 1.0) -> Sample:
    times = rng.exponential(1 / pace, size=count)
    return Sample(np.minimum(times, 2.0), times < 2.0)


def test_restricted_mean_worked_by_hand() -> None:
    # 1 until 2, then 3/4; the run lost at 3 leaves two, of which one goes at 5: 3/8 until 10.
    sample = _sample([2, 3, 5, 8], [1, 0, 1, 0])
    assert restricted_mean(sample, 10) == pytest.approx(2 + 3 * 0.75 + 5 * 0.375)
    assert restricted_mean(sample, 4) == pytest.approx(2 + 2 * 0.75)
    assert restricted_mean(sample, 1) == 1.0


def test_restricted_mean_without_censoring_is_the_mean_of_the_cut_times() -> None:
    assert restricted_mean(_sample([1, 2, 9]), 5) == pytest.approx((1 + 2 + 5) / 3)
    assert restricted_mean(_sample([5, 5], [0, 0]), 5) == 5.0


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


@pytest.mark.parametrize("seed", range(4))
def test_scores_add_up_to_observed_minus_expected(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = _chance(rng, 7), _chance(rng, 5, 2.0)
    scores = log_rank_scores(_joined(ours, theirs))
    assert scores.sum() == pytest.approx(0.0, abs=1e-9)
    assert scores[:7].sum() == pytest.approx(_observed_minus_expected(ours, theirs))


def _observed_minus_expected(ours: Sample, theirs: Sample) -> float:
    """Mantel's numerator, moment by moment."""
    both = _joined(ours, theirs)
    total = 0.0
    for moment in sorted(set(both.times[both.observed])):
        events = (both.observed & (both.times == moment)).sum()
        share = (ours.times >= moment).sum() / (both.times >= moment).sum()
        total += (ours.observed & (ours.times == moment)).sum() - events * share
    return float(total)


@pytest.mark.parametrize("seed", range(3))
def test_p_is_that_of_counting_every_division(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = _chance(rng, 4), _chance(rng, 5, 3.0)
    both = _joined(ours, theirs)
    sums = []
    for members in itertools.combinations(range(9), 4):
        first = np.isin(np.arange(9), members)
        parts = [Sample(both.times[part], both.observed[part]) for part in (first, ~first)]
        sums.append(_observed_minus_expected(*parts))
    seen = _observed_minus_expected(ours, theirs)
    tails = [np.mean([s <= seen + 1e-9 for s in sums]), np.mean([s >= seen - 1e-9 for s in sums])]
    assert log_rank([(ours, theirs)]).p == pytest.approx(min(1.0, 2 * min(tails)))


@pytest.mark.parametrize("seed", range(3))
def test_many_runs_have_the_p_of_the_normal_approximation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = _chance(rng, 60), _chance(rng, 80, 1.3)
    censored = [
        stats.CensoredData(uncensored=s.times[s.observed], right=s.times[~s.observed])
        for s in (ours, theirs)
    ]
    assert log_rank([(ours, theirs)]).p == pytest.approx(stats.logrank(*censored).pvalue, abs=0.05)


def test_groups_that_do_not_overlap_have_the_least_p_there_is() -> None:
    early, late = _sample([1, 2, 3, 4]), _sample([5, 6, 7, 8], [0, 0, 0, 0])
    assert log_rank([(early, late)]).p == pytest.approx(2 / 70)
    assert least_log_rank_p([(early, late)]) == pytest.approx(2 / 70)
    # Three against three never come below 0.1.
    assert least_log_rank_p([(_sample([1, 2, 3]), _sample([4, 5, 6]))]) == pytest.approx(0.1)
    # In two places they can: 2 / 20^2.
    pair = (_sample([1, 2, 3]), _sample([4, 5, 6]))
    assert least_log_rank_p([pair, pair]) == pytest.approx(0.005)
    assert log_rank([pair, pair]).p < 0.02


def test_places_are_never_compared_with_each_other() -> None:
    # One place is ten times slower than the other; within each the two groups are alike.
    quick = (_sample([1, 3, 5, 7]), _sample([2, 4, 6, 8]))
    slow = tuple(Sample(10 * part.times, part.observed) for part in reversed(quick))
    assert log_rank([quick, (slow[0], slow[1])]).p > 0.7
    assert log_rank([(quick[0], slow[0])]).p == pytest.approx(2 / 70)


def test_no_event_at_all_is_no_difference() -> None:
    never = _sample([5] * 4, [0] * 4)
    assert log_rank([(never, never)]) == (1.0, 0.0)


@pytest.mark.parametrize("places", [1, 3])
def test_without_any_difference_it_is_wrong_at_the_stated_rate(places: int) -> None:
    rng = np.random.default_rng(31 + places)
    strata = [[(_chance(rng, 5), _chance(rng, 5)) for _ in range(places)] for _ in range(400)]
    wrong = sum(log_rank(some).p < 0.05 for some in strata)
    assert 0 < wrong < most_false_alarms(400)
