"""What of an experiment a figure or table shows, and how a caption names it."""

from collections.abc import Iterable
from textwrap import fill
from typing import Any

import pandas as pd

from stprune.base.layout import format_ratio
from stprune.records.store import KEYS, PLACE, REFERENCE
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import CONTROLS

# Rows of panels, and curves of a panel, that a reader can still take in.
MOST_PLACES, MOST_CURVES = 10, 8
METHOD = "st_prune"
# These are shown wherever they were run, because all others are read against them.
ALWAYS = (REFERENCE, *CONTROLS, METHOD)
Place = tuple[str, str]


def places(aggregate: pd.DataFrame) -> list[Place]:
    """The (data set, backbone) pairs of an experiment, sorted."""
    pairs = aggregate[PLACE].drop_duplicates().sort_values(PLACE)
    return list(pairs.itertuples(index=False, name=None))


def time_axis(table: pd.DataFrame, cost: str = "total") -> tuple[str, str, str]:
    """Column, name and unit of the axis of a ``cost`` (``total``, ``epoch``), from an aggregate.

    In % of full training's where all have it; of gradient steps where one was not timed.
    """
    relative = table["steps_percent"].notna().all()
    unit = "% of full training"
    if table["timing"].isna().any():
        column = "steps_percent" if relative else "gradient_steps"
        return column, "Gradient steps", unit if relative else "number"
    name = {"total": "Total time", "epoch": "Per-epoch time"}[cost]
    return f"{cost}_{'percent' if relative else 'seconds'}", name, unit if relative else "s"


def at_place(frame: pd.DataFrame, place: Place) -> pd.DataFrame:
    """The rows of one data set and backbone."""
    return frame[(frame["dataset"] == place[0]) & (frame["backbone"] == place[1])]


def ratios(frame: pd.DataFrame) -> list[float]:
    """The prune ratios of an experiment in order; 0 only where nothing was pruned."""
    return sorted(set(frame["prune_ratio"]) - {0.0}) or [0.0]


def at_ratio(frame: pd.DataFrame, ratio: float) -> pd.DataFrame:
    """The rows of one prune ratio and those of full training."""
    return frame[(frame["prune_ratio"] == ratio) | (frame["pruner"] == REFERENCE)]


def ratio_names(values: Iterable[float]) -> list[str]:
    """Titles of panels, such as ``Prune ratio 0.5``."""
    return [f"Prune ratio {format_ratio(ratio)}" for ratio in values]


def over_seeds(epochs: pd.DataFrame, **columns: tuple[str, str]) -> pd.DataFrame:
    """Aggregate over seeds, as ``DataFrame.agg`` does, at each epoch that all seeds reach."""
    cell = KEYS[:-1]
    seeds = epochs.groupby(cell)["seed"].transform("nunique")
    points = epochs.assign(seeds=seeds).groupby([*cell, "epoch"])
    means: pd.DataFrame = points.agg(**columns)
    # Budgets may end seeds at different epochs; a mean of fewer seeds would jump.
    return means[points.size() == points["seeds"].first()].reset_index()


def most_varied_first(summary: pd.DataFrame) -> list[str]:
    """Names of the data sets; the first few hold as many different data as possible."""
    names = summary.drop_duplicates("dataset").sort_values("dataset")
    names["repeat"] = names.groupby("data_checksum").cumcount()
    return names.sort_values(["repeat", "dataset"])["dataset"].tolist()


def shown_places(results: Results) -> tuple[list[Place], list[str]]:
    """At most ``MOST_PLACES`` (data set, backbone) pairs, and a sentence that names the others."""
    order = most_varied_first(results.summary)
    every = sorted(places(results.aggregate), key=lambda place: order.index(place[0]))
    others = sorted(every[MOST_PLACES:])
    names = ", ".join(f"{dataset} with {label(backbone)}" for dataset, backbone in others)
    return sorted(every[:MOST_PLACES]), not_shown(names)


def shown_pruners(
    results: Results, among: Iterable[str] | None = None, most: int = MOST_CURVES
) -> tuple[list[str], list[str]]:
    """The pruners ``among`` (default: all) that a figure has room for; a sentence on the others.

    Those in ``ALWAYS`` come first, then the lowest mean changes in test MAE against full training;
    without that, the order is by name.
    """
    table = results.aggregate
    names = sorted(set(table["pruner"] if among is None else among))
    always = [name for name in names if name in ALWAYS]
    change = table.groupby("pruner")["test_mae_change"].mean()[names]
    order = change.drop(always).sort_values(kind="stable", na_position="last").index
    chosen = [*always, *order[: max(0, most - len(always))]]
    return sorted(chosen), not_shown(labels(name for name in names if name not in chosen))


def labels(names: Iterable[str]) -> str:
    """Readable names of pruners or backbones, such as ``ST-Prune, InfoBatch``."""
    return ", ".join(label(str(name)) for name in names)


def row_names(pairs: Iterable[Place]) -> list[str]:
    """Data set and backbone beside low rows of panels, in short lines."""
    names = (f"{dataset} {label(backbone)}" for dataset, backbone in pairs)
    return [fill(name.replace("_", " "), 14) for name in names]


def with_unit(quantity: str, units: "pd.Series[Any]") -> str:
    """A quantity with the unit of its first row, where that is known."""
    return quantity if pd.isna(units.iloc[0]) else f"{quantity} ({units.iloc[0]})"


def count_in_words(counts: "pd.Series[int]", noun: str) -> str:
    """Such as ``1 seed``, ``2 seeds`` or ``2 to 5 seeds``."""
    few, many = int(counts.min()), int(counts.max())
    number = f"{many}" if few == many else f"{few} to {many}"
    return f"{number} {noun}{'' if many == 1 else 's'}"


def seed_count(aggregate: pd.DataFrame) -> str:
    """How many seeds stand behind the points, such as ``2 to 5 seeds``."""
    return count_in_words(aggregate["seeds"], "seed")


def without_error(summary: pd.DataFrame) -> list[str]:
    """A sentence that names the data sets where a run has nothing to be compared by, or nothing."""
    names = ", ".join(sorted(set(summary.loc[~(summary["test_mae"] > 0), "dataset"])))
    return [f"Left out for want of a test MAE above 0: runs on {names}."] if names else []


def not_shown(names: str) -> list[str]:
    """A sentence for the caption, or nothing where all are shown."""
    return [f"Not shown for lack of space: {names}."] if names else []
