"""What the tables of an experiment share: their rows, and what their captions must say."""

from __future__ import annotations

from typing import Any

import pandas as pd

from stprune.results.summary import REFERENCE, Results
from stprune.statistics.paired import CONTROLS


def with_holes(aggregate: pd.DataFrame) -> pd.DataFrame:
    """Every pruner and ratio for every data set and backbone, NaN where there is no run.

    Args:
        aggregate: As `stprune.results.summary.aggregate` returns it.

    Returns:
        Sorted by data set, backbone, prune ratio and pruner, full training first.
    """
    places = aggregate[["dataset", "backbone"]].drop_duplicates()
    choices = aggregate[["pruner", "prune_ratio"]].drop_duplicates()
    keys = places.merge(choices, how="cross")
    frame = keys.merge(aggregate, how="left", on=list(keys.columns))
    frame["seeds"] = frame["seeds"].fillna(0).astype(int)
    first = frame["pruner"] != REFERENCE
    order = ["dataset", "backbone", "prune_ratio", "first", "pruner"]
    return frame.assign(first=first).sort_values(order, ignore_index=True).drop(columns="first")


def absent_controls(results: Results) -> list[str]:
    """A sentence for each control that the experiment lacks."""
    present = set(results.aggregate["pruner"])
    return [f"{name} was not run here." for name in CONTROLS if name not in present]


def budgets(results: Results) -> list[str]:
    """A sentence that says what a run could spend as much of as full training, and where."""
    where = _places(results.aggregate.groupby("dataset")["budget"].first())
    if len(where) == 1:
        return [f"Budget of a run, at most what full training spends: {_plain(next(iter(where)))}."]
    named = [f"{_plain(budget)} ({datasets})" for budget, datasets in where.items()]
    return [f"Budget of a run, at most what full training spends: {', '.join(named)}."]


def units(results: Results) -> list[str]:
    """A sentence with the unit of each data set's errors, where one is known."""
    where = _places(results.aggregate.groupby("dataset")["target_unit"].first().dropna())
    named = [f"{unit} ({datasets})" for unit, datasets in where.items()]
    return [f"Unit of MAE and RMSE: {', '.join(named)}."] if named else []


def _places(values: pd.Series[Any]) -> dict[str, str]:
    """The names (index) that share a value, by value."""
    return {str(value): ", ".join(some.index) for value, some in values.groupby(values)}


def _plain(name: str) -> str:
    return name.replace("_", " ")
