"""Time until a run is about as accurate as full training; one that never is, is censored."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from stprune.records.store import KEYS, PLACE, REFERENCE
from stprune.statistics.paired import EVERY_PLACE, LEVEL, MARGIN, TOO_FEW, Values, holm_within

CHOICE = ["prune_ratio", "pruner"]
# Up to this many divisions into two groups are enumerated; of more, this many are drawn.
DIVISIONS = 9999
DIVISION_SEED = 95


class Sample(NamedTuple):
    """Seconds (n,) to an event, or to the censoring of a run where it was not ``observed`` (n,)."""

    times: Values
    observed: NDArray[np.bool_]


class LogRank(NamedTuple):
    """Two-sided p, and the events of the first group minus those expected without a difference."""

    p: float
    excess: float


def restricted_mean(sample: Sample, horizon: float) -> float:
    """Mean time up to ``horizon`` seconds: the area under Kaplan and Meier's (1958) curve.

    The curve stays as it is after the last time.
    """
    seen = sample.observed
    censored = stats.CensoredData(uncensored=sample.times[seen], right=sample.times[~seen])
    curve = stats.ecdf(censored).sf
    inside = curve.quantiles < horizon
    edges = np.concatenate([[0.0], curve.quantiles[inside], [horizon]])
    heights = np.concatenate([[1.0], curve.probabilities[inside]])
    return float((np.diff(edges) * heights).sum())


def log_rank_scores(sample: Sample) -> Values:
    """Each run's contribution (n,) to the log-rank statistic of its group.

    The event (0 or 1) minus Nelson's and Aalen's cumulative hazard, of all runs, at its time. The
    sum over a group is the numerator of Mantel's (1966) test; over all runs it is 0.
    """
    moments, order = np.unique(sample.times, return_inverse=True)
    events = np.bincount(order, weights=sample.observed.astype(np.float64))
    at_risk = (sample.times[None, :] >= moments[:, None]).sum(axis=1)
    scores: Values = sample.observed - np.cumsum(events / at_risk)[order]
    # Sums of equal scores in another order would differ in their last bits.
    return scores.round(12)


def log_rank(strata: Sequence[tuple[Sample, ...]]) -> LogRank:
    """The log-rank test by permutation of its scores (Peto and Peto, 1972).

    The usual normal approximation is not to be trusted with a handful of runs. Of one stratum all
    divisions of its runs into two groups are counted, as long as they are not too many; otherwise
    divisions are drawn with a fixed seed. Runs are compared within their stratum only.
    """
    seen, chance = 0.0, np.zeros(1)
    rng = np.random.Generator(np.random.PCG64(DIVISION_SEED))
    for ours, theirs in strata:
        joined = Sample(*(np.concatenate(pair) for pair in zip(ours, theirs, strict=True)))
        scores = log_rank_scores(joined)
        sums = scores[_divisions(len(ours.times), len(theirs.times))].sum(axis=1)
        seen += scores[: len(ours.times)].sum()
        if len(strata) > 1:
            sums = np.append(sums[0], rng.choice(sums, DIVISIONS))
        chance = chance + sums
    low, high = (chance <= seen + 1e-9).mean(), (chance >= seen - 1e-9).mean()
    return LogRank(min(1.0, 2 * float(min(low, high))), float(seen))


def least_log_rank_p(strata: Sequence[tuple[Sample, ...]]) -> float:
    """The smallest p that groups of these sizes can have, when they do not overlap at all."""
    sizes = [(len(ours.times), len(theirs.times)) for ours, theirs in strata]
    return min(1.0, 2 / math.prod(math.comb(sum(pair), pair[0]) for pair in sizes))


@lru_cache
def _divisions(count: int, others: int) -> NDArray[np.int64]:
    """(D, count) members of the first group; the division as it was is the first row."""
    every = count + others
    if math.comb(every, count) <= DIVISIONS:
        return np.array(list(combinations(range(every), count)), dtype=np.int64)
    rng = np.random.Generator(np.random.PCG64(DIVISION_SEED))
    drawn = rng.permuted(np.tile(np.arange(every), (DIVISIONS, 1)), axis=1)[:, :count]
    return np.concatenate([np.arange(count)[None], drawn]).astype(np.int64)


def times_to_goal(epochs: pd.DataFrame) -> pd.DataFrame:
    """When each run's validation MAE first came down to about full training's.

    The goal of a place (data set and backbone) lies ``MARGIN`` percent above the mean over the
    seeds of `full` of their lowest validation MAE; its horizon is the longest time of a run of
    `full`. A run that has not reached the goal by then is censored at the horizon, also if it ended
    earlier: its training was over, and censoring it at its own end would count an early end in its
    favour.

    ``epochs`` has a row an epoch of every run; the table one a run of the places where `full` was
    run and times are known: ``KEYS``, ``goal``, ``horizon_seconds``, ``seconds`` and ``reached``.
    """
    epochs = epochs.dropna(subset="elapsed_seconds")
    full = epochs[epochs["pruner"] == REFERENCE].groupby([*PLACE, "seed"])
    goals = (1 + MARGIN / 100) * full["validation_mae"].min().groupby(PLACE).mean().rename("goal")
    horizons = full["elapsed_seconds"].max().groupby(PLACE).max().rename("horizon_seconds")
    known = epochs.merge(pd.concat([goals, horizons], axis="columns").reset_index(), on=PLACE)
    at_goal = (known["validation_mae"] <= known["goal"]) & (
        known["elapsed_seconds"] <= known["horizon_seconds"]
    )
    first = known[at_goal].groupby(KEYS)["elapsed_seconds"].min().rename("seconds")
    runs = known[[*KEYS, "goal", "horizon_seconds"]].drop_duplicates(KEYS)
    table = runs.merge(first.reset_index(), how="left", on=KEYS)
    table["reached"] = table["seconds"].notna()
    return table.assign(seconds=table["seconds"].fillna(table["horizon_seconds"]))


# `least_p` is the smallest p that so many runs can have.
NUMBERS = ["seeds", "reached", "mean_seconds", "mean_percent", "excess", "p", "least_p"]


def compare_reaching(epochs: pd.DataFrame) -> pd.DataFrame:
    """Compare every pruner's times to the goal, as of `times_to_goal`, with full training's.

    Returns:
        One row per data set, backbone, prune ratio and pruner, full training among them:
        ``seeds``; ``reached``, how many of them; ``mean_seconds``, restricted to the horizon;
        ``mean_percent``, of full's; ``excess`` and ``p``, see `LogRank`, against full; ``holm_p``
        (over the pruners of the same place and prune ratio) and ``verdict``: ``faster``,
        ``slower``, ``tie``, or ``too few`` where no outcome could have come below 0.05; both p
        are NaN there. Before them rows of data set and backbone ``all``, stratified by place,
        without ``mean_seconds``.
    """
    times = times_to_goal(epochs)
    places = times[times["pruner"] == REFERENCE].groupby(PLACE)
    full = {place: _sample_and_mean(part) for place, part in places}
    overall = times.groupby(CHOICE)
    rows = [(EVERY_PLACE, EVERY_PLACE, *key, *_compared(part, full)) for key, part in overall]
    groups = times.groupby([*PLACE, *CHOICE])
    rows += [(*key, *_compared(part, full)) for key, part in groups]
    table = pd.DataFrame(rows, columns=[*PLACE, *CHOICE, *NUMBERS])
    table = table.astype(dict.fromkeys(("prune_ratio", *NUMBERS), "float64"))
    family = [*PLACE, "prune_ratio"]
    corrected = holm_within(table, family, "p")
    # Where even the smallest p that there could be is too large, the test says nothing.
    can_tell = holm_within(table, family, "least_p") < LEVEL
    table["p"], p = table["p"].where(can_tell), corrected.where(can_tell)
    cases = [p.isna(), (p < LEVEL) & (table["excess"] > 0), p < LEVEL]
    words = pd.Series(np.select(cases, [TOO_FEW, "faster", "slower"], "tie"), dtype="object")
    verdict = words.mask(table["pruner"] == REFERENCE, None)
    return table.drop(columns="least_p").assign(holm_p=p, verdict=verdict)


def _sample_and_mean(runs: pd.DataFrame) -> tuple[Sample, float]:
    """The runs of one pruner and ratio in one place, and their restricted mean."""
    sample = Sample(runs["seconds"].to_numpy(np.float64), runs["reached"].to_numpy(np.bool_))
    return sample, restricted_mean(sample, float(runs["horizon_seconds"].iloc[0]))


def _compared(runs: pd.DataFrame, full: Mapping[Any, tuple[Sample, float]]) -> tuple[float, ...]:
    """``NUMBERS`` of one pruner and ratio in some places against full training there."""
    strata, means = [], []
    for place, part in runs.groupby(PLACE):
        pair = _sample_and_mean(part), full[place]
        strata.append(tuple(sample for sample, _ in pair))
        means.append([mean for _, mean in pair])
    test, least = LogRank(math.nan, math.nan), math.nan
    if runs["pruner"].iloc[0] != REFERENCE:
        test, least = log_rank(strata), least_log_rank_p(strata)
    seconds = means[0][0] if len(means) == 1 else math.nan
    percent = float(np.mean([100 * ours / theirs for ours, theirs in means]))
    return (len(runs), runs["reached"].sum(), seconds, percent, test.excess, test.p, least)
