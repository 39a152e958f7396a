"""The results of an experiment: everything that a table, a figure or the report may show of it.

They read only what is loaded and computed here, so they cannot disagree.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from stprune.base.errors import RecordError
from stprune.base.layout import RunKey, store_config, store_table
from stprune.records.run import RunRecord, parse_record
from stprune.records.store import GROUPS, KEYS, METRICS, PLACE, REFERENCE, read_store, run_keys_of
from stprune.records.timing import VERDICTS
from stprune.results.kept_windows import KeptTables


@dataclass(frozen=True)
class Results:
    """An experiment, fresh or kept; what only some figures need is read when it is asked for."""

    summary: pd.DataFrame  # One row a run, ``SUMMARY_COLUMNS``; seconds, real units, percent.
    epochs: pd.DataFrame  # One row an epoch of every run, ``EPOCH_COLUMNS``.
    aggregate: pd.DataFrame  # One row per data set, backbone, pruner and prune ratio.
    store: Path  # Folder of the experiment's store.

    @cached_property
    def records(self) -> Mapping[RunKey, RunRecord]:
        """The record of every run of the summary, in its order.

        Raises:
            RecordError: If one is missing, or of another version of the code.
        """
        path = store_table(self.store, "records")
        frame = read_store(self.store, "records")
        texts = dict(zip(run_keys_of(frame), frame["json"], strict=True))
        keys = run_keys_of(self.summary)
        missing = [key.path for key in keys if key not in texts]
        if missing:
            raise RecordError(f"{path} has no record of {missing[0]}; summarise again")
        return {key: parse_record(texts[key], f"{path}, {key.path}") for key in keys}

    def configs(self, column: str) -> dict[str, dict[str, Any]]:
        """The configuration of one run of each name in a column of the summary, sorted by name."""
        firsts = self.summary.drop_duplicates(column).sort_values(column)
        return {getattr(key, column): self.records[key].config for key in run_keys_of(firsts)}

    @cached_property
    def kept(self) -> KeptTables:
        """What the archives of kept windows say of the runs."""
        return KeptTables(*(read_store(self.store, name) for name in KeptTables._fields))

    @cached_property
    def configuration(self) -> str | None:
        """The text of the resolved ``config.yaml``; None where there is none."""
        path = store_config(self.store)
        return path.read_text(encoding="utf-8") if path.exists() else None


def load_results(store: Path) -> Results:
    """Read the store of an experiment and compare its runs.

    Raises:
        RecordError: If a table is missing or damaged.
    """
    summary = read_store(store, "summary")
    if summary.duplicated(KEYS).any():
        raise RecordError(f"{store_table(store, 'summary')} has a run twice; summarise it again")
    return Results(summary, read_store(store, "epochs"), aggregate(summary), store)


def relative_to_full(summary: pd.DataFrame) -> pd.DataFrame:
    """Error, times and gradient steps of each run in % of full training's mean at its place.

    One row a run in the summary's order; NaN without full training.
    """
    columns = ["test_mae", "epoch_seconds", "total_seconds", "gradient_steps"]
    full = summary[summary["pruner"] == REFERENCE].groupby(PLACE)[columns].mean()
    of_full = full.reindex(pd.MultiIndex.from_frame(summary[PLACE])).set_axis(summary.index)
    return 100 * summary[columns] / of_full


def aggregate(summary: pd.DataFrame) -> pd.DataFrame:
    """Compare the seeds' means with full training of the same data set and backbone.

    Standard deviations are those of a sample (ddof = 1), so NaN for one seed. A score that one
    seed lacks makes the mean NaN. Without a run of `full` all relative columns are NaN.

    Returns:
        One row per data set, backbone, pruner and prune ratio, sorted: ``seeds`` (count),
        ``target_unit``, ``budget`` and ``timing``; scores, each with ``_sd`` and ``_change`` (%
        against full); times and, of full's mean, ``_percent`` with its ``_sd`` and, where the
        timing gives an interval, ``_low`` and ``_high``; other means of the summary's columns;
        ``steps_percent``, of full's; and ``epoch_time_ratio``, measured over expected per-epoch
        time.

    Raises:
        RecordError: If `full` has several prune ratios at one data set and backbone.
    """
    cells = summary.groupby(KEYS[:-1])
    scores = [*(f"test_{name}" for name in METRICS), *(f"test_mae_{name}" for name in GROUPS)]
    times = ["epoch_seconds", "total_seconds", "train_seconds"]
    costs = ["gradient_steps", "realised_keep_ratio", "overhead_seconds", "expected_epoch_seconds"]
    ends = [f"{time}_{end}" for time in times[:2] for end in ("low", "high")]
    mean = cells[[*scores, *times, *costs, *ends]].mean(skipna=False)
    spread = cells[[*scores, *times]].std(ddof=1, skipna=False)
    # The means of full training, repeated on each row of the same data set and backbone.
    by_place = mean.droplevel(["pruner", "prune_ratio"])
    full = by_place[mean.index.get_level_values("pruner") == REFERENCE]
    if full.index.has_duplicates:
        raise RecordError(f"the summary has `{REFERENCE}` at several prune ratios; it has one, 0")
    full = full.where(full > 0).reindex(by_place.index).set_axis(mean.index)
    count = cells.size().rename("seeds")
    shared = cells[["target_unit", "budget", "timing"]].first()
    table = pd.concat([count, shared, mean.drop(columns=ends)], axis="columns")
    for score in scores:
        table[f"{score}_sd"] = spread[score]
        table[f"{score}_change"] = 100 * (mean[score] / full[score] - 1)
    for time in times:
        percent = time.replace("_seconds", "_percent")
        table[percent] = 100 * mean[time] / full[time]
        table[f"{percent}_sd"] = 100 * spread[time] / full[time]
    for end in ends:
        time = end.rpartition("_")[0]
        table[end.replace("_seconds", "_percent")] = 100 * mean[end] / full[time]
    table["steps_percent"] = 100 * mean["gradient_steps"] / full["gradient_steps"]
    table["epoch_time_ratio"] = mean["epoch_seconds"] / mean["expected_epoch_seconds"]
    return table.reset_index()


def least_trusted(verdicts: Iterable[object]) -> str | None:
    """The least trustworthy verdict of several timings; None where one is missing."""
    ranks = [VERDICTS.index(some) if isinstance(some, str) else len(VERDICTS) for some in verdicts]
    return (*VERDICTS, None)[max(ranks, default=len(VERDICTS))]


def at_shared_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """The rows at prune ratios that as many data sets and backbones have as any other."""
    pruned = table[table["prune_ratio"] > 0]
    count = pruned[[*PLACE, "prune_ratio"]].drop_duplicates()["prune_ratio"].value_counts()
    return table[~table["prune_ratio"].isin(count.index[count < count.max()])]


def mean_over_places(results: Results) -> pd.DataFrame:
    """Mean over data sets and backbones that had the same budget, each counted once.

    Those without a run of full training are left out, since nothing is relative there, and so are
    prune ratios that not all have: their mean would be one of other data.

    Returns:
        One row per budget, pruner and prune ratio, in the form of ``Results.aggregate``:
        ``dataset`` says how many it is the mean of and ``backbone`` what was held equal;
        ``test_mae`` is the change against full training in percent; ``_sd`` are between data sets
        and backbones; ``seeds`` the fewest of any; ``places`` how many had the pruner at this
        ratio; ``timing`` the least trustworthy verdict of any, null where one has no timing.
    """
    table = results.aggregate.dropna(subset="test_mae_change").drop(columns="test_mae")
    table = at_shared_ratios(table.rename(columns={"test_mae_change": "test_mae"}))
    cells = table.groupby(["budget", "pruner", "prune_ratio"])
    relative = cells[["test_mae", "epoch_percent", "total_percent", "steps_percent"]]
    mean = relative.mean(skipna=False).join(relative.std(ddof=1, skipna=False).add_suffix("_sd"))
    mean["timing"] = cells["timing"].agg(least_trusted)
    mean["realised_keep_ratio"] = cells["realised_keep_ratio"].mean()
    mean["seeds"], mean["places"] = cells["seeds"].min(), cells.size()
    mean = mean.reset_index()
    every = table.drop_duplicates(PLACE).groupby("budget").size()[mean["budget"]]
    return mean.assign(
        dataset=[f"Mean of {count} data sets with backbones" for count in every],
        backbone=[f"equal {budget}" for budget in mean["budget"]],
    )
