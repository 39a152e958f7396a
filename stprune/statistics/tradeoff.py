"""Error against time as numbers: the area under a pruner's trade-off, and the Pareto front.

The area is the mean height of the staircase "lowest change in error that this pruner reaches
within so much time", from no time to that of full training. Where none of its runs is that fast,
and where its error is worse than that, the height is a stated cap. So each pruner's number depends
on its own runs and full training's alone, whatever prune ratios it or others were run with: the
complement of the hypervolume indicator (Zitzler and Thiele, 1999, IEEE Transactions on
Evolutionary Computation 3) with the reference point (100 %, cap).
"""

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.records.store import REFERENCE
from stprune.statistics.paired import ENDS, LEAST_PAIRS, RESAMPLING_SEED, Values

# In percent of full training's error: what is this much worse is no bargain at any speed.
CAP = 10.0
RESAMPLES = 2000
PLACE = ["budget", "dataset", "backbone"]
POINT = ["pruner", "prune_ratio"]


class Cloud(NamedTuple):
    """The trade-off of one place: of its seeds, and of R resamples of them, 0 for too few seeds."""

    points: list[tuple[str, float]]  # Pruner and prune ratio of P points, full training first.
    seeds: NDArray[np.int64]  # (P,) how many there are of each.
    percent: Values  # (1 + R, P) time in percent of full training's, the seeds' own first.
    change: Values  # (1 + R, P) error, in percent above full training's.


def cloud(runs: pd.DataFrame) -> Cloud:
    """Mean test MAE and total time of one place, relative to full training, and of resampled seeds.

    Seeds are drawn with replacement and with all their runs, so that what the runs of a seed share
    stays shared; full training is drawn with them. The draws have a fixed seed of their own. Where
    full training has no error above 0, changes are NaN.
    """
    values = runs.set_index(["seed", *POINT])[["total_seconds", "test_mae"]].astype("float64")
    by_seed: Any = values.unstack(POINT).sort_index()
    keys = runs[POINT].drop_duplicates().itertuples(index=False, name=None)
    points = sorted(keys, key=lambda point: (point[0] != REFERENCE, point))
    seconds, errors = (
        by_seed[name][points].to_numpy(np.float64) for name in ("total_seconds", "test_mae")
    )
    weights = _seed_counts(len(seconds))
    percent, change = _relative(seconds, weights), _relative(errors, weights)
    return Cloud(points, (~np.isnan(errors)).sum(axis=0), 100 * percent, 100 * (change - 1))


def area(percent: Values, change: Values) -> Values:
    """Area under the trade-off of some points, in percent of error; lower is better.

    Of ``percent`` (R, m), time in percent of full training's, and ``change`` (R, m), error in
    percent above its own, it is (R,): ``CAP`` for points that are neither faster than full training
    nor better than the cap; 0 would be its error in no time; NaN where a point is NaN.
    """
    order = np.argsort(percent, axis=1)
    when = np.take_along_axis(percent, order, axis=1).clip(0, 100)
    best = np.minimum.accumulate(np.take_along_axis(change, order, axis=1).clip(max=CAP), axis=1)
    rows = len(percent)
    heights = np.concatenate([np.full((rows, 1), CAP), best], axis=1)
    edges = np.concatenate([np.zeros((rows, 1)), when, np.full((rows, 1), 100.0)], axis=1)
    found: Values = (np.diff(edges, axis=1) * heights).sum(axis=1) / 100
    return np.where(np.isnan(percent + change).any(axis=1), np.nan, found)


def on_front(percent: Values, change: Values) -> NDArray[np.bool_]:
    """Which of the points (R, P) no other beats: as fast and as good, and better in one of both."""
    one, other = np.index_exp[:, :, None], np.index_exp[:, None, :]
    no_worse = (percent[other] <= percent[one]) & (change[other] <= change[one])
    better = (percent[other] < percent[one]) | (change[other] < change[one])
    beaten = (no_worse & better).any(axis=2)
    # A point that is NaN is not on the front and beats none.
    front: NDArray[np.bool_] = ~(beaten | np.isnan(percent + change))
    return front


def tradeoff_areas(summary: pd.DataFrame) -> pd.DataFrame:
    """Area and front of every pruner in every place where full training was run and timed.

    Returns:
        One row per budget, data set, backbone and pruner: ``seeds`` (the fewest of its prune
        ratios), ``area`` in percent with ``area_low`` and ``area_high`` (95 %), and ``front``, a
        tuple of (prune ratio, whether on the front of all pruners' points, share of the resamples
        in which it is); the ends and shares are NaN for fewer than three seeds.
    """
    rows = []
    for key, runs in with_full(summary.dropna(subset="total_seconds")).groupby(PLACE):
        found = cloud(runs)
        front = on_front(found.percent, found.change)
        for pruner in sorted({name for name, _ in found.points} - {REFERENCE}):
            at = [n for n, (name, _) in enumerate(found.points) if name == pruner]
            seeds = int(found.seeds[at].min())
            enough = seeds >= LEAST_PAIRS
            areas = area(found.percent[:, at], found.change[:, at])
            ends = np.quantile(areas[1:], ENDS) if enough else (math.nan, math.nan)
            shares = front[1:, at].mean(axis=0) if enough else np.full(len(at), np.nan)
            ratios = [found.points[n][1] for n in at]
            listed = tuple(zip(ratios, front[0, at].tolist(), shares.tolist(), strict=True))
            rows.append((*key, pruner, seeds, areas[0], *ends, listed))
    names = [*PLACE, "pruner", "seeds", "area", "area_low", "area_high", "front"]
    return pd.DataFrame(rows, columns=names)


def with_full(summary: pd.DataFrame) -> pd.DataFrame:
    """The runs of all places where full training was run; where budgets differ, it is in each."""
    full = summary[summary["pruner"] == REFERENCE]
    pruned = summary[summary["pruner"] != REFERENCE]
    places = pruned[PLACE].drop_duplicates()
    again = full.drop(columns="budget").merge(places, on=["dataset", "backbone"])
    pruned = pruned.merge(full[["dataset", "backbone"]].drop_duplicates())
    return pd.concat([again[list(summary.columns)], pruned], ignore_index=True)


def _seed_counts(seeds: int) -> Values:
    """(1 + R, seeds) how often each seed counts: once each, then as the resamples have it."""
    once = np.ones((1, seeds))
    if seeds < LEAST_PAIRS:
        return once
    rng = np.random.Generator(np.random.PCG64(RESAMPLING_SEED))
    drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES)
    return np.concatenate([once, drawn.astype(np.float64)])


def _relative(values: Values, weights: Values) -> Values:
    """(1 + R, P) weighted means over the seeds, NaN without any, divided by full training's."""
    known = ~np.isnan(values)
    counts = weights @ known.astype(np.float64)
    sums = weights @ np.where(known, values, 0.0)
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    whole = np.where(means[:, :1] > 0, means[:, :1], np.nan)
    return np.asarray(means / whole)
