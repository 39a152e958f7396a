"""From one row a run to one row a comparison."""

from __future__ import annotations

import pandas as pd

from stprune.base.errors import RecordError
from stprune.results.columns import GROUPS, KEYS, METRICS, REFERENCE


def aggregate(summary: pd.DataFrame) -> pd.DataFrame:
    """Compare the seeds' means with full training of the same data set and backbone.

    Standard deviations are those of a sample (ddof = 1), so NaN for one seed. A score that one
    seed lacks makes the mean NaN. Without a run of `full` all relative columns are NaN.

    Args:
        summary: One row a run.

    Returns:
        One row per data set, backbone, pruner and prune ratio, sorted, with ``seeds`` (count),
        ``target_unit`` and ``budget``; ``test_<metric>`` and ``test_mae_<group>``, each with
        ``_sd`` and ``_change`` (% against full); ``epoch_seconds``, ``total_seconds``,
        ``train_seconds`` (means) with ``epoch_percent``, ``total_percent``, ``train_percent`` (of
        full's mean) and their ``_sd``; the means ``gradient_steps``, ``realised_keep_ratio``,
        ``overhead_seconds`` and ``expected_epoch_seconds``; ``epoch_time_ratio``, measured over
        expected per-epoch time; ``time_to_full_seconds`` and ``time_to_full_percent`` (see
        `times_to_full`) with ``_sd``, and ``reached``, how many of the seeds reached full's
        accuracy at all.

    Raises:
        RecordError: If `full` has several prune ratios at one data set and backbone.
    """
    cells = summary.groupby(KEYS[:-1], sort=True)
    scores = [*(f"test_{name}" for name in METRICS), *(f"test_mae_{name}" for name in GROUPS)]
    times = ["epoch_seconds", "total_seconds", "train_seconds"]
    reaching = ["time_to_full_seconds", "time_to_full_percent"]
    costs = ["gradient_steps", "realised_keep_ratio", "overhead_seconds", "expected_epoch_seconds"]
    mean = cells[[*scores, *times, *costs, *reaching]].mean(skipna=False)
    spread = cells[[*scores, *times, *reaching]].std(ddof=1, skipna=False)
    full = _full_means(mean)
    table = mean.copy()
    table.insert(0, "seeds", cells.size())
    table.insert(1, "target_unit", cells["target_unit"].first())
    table.insert(2, "budget", cells["budget"].first())
    for score in scores:
        table[f"{score}_sd"] = spread[score]
        table[f"{score}_change"] = 100 * (mean[score] / full[score] - 1)
    for time in times:
        percent = time.replace("_seconds", "_percent")
        table[percent] = 100 * mean[time] / full[time]
        table[f"{percent}_sd"] = 100 * spread[time] / full[time]
    for column in reaching:
        table[f"{column}_sd"] = spread[column]
    table["reached"] = cells["time_to_full_seconds"].count()
    table["epoch_time_ratio"] = mean["epoch_seconds"] / mean["expected_epoch_seconds"]
    return table.reset_index()


def _full_means(mean: pd.DataFrame) -> pd.DataFrame:
    """The means of `full`, repeated on each row of the same data set and backbone."""
    rows = mean.index.get_level_values("pruner") == REFERENCE
    by_place = mean.droplevel(["pruner", "prune_ratio"])
    full = by_place[rows]
    twice = full.index[full.index.duplicated()]
    if len(twice):
        dataset, backbone = twice[0]
        raise RecordError(
            f"the summary has `{REFERENCE}` of {dataset}, {backbone} at several prune ratios;"
            " it has one, 0: summarise the records again"
        )
    return full.reindex(by_place.index).set_axis(mean.index)
