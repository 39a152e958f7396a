"""Paired comparisons: a pruner with a control, or with full training, over the runs of both.

Is it better or worse, and is it as good as full training within a stated margin?
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from stprune.records.store import REFERENCE

CONTROLS = ("random_dynamic", "full_fewer_epochs")
# What two runs must share to be a pair.
CELL = ["budget", "dataset", "backbone", "prune_ratio", "seed"]
# Full training has prune ratio 0, so it pairs with a pruned run by these alone.
SEEDED = ["dataset", "backbone", "seed"]
ROW = ["budget", "prune_ratio", "pruner"]
PLACE_ROW = ["budget", "dataset", "backbone", "prune_ratio", "pruner"]
WINS = ("wins", "ties", "losses")
TOO_FEW, IDENTICAL = "too few", "identical"
TESTS = ["p_equivalent", "p_not_worse", "p_worse"]
# In the place of a data set and of a backbone: a row over all of them.
EVERY_PLACE = "all"
# With two differences a t test has one degree of freedom: it rests on the assumption that they are
# normal and on nothing else.
LEAST_PAIRS = 3
# What counts as a tie, and as lossless: percent of the test MAE of full training.
MARGIN = 1.0
LEVEL = 0.05
RESAMPLES = 10_000
# Of a 95 % percentile interval.
ENDS = ((1 - 0.95) / 2, (1 + 0.95) / 2)
# The signed ranks of so many differences have 2 ** 13 outcomes; SciPy counts all of no more.
MOST_ENUMERATED = 13
RESAMPLING_SEED = 95
# Fewer means than this say nothing about data sets in general.
LEAST_DATASETS = 3

Values = NDArray[np.float64]


class Comparison(NamedTuple):
    """How a pruner differs from another; negative is better, differences are in percent.

    Of one cell, interval, p values and ``sd`` are NaN. Cells of one data set are not independent of
    each other, so ``datasets_p`` is the test that speaks for data sets that were not tried.
    """

    cells: int  # Pairs of runs.
    mean: float  # Over the cells.
    low: float  # Ends of its 95 % bootstrap interval over the cells.
    high: float
    t_p: float  # Two-sided p of the paired t test over the cells.
    wilcoxon_p: float  # Two-sided p of Wilcoxon's signed-rank test over the cells.
    datasets: int
    ahead: int  # Data sets whose mean difference is below 0.
    datasets_mean: float  # Mean over data sets of their mean differences.
    datasets_p: float  # Of the paired t test over the data sets' means; NaN for fewer than three.
    sd: float  # Over the cells (ddof = 1).


def differences_from(
    summary: pd.DataFrame, other: str, metrics: Sequence[str] = ("test_mae",)
) -> pd.DataFrame:
    """Pair the runs of every pruner with those of ``other``; of all ``metrics`` less is better.

    Full training is paired by data set, backbone and seed, anything else by ``CELL``.

    Returns:
        One row per metric and pair in which both have a value, that of ``other`` above 0, sorted
        by ``CELL`` within each metric: ``metric``, ``CELL``, ``pruner`` (not full training) and
        ``difference``, 100 (pruner / other - 1) in percent.
    """
    address = [*CELL, "pruner"]
    values = summary.sort_values(address).melt(address, list(metrics), "metric").dropna()
    on = ["metric", *(SEEDED if other == REFERENCE else CELL)]
    ours = values[~values["pruner"].isin((REFERENCE, other))]
    # Nothing is a percentage of 0.
    theirs = values.loc[(values["pruner"] == other) & (values["value"] > 0), [*on, "value"]]
    pairs = ours.merge(theirs, on=on, suffixes=("", "_other"))
    difference = 100 * (pairs["value"] / pairs["value_other"] - 1)
    return pairs[["metric", *address]].assign(difference=difference.astype("float64"))


def compare(differences: pd.DataFrame) -> Comparison:
    """Describe and test one pruner's rows of `differences_from`, at least one."""
    values = differences["difference"].to_numpy(dtype=np.float64)
    # A data set counts once, however many of its cells there are.
    means = differences.groupby("dataset")["difference"].mean().to_numpy(dtype=np.float64)
    numbers = tuple(values.tolist())
    low, high = bootstrap_interval(numbers)
    return Comparison(
        cells=len(values),
        mean=float(values.mean()),
        low=low,
        high=high,
        t_p=t_test(values),
        wilcoxon_p=signed_rank_test(numbers),
        datasets=len(means),
        ahead=int((means < 0).sum()),
        datasets_mean=float(means.mean()),
        datasets_p=t_test(means) if len(means) >= LEAST_DATASETS else math.nan,
        sd=float(values.std(ddof=1)) if len(values) > 1 else math.nan,
    )


def _of_each(
    parts: Iterable[pd.DataFrame],
    key: Sequence[str],
    test: Callable[[pd.DataFrame], Sequence[float]],
    names: Sequence[str],
) -> pd.DataFrame:
    """What ``test`` finds of the rows of every ``key``, in float64 also where there are none."""
    groups = [group for part in parts for group in part.groupby(list(key), dropna=False)]
    table = pd.DataFrame([(*at, *test(some)) for at, some in groups], columns=[*key, *names])
    return table.astype(dict.fromkeys(("prune_ratio", *names), "float64"))


def compare_all(summary: pd.DataFrame, others: Sequence[str] = CONTROLS) -> pd.DataFrame:
    """Compare every pruner with each of ``others``, at each prune ratio and over all of them.

    Returns:
        One row per budget, pruner, prune ratio (NaN: all of them) and ``control`` that share a run
        at least: the fields of `Comparison`, ``holm_p`` and ``verdict``. Holm's correction is
        over a family: all pruners under one budget against one control, either over all prune
        ratios, or at each (the pruners times the ratios, together).
    """
    parts = []
    for other in others:
        single = differences_from(summary, other)
        for differences in (single.assign(prune_ratio=math.nan), single):
            table = _of_each([differences], ROW, compare, Comparison._fields)
            holm_p = holm_within(table, "budget", "t_p")
            parts.append(table.assign(control=other, holm_p=holm_p))
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    return table.assign(verdict=verdicts(table))


def compare_with_full(summary: pd.DataFrame) -> pd.DataFrame:
    """Test at each prune ratio whether a pruner's test MAE differs from full training's.

    Ratios are not pooled: their runs share the same runs of full training.

    Returns:
        One row per budget, prune ratio and pruner: the fields of `Comparison`, ``holm_p`` and
        ``wilcoxon_holm_p`` (Holm's correction over all rows of the budget), and ``verdict``: win,
        tie, lose, or too few for fewer than three pairs. The p of a test that cannot reach 0.05
        whatever it sees is NaN.
    """
    differences = differences_from(summary, REFERENCE)
    table = _of_each([differences], ROW, compare, Comparison._fields)
    enough = table["cells"] >= LEAST_PAIRS
    for name in ("low", "high", "t_p"):
        table[name] = table[name].where(enough)
    # The smallest p of Wilcoxon's test is that of equal signs, 2 of the 2^n patterns.
    table["wilcoxon_p"] = table["wilcoxon_p"].where(2.0 ** (1 - table["cells"]) < LEVEL)
    table["holm_p"] = holm_within(table, "budget", "t_p")
    table["wilcoxon_holm_p"] = holm_within(table, "budget", "wilcoxon_p")
    return table.assign(verdict=np.where(enough, verdicts(table), TOO_FEW))


def verdicts(table: pd.DataFrame) -> NDArray[np.str_]:
    """``win`` or ``lose`` where ``holm_p`` is below 0.05, by the sign of ``mean``; else ``tie``."""
    clear = table["holm_p"] < LEVEL
    better, worse = clear & (table["mean"] < 0), clear & (table["mean"] > 0)
    return np.select([better, worse], ["win", "lose"], "tie")


def count_wins(summary: pd.DataFrame, other: str) -> pd.DataFrame:
    """Count the pairs in which each pruner is better than another, within ``MARGIN``, or worse.

    One row per budget, prune ratio and pruner with a pair at least, with ``WINS``; no test is made.
    """
    pairs = differences_from(summary, other)
    values = pairs["difference"]
    kinds = (values < -MARGIN, values.abs() <= MARGIN, values > MARGIN)
    counted = pairs[ROW].assign(**dict(zip(WINS, kinds, strict=True)))
    return counted.groupby(ROW)[list(WINS)].sum().reset_index()


def t_test(differences: Values) -> float:
    """Two-sided p of the t test that paired differences (n,) have mean 0; NaN for n < 2."""
    count = len(differences)
    if count < 2:
        return math.nan
    error = differences.std(ddof=1) / math.sqrt(count)
    return min(1.0, 2 * _below(-abs(differences.mean()), error, count))


def _below(distance: float, error: float, count: int) -> float:
    """One-sided p for a mean below a bound, from mean - bound and its standard error."""
    if error == 0:
        return 0.0 if distance < 0 else 1.0
    return float(special.stdtr(count - 1, distance / error))


# Several tables and figures ask for the same runs.
@lru_cache(maxsize=4096)
def signed_rank_test(differences: tuple[float, ...]) -> float:
    """Two-sided p of Wilcoxon's (1945) test on paired differences (n,); NaN for n < 2.

    Differences of 0 are left out, as Wilcoxon did; where nothing else is left, p is 1.
    """
    if len(differences) < 2:
        return math.nan
    values = np.array([value for value in differences if value])
    if len(differences) > MOST_ENUMERATED and len(values):
        return float(stats.wilcoxon(differences).pvalue)
    # The same p as SciPy's, which takes seconds to go through the signs one by one where ranks are
    # tied; sums of ranks, which are whole or halves, are exact.
    ranks = stats.rankdata(np.abs(values))
    signs = np.arange(2 ** len(values))[:, None] >> np.arange(len(values)) & 1
    chance, seen = signs @ ranks, ranks[values > 0].sum()
    return min(1.0, 2 * float(min((chance <= seen).mean(), (chance >= seen).mean())))


@lru_cache(maxsize=4096)
def bootstrap_interval(values: tuple[float, ...]) -> tuple[float, float]:
    """95 % percentile interval (Efron, 1979) of the mean of ``values`` (n,); NaN for n < 2.

    The resamples come from a generator of their own with a fixed seed: equal values, equal ends.
    """
    if len(values) < 2:
        return math.nan, math.nan
    low, high = np.quantile(np.array(values)[_draws(len(values))].mean(axis=1), ENDS)
    return float(low), float(high)


@lru_cache(maxsize=4)
def _draws(count: int) -> NDArray[np.int32]:
    """(RESAMPLES, count) indices; most intervals of an experiment are of as many values."""
    rng = np.random.Generator(np.random.PCG64(RESAMPLING_SEED))
    return rng.integers(count, size=(RESAMPLES, count), dtype=np.int32)


def holm(p_values: ArrayLike) -> Values:
    """Correct the p values of a family for their number by Holm's (1979) step-down method.

    NaN stands for a test that could not be made and is not counted; the order stays.
    """
    p = np.asarray(p_values, np.float64)
    order = p.argsort()
    left = np.count_nonzero(~np.isnan(p)) - np.arange(len(p))
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(np.minimum(1.0, left * p[order]))
    return corrected


def holm_within(table: pd.DataFrame, family: Any, name: str) -> "pd.Series[float]":
    """Correct the p values of column ``name``, each ``family`` (what to group by) for itself."""
    return table.groupby(family)[name].transform(holm).astype("float64")


class Equivalence(NamedTuple):
    """Differences against a margin; all in percent. NaN where there are too few to test.

    ``p_equivalent`` is the larger p of two one-sided t tests (Schuirmann, 1987, Journal of
    Pharmacokinetics and Biopharmaceutics 15): below 0.05, and the interval lies within the margin.
    """

    count: int  # type: ignore[assignment]  # Differences; a tuple's own `count` is not needed.
    mean: float  # Negative is better than full training.
    sd: float  # ddof = 1.
    low: float  # Ends of the 90 % t interval of the mean.
    high: float
    p_equivalent: float  # Small: the mean lies within the margin to both sides.
    p_not_worse: float  # Small: the mean lies below +margin (non-inferiority).
    p_worse: float  # Small: the mean lies above +margin.


def equivalence(differences: Values, margin: float = MARGIN) -> Equivalence:
    """Test whether the mean of ``differences`` (n,), in percent, lies within ±``margin``."""
    count = len(differences)
    mean = float(differences.mean())
    sd = float(differences.std(ddof=1)) if count > 1 else math.nan
    if count < LEAST_PAIRS:
        return Equivalence(count, mean, sd, *[math.nan] * 5)
    error = sd / math.sqrt(count)
    half = float(special.stdtrit(count - 1, 1 - LEVEL)) * error
    not_worse, above_lower, worse = (
        _below(distance, error, count)
        for distance in (mean - margin, -mean - margin, margin - mean)
    )
    either = max(not_worse, above_lower)
    return Equivalence(count, mean, sd, mean - half, mean + half, either, not_worse, worse)


def equivalences(summary: pd.DataFrame) -> pd.DataFrame:
    """Test for every place, pruner and prune ratio whether its test MAE is as good as full's.

    A difference that is not significant is no proof of equality: with few seeds nothing is. What is
    to be called lossless has to reject the opposite, that the loss is as large as the margin.

    Returns:
        One row per budget, data set, backbone, prune ratio and pruner: the fields of
        `Equivalence` over its seeds, ``holm_<p>`` of each p (Holm's correction over all rows of
        the same place) and ``verdict``: ``lossless``, within the margin to both sides; ``not
        worse``, a loss of the margin is excluded but not a gain; ``worse``, by more than the
        margin; ``open``, the runs do not decide; ``too few`` to test; or ``identical``, without p,
        where all runs have the very values of full training. Before them the rows with data set
        and backbone ``all``, over the means of the data sets: a data set counts once.
    """
    differences = differences_from(summary, REFERENCE)
    means = differences.groupby(["budget", "dataset", "prune_ratio", "pruner"])["difference"].mean()
    overall = means.reset_index().assign(**dict.fromkeys(SEEDED[:2], EVERY_PLACE))
    table = _of_each([overall, differences], PLACE_ROW, _equivalence, Equivalence._fields)
    # A budget under which a control is full training itself leaves nothing to test, and no claim.
    identical = (table["mean"] == 0) & (table["sd"] == 0)
    table.loc[identical, TESTS] = math.nan
    for name in TESTS:
        table[f"holm_{name}"] = holm_within(table, ["budget", *SEEDED[:2]], name)
    small = [table[f"holm_{name}"] < LEVEL for name in TESTS]
    cases = [identical, table["p_equivalent"].isna(), *small]
    words = [IDENTICAL, TOO_FEW, "lossless", "not worse", "worse"]
    return table.assign(verdict=np.select(cases, words, "open"))


def _equivalence(differences: pd.DataFrame, margin: float = MARGIN) -> Equivalence:
    return equivalence(differences["difference"].to_numpy(np.float64), margin)


def losses(differences: pd.DataFrame) -> pd.DataFrame:
    """Test for every pruner and prune ratio how much error it costs, over all places at once.

    ``differences`` are rows of `differences_from` full training under one budget. Of three data
    sets or more each counts once, as in the rows ``all`` of `equivalences`; of fewer each seed
    does, averaged over data sets and backbones, which says nothing about other data sets.

    Returns:
        One row per pruner and prune ratio: the fields of `Equivalence`, ``p_within_twice``, small
        where a loss of twice the margin is excluded, and ``verdict``: ``lossless``, ``about 1 %``,
        ``worse`` or ``not decided``. What is in a pruner's favour is corrected by Holm's method
        over all rows; ``worse`` is not: a false warning costs less than a false promise.
    """
    unit = "dataset" if differences["dataset"].nunique() >= LEAST_DATASETS else "seed"
    key = ["pruner", "prune_ratio"]
    means = differences.groupby([*key, unit])["difference"].mean().reset_index()

    def both(some: pd.DataFrame) -> tuple[float, ...]:
        return (*_equivalence(some), _equivalence(some, 2 * MARGIN).p_not_worse)

    table = _of_each([means], key, both, [*Equivalence._fields, "p_within_twice"])
    small = [holm(table[name]) < LEVEL for name in ("p_not_worse", "p_within_twice")]
    words = ["lossless", f"about {MARGIN:g} %", "worse"]
    worse = (table["p_worse"] < LEVEL).to_numpy()
    return table.assign(verdict=np.select([*small, worse], words, "not decided"))
