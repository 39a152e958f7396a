"""Many pruners over many places: mean ranks, Friedman's test and Nemenyi's critical difference.

Demšar (2006), Statistical comparisons of classifiers over multiple data sets, JMLR 7. A place, a
data set with a backbone, is a block and counts once: its seeds are averaged first, as repeated
runs of one place say nothing about others.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from stprune.records.store import PLACE, REFERENCE
from stprune.statistics.paired import LEVEL

# Friedman's statistic is about more than two; of two, the paired tests speak.
LEAST_PRUNERS = 3


class Ranking(NamedTuple):
    """How pruners rank over places; two mean ranks ``critical_difference`` apart differ at 0.05.

    It and ``p`` are NaN where there are too few places for any two to.
    """

    mean_ranks: "pd.Series[float]"  # By pruner, best first; equal errors share a rank.
    blocks: int  # Places they are ranked in.
    p: float  # Of Friedman's (1937) test, corrected for ties, that all rank alike.
    critical_difference: float  # Nemenyi's.
    left_out: tuple[str, ...] = ()  # Pruners that were not run in all of these places.
    places_left_out: tuple[str, ...] = ()  # Those in which not all of these pruners were run.

    @property
    def testable(self) -> bool:
        """Whether any outcome could have been significant for two pruners."""
        return not math.isnan(self.critical_difference)


def rankings(summary: pd.DataFrame) -> dict[tuple[str, float], Ranking]:
    """Rank all pruners, full training among them, by test MAE at each budget and prune ratio.

    One where no place has two pruners is left out.
    """
    is_full = summary["pruner"] == REFERENCE
    full = summary[is_full].groupby(PLACE)["test_mae"].mean()
    found = {}
    for key, runs in summary[~is_full].groupby(["budget", "prune_ratio"]):
        means = runs.groupby([*PLACE, "pruner"])["test_mae"].mean().unstack("pruner")
        if not full.empty:
            means[REFERENCE] = full.reindex(means.index)
        means.index = pd.Index([" with ".join(map(str, place)) for place in means.index])
        complete = largest_complete(means)
        if len(complete) and complete.shape[1] > 1:
            found[str(key[0]), float(str(key[1]))] = ranking(complete, means)
    return found


def largest_complete(values: pd.DataFrame) -> pd.DataFrame:
    """Leave out rows (places) and columns (pruners) until none lacks a value.

    What lacks the largest share goes first; of equals a row, then the first by name. So a
    half-finished grid loses its unfinished places, and a pruner that declines some backbone itself.
    """
    values = values.sort_index(axis="index").sort_index(axis="columns")
    while values.isna().any(axis=None):
        rows, columns = values.isna().mean(axis="columns"), values.isna().mean(axis="index")
        if rows.max() >= columns.max():
            values = values.drop(index=rows.idxmax())
        else:
            values = values.drop(columns=columns.idxmax())
    return values


def ranking(values: pd.DataFrame, every: pd.DataFrame | None = None) -> Ranking:
    """Rank pruners by errors (places, pruners), no value missing, in each place.

    ``every`` is what ``values`` was taken from, to name what was left out.
    """
    blocks, pruners = values.shape
    table = values.to_numpy(dtype=np.float64)
    mean_ranks = values.rank(axis="columns", method="average").mean(axis="index")
    every = values if every is None else every
    distance, p = critical_difference(blocks, pruners), math.nan
    # The largest distance there is: one is always first and another always last.
    testable = pruners >= LEAST_PRUNERS and distance < pruners - 1
    if testable:
        equal = (table == table[:, :1]).all()
        p = 1.0 if equal else float(stats.friedmanchisquare(*table.T).pvalue)
    return Ranking(
        # Names break ties, so that the order does not depend on that of the runs.
        mean_ranks=mean_ranks.sort_index().sort_values(kind="stable"),
        blocks=blocks,
        p=p,
        critical_difference=distance if testable else math.nan,
        left_out=tuple(sorted(set(every.columns) - set(values.columns))),
        places_left_out=tuple(sorted(set(every.index) - set(values.index))),
    )


@lru_cache
def critical_difference(blocks: int, pruners: int) -> float:
    """Nemenyi's (1963) critical difference of mean ranks."""
    quantile = float(stats.studentized_range.ppf(1 - LEVEL, pruners, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(pruners * (pruners + 1) / (6 * blocks))


def alike(found: Ranking) -> list[tuple[str, ...]]:
    """The largest groups of two neighbouring pruners or more of which none is told apart.

    They are the bars of the diagram; none where no test could be significant.
    """
    names, ranks = list(found.mean_ranks.index), found.mean_ranks.to_numpy()
    groups: list[tuple[str, ...]] = []
    reached = 0 if found.testable else len(ranks)
    for first, rank in enumerate(ranks):
        last = int(np.searchsorted(ranks, rank + found.critical_difference, side="left"))
        if last > max(reached, first + 1):
            groups.append(tuple(names[first:last]))
            reached = last
    return groups
