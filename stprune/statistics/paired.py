"""Paired comparisons: a pruner with a control, or with full training, over the runs of both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special, stats

from stprune.base.errors import RecordError
from stprune.results.summary import REFERENCE

CONTROLS = ("random_dynamic", "full_fewer_epochs")
# What two runs must share to be a pair; `full` has prune ratio 0 and so pairs with nothing pruned.
CELL = ["budget", "dataset", "backbone", "prune_ratio", "seed"]
# `full` has prune ratio 0, so it pairs with a pruned run by these alone.
SEEDED = ["dataset", "backbone", "seed"]
ROW = ["budget", "prune_ratio", "pruner"]
WINS = ("wins", "ties", "losses")
TOO_FEW = "too few"
# In the place of a data set and of a backbone: a row over all of them.
EVERY_PLACE = "all"
# With two differences a t test has one degree of freedom: it rests on the assumption that they are
# normal and on nothing else.
LEAST_PAIRS = 3
# What counts as a tie, and as lossless: percent of the test MAE of full training.
MARGIN = 1.0
LEVEL = 0.05
RESAMPLES = 10_000
RESAMPLING_SEED = 95
# Fewer means than this say nothing about data sets in general.
LEAST_DATASETS = 3

Verdict = Literal["win", "tie", "lose"]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """How a pruner differs from a control; negative is better, differences are in percent.

    Args:
        cells: Pairs of runs.
        mean: Mean difference over the cells.
        low: Lower end of its 95 % bootstrap interval over the cells; NaN for one cell.
        high: Upper end.
        t_p: Two-sided p of the paired t test over the cells; NaN for one cell.
        wilcoxon_p: Two-sided p of Wilcoxon's signed-rank test over the cells.
        datasets: Data sets among the cells.
        ahead: Data sets whose mean difference is below 0.
        datasets_mean: Mean over data sets of their mean differences.
        datasets_p: Two-sided p of the paired t test over the data sets' means; NaN for fewer
            than three. Cells of one data set are not independent of each other, so this is the
            test that speaks for data sets that were not tried.
    """

    cells: int
    mean: float
    low: float
    high: float
    t_p: float
    wilcoxon_p: float
    datasets: int
    ahead: int
    datasets_mean: float
    datasets_p: float


# Of the table of comparisons, so that an empty one has the same columns.
COLUMN_TYPES = {
    **dict.fromkeys(("budget", "pruner", "control"), "object"),
    "prune_ratio": "float64",
    **{field.name: f"{field.type}64" for field in fields(Comparison)},
}


def compare_all(
    summary: pd.DataFrame, controls: Sequence[str] = CONTROLS, metric: str = "test_mae"
) -> pd.DataFrame:
    """Compare every pruner with every control, at each prune ratio and over all of them.

    Args:
        summary: One row a run.
        controls: Names of the controls; one that was not run has no rows.
        metric: Column to compare; lower is better.

    Returns:
        One row per budget, pruner, prune ratio (NaN: all of them) and control that share a run
        at least: the fields of `Comparison`, ``holm_p`` and ``verdict``. Holm's correction is
        over a family: all pruners under one budget against one control, either over all prune
        ratios, or at each (the pruners times the ratios, together).
    """
    rows = []
    names = sorted(set(summary["pruner"]) - {REFERENCE})
    for control in controls:
        for pruner in (name for name in names if name != control):
            every = relative_differences(summary, pruner, control, metric)
            for budget, differences in every.groupby("budget"):
                keys = {"budget": budget, "pruner": pruner, "control": control}
                rows.append({**keys, "prune_ratio": math.nan, **asdict(compare(differences))})
                for ratio, part in differences.groupby("prune_ratio"):
                    rows.append({**keys, "prune_ratio": ratio, **asdict(compare(part))})
    table = pd.DataFrame(rows, columns=list(COLUMN_TYPES)).astype(COLUMN_TYPES)
    family = [table["budget"], table["control"], table["prune_ratio"].isna()]
    table["holm_p"] = holm_within(table, family, "t_p")
    pairs = zip(table["mean"], table["holm_p"], strict=True)
    return table.assign(verdict=[verdict(mean, p) for mean, p in pairs])


def relative_differences(
    summary: pd.DataFrame, pruner: str, control: str, metric: str = "test_mae"
) -> pd.DataFrame:
    """Pair the runs of two pruners by budget, data set, backbone, prune ratio and seed.

    Args:
        summary: One row a run.
        pruner: Name of the pruner.
        control: Name of what it is compared with.
        metric: Column to compare.

    Returns:
        One row per cell in which both have a value, sorted: the columns ``CELL`` and
        ``difference``, 100 (pruner / control - 1) in percent.

    Raises:
        RecordError: If the control's value is not above 0.
    """
    ours, theirs = (
        summary[summary["pruner"] == name].set_index(CELL)[metric].astype(float).dropna()
        for name in (pruner, control)
    )
    pairs = pd.concat([ours, theirs], axis="columns", join="inner", keys=["ours", "theirs"])
    _require_positive(pairs["theirs"], metric, control)
    difference = 100 * (pairs["ours"] / pairs["theirs"] - 1)
    return difference.rename("difference").sort_index().reset_index()


def compare(differences: pd.DataFrame) -> Comparison:
    """Describe and test the differences of one pruner from one control.

    Args:
        differences: As `relative_differences` returns them, or a part of them.

    Raises:
        RecordError: If there is none.
    """
    if differences.empty:
        raise RecordError("these two have no run in common (data set, backbone, ratio, seed)")
    values = differences["difference"].to_numpy(dtype=np.float64)
    # A data set counts once, however many of its cells there are.
    means = differences.groupby("dataset")["difference"].mean().to_numpy(dtype=np.float64)
    low, high = bootstrap_interval(values)
    return Comparison(
        cells=len(values),
        mean=float(values.mean()),
        low=low,
        high=high,
        t_p=t_test(values),
        wilcoxon_p=signed_rank_test(values),
        datasets=len(means),
        ahead=int((means < 0).sum()),
        datasets_mean=float(means.mean()),
        datasets_p=t_test(means) if len(means) >= LEAST_DATASETS else math.nan,
    )


def t_test(differences: Values) -> float:
    """Two-sided p of the t test that paired differences (n,) have mean 0; NaN for n < 2."""
    count = len(differences)
    if count < 2:
        return math.nan
    mean, error = differences.mean(), differences.std(ddof=1) / math.sqrt(count)
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * special.stdtr(count - 1, -abs(mean / error)))


def signed_rank_test(differences: Values) -> float:
    """Two-sided p of Wilcoxon's (1945) test on paired differences (n,); NaN for n < 2.

    Differences of 0 are left out, as Wilcoxon did; where nothing else is left, p is 1.
    """
    if len(differences) < 2:
        return math.nan
    return _signed_rank_p(tuple(differences.tolist())) if np.any(differences) else 1.0


def signed_rank_can_tell(pairs: int) -> bool:
    """Whether Wilcoxon's exact two-sided test of this many pairs can reach p < 0.05 at all.

    The smallest p is that of equal signs, 2 of the 2^n patterns: six pairs are needed.
    """
    return 2.0 ** (1 - pairs) < LEVEL


# Several tables and figures ask for the same runs, and the exact p of tied ranks takes long.
@lru_cache(maxsize=4096)
def _signed_rank_p(differences: tuple[float, ...]) -> float:
    return float(stats.wilcoxon(differences).pvalue)


def bootstrap_interval(values: Values, share: float = 0.95) -> tuple[float, float]:
    """Percentile interval (Efron, 1979) of the mean of ``values`` (n,); NaN for n < 2.

    The resamples come from a generator of their own with a fixed seed: equal values, equal ends.
    """
    if len(values) < 2:
        return math.nan, math.nan
    return _interval(tuple(values.tolist()), share)


@lru_cache(maxsize=4096)
def _interval(numbers: tuple[float, ...], share: float) -> tuple[float, float]:
    values, count = np.array(numbers), len(numbers)
    rng = np.random.Generator(np.random.PCG64(RESAMPLING_SEED))
    draws = rng.integers(count, size=(RESAMPLES, count), dtype=np.int32)
    low, high = np.quantile(values[draws].mean(axis=1), [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for their number by Holm's (1979) step-down method.

    Args:
        p_values: One family; NaN stands for a test that could not be made and is not counted.

    Returns:
        Corrected p values in the same order, at most 1.
    """
    corrected = [math.nan] * len(p_values)
    order = sorted((p, at) for at, p in enumerate(p_values) if not math.isnan(p))
    largest = 0.0
    for rank, (p, at) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        corrected[at] = largest
    return corrected


def holm_within(table: pd.DataFrame, family: Any, name: str) -> pd.Series[float]:
    """Correct the p values of column ``name``, each ``family`` (what to group by) for itself."""
    return table.groupby(family)[name].transform(lambda p: holm(p.tolist())).astype("float64")


def verdict(mean: float, corrected_p: float) -> Verdict:
    """``win`` or ``lose`` only where the corrected p is below 0.05, by the sign of the mean."""
    # Not being able to test (NaN) is no evidence either.
    if not corrected_p < LEVEL or mean == 0:
        return "tie"
    return "win" if mean < 0 else "lose"


def _require_positive(values: pd.Series[float], metric: str, control: str) -> None:
    if not (values > 0).all():
        raise RecordError(f"`{metric}` of `{control}` must be above 0 to compare in percent")


DIFFERENCE_COLUMNS = {
    **dict.fromkeys(("budget", "dataset", "backbone", "pruner"), "object"),
    "prune_ratio": "float64",
    "seed": "int64",
    "difference": "float64",
}


def differences_from_full(summary: pd.DataFrame, metric: str = "test_mae") -> pd.DataFrame:
    """Pair each pruned run with full training of its seed.

    Args:
        summary: One row a run.
        metric: Column to compare; lower is better.

    Returns:
        One row per pruned run whose seed of `full` was run too, where both have a value, sorted:
        ``budget``, ``dataset``, ``backbone``, ``pruner``, ``prune_ratio``, ``seed`` and
        ``difference``, 100 (pruned / full - 1) in percent.

    Raises:
        RecordError: If a value of `full` is not above 0.
    """
    return differences_of(summary, [metric]).drop(columns="metric")


def differences_of(summary: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """As `differences_from_full`, of several columns at once.

    Args:
        summary: One row a run.
        metrics: Columns to compare; lower is better.

    Returns:
        The rows of each metric after those of the one before, with the column ``metric``.

    Raises:
        RecordError: As `differences_from_full`.
    """
    address = list(DIFFERENCE_COLUMNS)[:-1]
    values = summary.melt(address, list(metrics), var_name="metric").dropna()
    is_full = values["pruner"] == REFERENCE
    full = values.loc[is_full, ["metric", *SEEDED, "value"]]
    _require_positive(full["value"], "/".join(metrics), REFERENCE)
    pairs = values[~is_full].merge(full, on=["metric", *SEEDED], suffixes=("", "_full"))
    pairs["difference"] = 100 * (pairs["value"] / pairs["value_full"] - 1)
    pairs["metric"] = pd.Categorical(pairs["metric"], categories=list(metrics), ordered=True)
    table = pairs.sort_values(["metric", *address], ignore_index=True)
    return table.astype({"metric": "object", **DIFFERENCE_COLUMNS})[["metric", *DIFFERENCE_COLUMNS]]


def compare_with_full(summary: pd.DataFrame, metric: str = "test_mae") -> pd.DataFrame:
    """Test at each prune ratio whether a pruner differs from full training.

    Ratios are not pooled: their runs share the same runs of `full`.

    Args:
        summary: One row a run.
        metric: Column to compare; lower is better.

    Returns:
        One row per budget, prune ratio and pruner: the fields of `Comparison` (in percent of
        full's), ``sd`` over the pairs, ``holm_p`` and ``wilcoxon_holm_p`` (Holm's correction over
        all rows of the budget), and ``verdict``: win, tie, lose, or too few for fewer than
        three pairs. The p of a test that cannot reach 0.05 whatever it sees is NaN.

    Raises:
        RecordError: As `differences_from_full`.
    """
    differences = differences_from_full(summary, metric)
    rows = [
        {**dict(zip(ROW, key, strict=True)), **_compared(part)}
        for key, part in differences.groupby(ROW)
    ]
    names = [*ROW, *(field.name for field in fields(Comparison)), "sd"]
    types = {name: "object" if name in ("budget", "pruner") else "float64" for name in names}
    table = pd.DataFrame(rows, columns=names).astype(types)
    table["holm_p"] = holm_within(table, "budget", "t_p")
    table["wilcoxon_holm_p"] = holm_within(table, "budget", "wilcoxon_p")
    judged = table[["cells", "mean", "holm_p"]].itertuples(index=False, name=None)
    return table.assign(
        verdict=[verdict(mean, p) if n >= LEAST_PAIRS else TOO_FEW for n, mean, p in judged]
    )


def _compared(part: pd.DataFrame) -> dict[str, float]:
    """A `Comparison` and the spread, without what so few pairs cannot say."""
    found = asdict(compare(part))
    values = part["difference"].to_numpy(dtype=np.float64)
    found["sd"] = float(values.std(ddof=1)) if len(values) > 1 else math.nan
    if len(values) < LEAST_PAIRS:
        found |= dict.fromkeys(("low", "high", "t_p"), math.nan)
    if not signed_rank_can_tell(len(values)):
        found["wilcoxon_p"] = math.nan
    return found


def count_wins(
    summary: pd.DataFrame, control: str, metric: str = "test_mae", margin: float = MARGIN
) -> pd.DataFrame:
    """Count in how many cells each pruner is better than a control, about equal, or worse.

    Args:
        summary: One row a run.
        control: Name of what is compared with; full training is paired by data set, backbone and
            seed, anything else also by budget and prune ratio.
        metric: Column to compare; lower is better.
        margin: Largest difference of a tie, in percent of the control's value.

    Returns:
        One row per budget, prune ratio and pruner with a cell at least: these, ``wins``, ``ties``
        and ``losses``; no test is made.

    Raises:
        RecordError: If the control's value is not above 0.
    """
    if control == REFERENCE:
        pairs = differences_from_full(summary, metric)
    else:
        names = sorted(set(summary["pruner"]) - {REFERENCE, control})
        found = {name: relative_differences(summary, name, control, metric) for name in names}
        parts = [part.assign(pruner=name) for name, part in found.items()]
        pairs = pd.concat(parts) if parts else pd.DataFrame(columns=[*ROW, "difference"])
    rows = []
    for key, part in pairs.groupby(ROW):
        wins = int((part["difference"] < -margin).sum())
        losses = int((part["difference"] > margin).sum())
        rows.append((*key, wins, len(part) - wins - losses, losses))
    return pd.DataFrame(rows, columns=[*ROW, *WINS])
