"""What pruning costs where a mean hides it: by step ahead, and by part of the test set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import pandas as pd

from stprune.records.store import GROUPS, KEYS
from stprune.results.summary import Results
from stprune.statistics.from_full import differences_of

# The name of a group, or a step ahead.
Part = TypeVar("Part", str, int)
EVERYTHING = "all"
ROW = ["budget", "pruner", "prune_ratio", "part"]


def harm_by_step(results: Results) -> pd.DataFrame:
    """Differences from full training in test MAE of each step ahead; see `harm`.

    Returns:
        As `harm`; ``part`` is the step, 1 for the first ahead.
    """
    steps = results.horizons.pivot_table(index=KEYS, columns="step", values="mae")
    columns = {step: f"test_mae_step_{step}" for step in steps.columns}
    summary = results.summary.merge(steps.rename(columns=columns).reset_index(), on=KEYS)
    return harm(summary, columns)


def harm_by_group(results: Results) -> pd.DataFrame:
    """Differences from full training over all test windows and in each group; see `harm`.

    Returns:
        As `harm`; ``part`` is ``all`` or one of ``GROUPS``, those that something was observed of.
    """
    columns = {EVERYTHING: "test_mae", **{group: f"test_mae_{group}" for group in GROUPS}}
    return harm(results.summary, columns)


def harm(summary: pd.DataFrame, columns: Mapping[Part, str]) -> pd.DataFrame:
    """Paired differences from full training, averaged over places first, then over seeds.

    Args:
        summary: One row a run, with the columns.
        columns: By name of the part, the column with its test MAE.

    Returns:
        One row per budget, pruner, prune ratio and ``part``: ``mean`` in % of full training's,
        over the seeds' means over data sets and backbones; ``sd`` over the seeds (ddof = 1, NaN
        for one); ``seeds`` and ``places``, how many.
    """
    parts = {column: part for part, column in columns.items()}
    pairs = differences_of(summary, list(parts))
    pairs["part"] = pairs["metric"].map(parts)
    pairs["place"] = pairs["dataset"] + "/" + pairs["backbone"]
    by_seed = pairs.groupby([*ROW, "seed"])
    every = by_seed.agg(difference=("difference", "mean"), places=("place", "nunique"))
    every = every.reset_index()
    cells = every.groupby(ROW)
    return pd.DataFrame(
        {
            "mean": cells["difference"].mean(),
            "sd": cells["difference"].std(ddof=1),
            "seeds": cells.size(),
            "places": cells["places"].max(),
        }
    ).reset_index()
