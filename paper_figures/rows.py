"""What the tables of an experiment share: their rows, and what their captions must say."""

from typing import Any

import pandas as pd

from stprune.paper.content import METHOD, without_error
from stprune.paper.tables import TIMING, Column, Table
from stprune.records.store import KEYS, REFERENCE
from stprune.results.labels import timing_notes
from stprune.results.summary import Results
from stprune.statistics.paired import CONTROLS

CELL = KEYS[:-1]
# What names a row of most tables.
CELL_COLUMNS = (
    Column("dataset", "Data set"),
    Column("backbone", "Backbone", named=True),
    Column("prune_ratio", "Prune ratio"),
    Column("pruner", "Pruner", named=True),
)
SEEDS = Column("seeds", "n", 0)
PLACE_AND_RATIO = ("dataset", "backbone", "prune_ratio")

RANKS = (  # of the captions of tables
    "Bold: lowest mean of the same data set, backbone and prune ratio, full training aside;"
    " underlined: second."
)


def experiment_table(
    results: Results,
    title: str,
    caption: str,
    frame: pd.DataFrame,
    columns: tuple[Column, ...],
    group: tuple[str, ...] = PLACE_AND_RATIO,
) -> Table:
    """A table whose caption ends with what is missing, the trust in times, budgets and units.

    Where the frame has several budgets, they are its first column and set its groups apart.
    """
    timed = any(column.marks == TIMING for column in columns)
    trust = timing_notes(results.aggregate["timing"]) if timed else []
    present = set(results.aggregate["pruner"])
    others = (name for name in (REFERENCE, *CONTROLS, METHOD) if name not in present)
    missing = [*(f"{name} was not run here." for name in others), *without_error(results.summary)]
    caption = " ".join([caption, *missing, *trust, budgets(results), *units(results)])
    if "budget" in frame and frame["budget"].nunique() > 1:
        columns = (Column("budget", "Budget", named=True), *columns)
        group = ("budget", *group)
    return Table(title, caption, frame, columns, group)


def with_holes(aggregate: pd.DataFrame) -> pd.DataFrame:
    """Every pruner and ratio for every data set and backbone, NaN where there is no run, sorted."""
    places = aggregate[["dataset", "backbone"]].drop_duplicates()
    choices = aggregate[["pruner", "prune_ratio"]].drop_duplicates()
    keys = places.merge(choices, how="cross")
    frame = keys.merge(aggregate, how="left", on=list(keys.columns))
    frame["seeds"] = frame["seeds"].fillna(0).astype(int)
    return full_first(frame, list(PLACE_AND_RATIO))


def run_means(values: pd.DataFrame, results: Results, *columns: str) -> pd.DataFrame:
    """The rows of `with_holes`, of it ``columns``, with the means over seeds of other ``values``.

    ``values`` has a row a run; each of its columns gets an ``_sd`` (ddof = 1). NaN where one seed
    lacks a value.
    """
    cells = values.join(results.summary[CELL]).groupby(CELL)
    spread = cells.std(ddof=1, skipna=False).add_suffix("_sd")
    means = cells.mean(skipna=False).join(spread).reset_index()
    frame = with_holes(results.aggregate)[[*CELL, "seeds", *columns]]
    return frame.merge(means, how="left", on=CELL)


def full_first(frame: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    """Sort rows by ``order``, then by pruner, full training before all others."""
    keys = [*order, "first", "pruner"]
    rows = frame.assign(first=frame["pruner"] != REFERENCE)
    return rows.sort_values(keys, ignore_index=True).drop(columns="first")


def budgets(results: Results) -> str:
    """A sentence that says what a run could spend as much of as full training, and where."""
    where = _places(results.aggregate.groupby("dataset")["budget"].first())
    named = [
        budget.replace("_", " ") + (f" ({datasets})" if len(where) > 1 else "")
        for budget, datasets in where.items()
    ]
    return f"Budget of a run, at most what full training spends: {', '.join(named)}."


def units(results: Results) -> list[str]:
    """A sentence with the unit of each data set's errors, where one is known."""
    where = _places(results.aggregate.groupby("dataset")["target_unit"].first().dropna())
    named = [f"{unit} ({datasets})" for unit, datasets in where.items()]
    return [f"Unit of MAE and RMSE: {', '.join(named)}."] if named else []


def _places(values: "pd.Series[Any]") -> dict[str, str]:
    """The names (index) that share a value, by value."""
    return {str(value): ", ".join(some.index) for value, some in values.groupby(values)}
