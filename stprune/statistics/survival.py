"""Times until something happens, where for some runs it never does: censored observations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values = NDArray[np.float64]

# So many divisions into two groups are counted one by one; of more, as many are drawn.
DIVISIONS = 9999
DIVISION_SEED = 95


class Sample(NamedTuple):
    """Runs that are waited for.

    Args:
        times: (n,) seconds to the event, or to where the run was lost sight of.
        observed: (n,) whether the event was seen.
    """

    times: Values
    observed: NDArray[np.bool_]


class LogRank(NamedTuple):
    """A log-rank test.

    Args:
        p: Two-sided.
        excess: Events of the first group beyond those expected were there no difference; above 0
            it is the faster one.
    """

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
    """What each run adds to the log-rank statistic of its group.

    Returns:
        (n,) the event (0 or 1) minus Nelson's and Aalen's cumulative hazard, of all runs, at its
        time. The sum over a group is the numerator of Mantel's (1966) test; over all runs it is 0.
    """
    moments, order = np.unique(sample.times, return_inverse=True)
    events = np.bincount(order, weights=sample.observed.astype(np.float64))
    at_risk = (sample.times[None, :] >= moments[:, None]).sum(axis=1)
    scores: Values = sample.observed - np.cumsum(events / at_risk)[order]
    # The same sum in another order differs in the last bits, and would count as another.
    return scores.round(12)


def log_rank(strata: Sequence[tuple[Sample, Sample]]) -> LogRank:
    """The log-rank test by permutation of its scores (Peto and Peto, 1972).

    The usual normal approximation is not to be trusted with a handful of runs. Of one stratum all
    divisions of its runs into two groups are counted, as long as they are not too many; otherwise
    divisions are drawn with a fixed seed.

    Args:
        strata: Two samples each; runs are compared within their stratum only.
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


def least_log_rank_p(strata: Sequence[tuple[Sample, Sample]]) -> float:
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
