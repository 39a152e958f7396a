"""Selection of windows at an exact budget, with weights of Horvitz and Thompson (1952).

Pure functions of arrays: ST-Prune's hard and easy sets with stratified sampling, and sampling
in proportion to the score or a power of it.
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stprune.pruning.base import Selection

Shares = Literal["proportional", "neyman"]
Rescaling = Literal["stationarity", "uniform", "none"]
Relative = Literal["none", "difference", "ratio"]


def quantile_strata(stationarity: NDArray[np.float32], strata: int) -> NDArray[np.int64]:
    """Stratum of each window, (n,) in [0, B), by quantiles; ties together, so some may be empty."""
    edges = np.quantile(stationarity, np.arange(1, strata) / strata)
    return np.searchsorted(edges, stationarity, side="right")


def allocate(
    sizes: NDArray[np.int64], places: int, demand: NDArray[np.float64] | None = None
) -> NDArray[np.int64]:
    """Share ``places`` among strata of ``sizes`` (B,) in proportion to ``demand``, or else to size.

    Largest remainder (ties to the earlier stratum), never more than a stratum holds, then at least
    one for each non-empty stratum while places last, taken from the richest.
    """
    shares = np.zeros_like(sizes)
    if places == 0:
        return shares
    if demand is None or not (demand * sizes).sum() > 0:
        shares = _largest_remainder(sizes, places)
    else:
        shares = _capped(sizes, places, demand)
    for stratum in np.flatnonzero((shares == 0) & (sizes > 0)):
        richest = int(np.argmax(shares))
        if shares[richest] <= 1:
            break
        shares[richest] -= 1
        shares[stratum] = 1
    return shares


def _largest_remainder(sizes: NDArray[np.int64], places: int) -> NDArray[np.int64]:
    """Share out in proportion to whole sizes, in whole numbers, so equal remainders are equal."""
    shares: NDArray[np.int64] = places * sizes // sizes.sum()
    by_remainder = np.argsort(-(places * sizes % sizes.sum()), kind="stable")
    shares[by_remainder[: places - shares.sum()]] += 1
    return shares


def _capped(
    sizes: NDArray[np.int64], places: int, demand: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Share out in proportion to ``demand``; what a full stratum cannot take goes to the others."""
    shares, left = np.zeros_like(sizes), places
    is_open = (sizes > 0) & (demand > 0)
    while is_open.any():
        quota = np.where(is_open, left * demand / demand[is_open].sum(), 0.0)
        # The small amount guards against rounding, not against real fractions.
        full = is_open & (quota + 1e-9 >= sizes)
        if not full.any():
            whole = np.floor(quota + 1e-9).astype(np.int64)
            by_remainder = np.argsort(np.where(is_open, whole - quota, np.inf), kind="stable")
            whole[by_remainder[: left - whole.sum()]] += 1
            return shares + whole
        shares[full] = sizes[full]
        left -= int(sizes[full].sum())
        is_open &= ~full
    # All strata with demand are full; share the remaining places by size.
    rest = sizes - shares
    return shares + _largest_remainder(rest, left) if left else shares


def hard_and_easy(
    scores: NDArray[np.float32],
    strata: NDArray[np.int64],
    size: int,
    *,
    hard_share: float,
    rng: np.random.Generator,
    shares: Shares = "proportional",
    rescaling: Rescaling = "stationarity",
) -> Selection:
    """Keep the hardest windows, and a balanced, reweighted sample of the rest.

    The hard set is the top ceil(alpha K) of (n,) scores (unseen and NaN count as hardest), with
    weight 1; alpha is ``hard_share``. The other places are shared among the strata (in proportion
    to their easy windows, or under `neyman` to these times the standard deviation of their scores)
    and filled uniformly. Under `stationarity` each kept easy window weighs n_b / k_b; `uniform`:
    all of them the same; `none`: 1. With n_b / k_b the expected weighted sum of gradients is that
    of all windows, if each stratum with easy windows has a place: K - ceil(alpha K) is at least
    their number. A stratum without a place is left out of the sum.

    Returns exactly K = ``size`` distinct windows in ascending order, weights not of mean 1.
    """
    # 0.55 * 100 is a little above 55 in floating point.
    hard_size = math.ceil(hard_share * size - 1e-9)
    ranking = np.where(np.isnan(scores), np.inf, scores)
    is_kept = np.zeros(len(scores), dtype=bool)
    is_kept[largest(ranking, hard_size, rng)] = True
    easy = np.flatnonzero(~is_kept)
    bins = int(strata.max()) + 1
    # Small whole numbers are sorted by counting, ten times faster than by comparing.
    groups = strata[easy].astype(np.min_scalar_type(bins))
    easy, sizes = easy[np.argsort(groups, kind="stable")], np.bincount(groups, minlength=bins)
    demand = sizes * _spread(ranking[easy], strata[easy], sizes) if shares == "neyman" else None
    kept = allocate(sizes, size - hard_size, demand)
    # Of each stratum, uniformly without replacement.
    groups_of_easy = zip(np.cumsum(sizes) - sizes, sizes, kept, strict=True)
    parts = [
        easy[start + rng.choice(count, places, replace=False, shuffle=False)]
        for start, count, places in groups_of_easy
        if places
    ]
    chosen = np.concatenate([easy[:0], *parts])
    weights = np.ones(len(scores), dtype=np.float32)
    if rescaling == "stationarity":
        weights[chosen] = (sizes / np.maximum(kept, 1))[strata[chosen]]
    elif rescaling == "uniform" and len(chosen):
        weights[chosen] = len(easy) / len(chosen)
    is_kept[chosen] = True
    indices = np.flatnonzero(is_kept)
    return Selection(indices, weights[indices])


def importance(
    scores: NDArray[np.float32], size: int, *, score_share: float, rng: np.random.Generator
) -> Selection:
    """Sample K windows in proportion to the (n,) scores, mixed with a uniform floor.

    Inclusion probabilities are K ((1 - beta) / n + beta c_i / sum c), at most 1, with beta the
    ``score_share`` in [0, 1); unseen and NaN count as the largest finite score. Systematic
    sampling over a random order keeps exactly K; a kept window weighs 1 / pi.
    """
    known = _non_negative(scores)
    total = known.sum()
    floor = np.full(len(scores), 1.0 / len(scores))
    draw = floor if total == 0 else (1.0 - score_share) * floor + score_share * known / total
    probability = inclusion_probabilities(draw, size)
    order = rng.permutation(len(scores))
    # Systematic sampling: a point every whole unit of the running sum, from a random start.
    running = np.cumsum(probability[order])
    # The sum is K but for rounding, which must not win or lose a window.
    running *= size / running[-1]
    points = np.arange(size) + rng.random()
    last = len(scores) - 1
    picked = order[np.searchsorted(running, points, side="right").clip(max=last)]
    indices = np.unique(picked)
    if len(indices) < size:
        # Rounding put two points into an interval of length 1: its neighbour is as certain.
        left = np.setdiff1d(np.argsort(-probability, kind="stable"), indices, assume_unique=True)
        indices = np.sort(np.concatenate([indices, left[: size - len(indices)]]))
    return Selection(indices, (1.0 / probability[indices]).astype(np.float32))


def tempered(
    scores: NDArray[np.float32], size: int, *, temper: float, rng: np.random.Generator
) -> Selection:
    """Draw windows one after another, without replacement, in proportion to score^gamma.

    That is to keep the K smallest keys e_i / c_i^gamma, e_i exponential with mean 1 (Efraimidis and
    Spirakis 2006); gamma is ``temper``. A kept window weighs 1 / pi_i, where pi_i = 1 - exp(-t
    c_i^gamma) and t is the (K + 1)-th smallest key: its probability given the keys of all others
    (Cohen and Kaplan 2007), so the expected weighted sum of gradients is that of all windows.
    Unseen and NaN count as the largest finite score, the smallest as a thousandth of the mean.
    """
    known = _non_negative(scores)
    mean = known.mean()
    # Logarithms, so that no power overflows; scores that are all 0 are all alike.
    rate = temper * np.log((known / mean).clip(min=1e-3)) if mean > 0 else np.zeros(len(known))
    keys = np.log(rng.standard_exponential(len(known))) - rate
    if size == len(known):
        return Selection(np.arange(size), np.ones(size, dtype=np.float32))
    order = np.argpartition(keys, size)
    indices = np.sort(order[:size])
    probability = -np.expm1(-np.exp(keys[order[size]] + rate[indices]))
    return Selection(indices, (1.0 / probability).astype(np.float32))


def partial_weights(
    weights: NDArray[np.float32], power: float, limit: float | None = None
) -> NDArray[np.float32]:
    """(K,) weights w^tau, at most ``limit``.

    With w = 1 / pi the expected share of a window in the sum of gradients is pi^(1 - tau): 1 at tau
    = 1, which is unbiased. With w = n_b / k_b easy windows lose (k_b / n_b)^(1 - tau), others none.
    """
    powered = weights if power == 1.0 else weights**power
    return powered if limit is None else np.minimum(powered, np.float32(limit))


def relative_to_usual(
    scores: NDArray[np.float32], periods: NDArray[np.int64], measure: Relative
) -> NDArray[np.float32]:
    """(n,) scores less, or over, the mean score of their period, numbered from 0.

    Scores that are not finite stay as they are and enter no mean; a ratio to a mean of 0 is 1.
    """
    if measure == "none":
        return scores
    finite = np.isfinite(scores)
    count = np.bincount(periods[finite], minlength=periods.max() + 1)
    total = np.bincount(periods[finite], scores[finite], minlength=len(count))
    usual = (total / np.maximum(count, 1))[periods]
    if measure == "difference":
        return (scores - usual).astype(np.float32)
    ratio = np.divide(scores, usual, out=np.ones(len(scores)), where=usual > 0)
    return np.where(finite, ratio, scores).astype(np.float32)


def calendar_periods(times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """(n,) hour of the day of each time, 0 to 23 on a working day, 24 to 47 at the weekend."""
    hours = times.astype("datetime64[h]").astype(np.int64)
    # 1 January 1970 was a Thursday.
    weekend = (hours // 24 + 3) % 7 >= 5
    return hours % 24 + 24 * weekend


def _non_negative(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n,) scores at least 0; unseen and NaN count as the largest finite score."""
    finite = np.isfinite(scores)
    top = float(scores[finite].max()) if finite.any() else 1.0
    return np.where(finite, scores, top).clip(min=0.0).astype(np.float64)


def inclusion_probabilities(draw: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Probabilities in proportion to ``draw`` (n,), positive, that sum to K, none above 1."""
    probability = np.zeros(len(draw))
    certain = np.zeros(len(draw), dtype=bool)
    while True:
        rest = size - int(certain.sum())
        probability[certain] = 1.0
        if rest == 0 or certain.all():
            return probability
        probability[~certain] = rest * draw[~certain] / draw[~certain].sum()
        exceeded = probability > 1.0 + 1e-12
        if not exceeded.any():
            return np.minimum(probability, 1.0)
        certain |= exceeded


def _spread(
    scores: NDArray[np.float32], strata: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(B,) standard deviation of the finite scores in each stratum."""
    finite = np.isfinite(scores)
    values, groups = scores[finite].astype(np.float64), strata[finite]
    bins = len(sizes)
    count = np.maximum(np.bincount(groups, minlength=bins), 1)
    mean = np.bincount(groups, values, minlength=bins) / count
    squares = np.bincount(groups, (values - mean[groups]) ** 2, minlength=bins)
    return np.sqrt(squares / count)


def largest(values: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Positions of the ``count`` largest of (n,) values; ties at the edge are broken at random."""
    if count == 0:
        return np.empty(0, dtype=np.int64)
    threshold = np.partition(values, len(values) - count)[len(values) - count]
    above = np.flatnonzero(values > threshold)
    tied = np.flatnonzero(values == threshold)
    if len(above) + len(tied) > count:
        tied = rng.permutation(tied)[: count - len(above)]
    return np.concatenate([above, tied])
