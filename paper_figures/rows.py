"""What the tables of an experiment share: their rows, and what their captions must say."""

from __future__ import annotations

from typing import Any

import pandas as pd

from stprune.paper.tables import Column
from stprune.results.summary import REFERENCE, Results
from stprune.statistics.paired import CONTROLS

# What names a row of most tables.
CELL_COLUMNS = (
    Column("dataset", "Data set"),
    Column("backbone", "Backbone", named=True),
    Column("prune_ratio", "Prune ratio"),
    Column("pruner", "Pruner", named=True),
)


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
    return full_first(frame, ["dataset", "backbone", "prune_ratio"])


def full_first(frame: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    """Sort rows by ``order``, then by pruner, full training before all others."""
    keys = [*order, "first", "pruner"]
    rows = frame.assign(first=frame["pruner"] != REFERENCE)
    return rows.sort_values(keys, ignore_index=True).drop(columns="first")


def absent(results: Results, *others: str) -> list[str]:
    """A sentence for each of ``others`` and each control that the experiment lacks."""
    present = set(results.aggregate["pruner"])
    return [f"{name} was not run here." for name in (*others, *CONTROLS) if name not in present]


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


def by_budget(columns: tuple[Column, ...], frame: pd.DataFrame) -> tuple[Column, ...]:
    """The columns of a table, after one with the budget where there are several."""
    several = frame["budget"].nunique() > 1
    return (Column("budget", "Budget", named=True), *columns) if several else columns
