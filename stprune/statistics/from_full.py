"""Every pruned run against full training of the same data set, backbone and seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, fields

import numpy as np
import pandas as pd

from stprune.base.errors import RecordError
from stprune.results.summary import REFERENCE
from stprune.statistics.enough import LEAST_PAIRS, TOO_FEW, signed_rank_can_tell
from stprune.statistics.significance import Comparison, compare, holm, verdict

# `full` has prune ratio 0, so it pairs with a pruned run by these alone.
SEEDED = ["dataset", "backbone", "seed"]
ROW = ["budget", "prune_ratio", "pruner"]
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
        RecordError: If a column is missing, a run is there twice, or a value of `full` is not
            above 0.
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
    missing = [name for name in (*address, *metrics) if name not in summary.columns]
    if missing:
        names = ", ".join(f"`{name}`" for name in metrics)
        raise RecordError(f"cannot compare {names}: the summary lacks the columns {missing}")
    values = summary.melt(address, list(metrics), var_name="metric").dropna()
    is_full = values["pruner"] == REFERENCE
    full = values.loc[is_full, ["metric", *SEEDED, "value"]]
    pruned = values[~is_full]
    for runs, keys in ((full, SEEDED), (pruned, address)):
        twice = runs[runs.duplicated(["metric", *keys])]
        if not twice.empty:
            names = ", ".join(str(value) for value in twice[keys].iloc[0])
            raise RecordError(f"two runs have the same address ({names}); summarise them once")
    wrong = full.loc[~(full["value"] > 0), "metric"]
    if not wrong.empty:
        raise RecordError(
            f"`{wrong.iloc[0]}` of `{REFERENCE}` must be above 0 to compare in percent"
        )
    pairs = pruned.merge(full, on=["metric", *SEEDED], suffixes=("", "_full"))
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
    for raw, corrected in (("t_p", "holm_p"), ("wilcoxon_p", "wilcoxon_holm_p")):
        families = table.groupby("budget")[raw]
        table[corrected] = families.transform(lambda p: holm(p.tolist())).astype("float64")
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
