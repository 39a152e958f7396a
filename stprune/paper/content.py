"""What of an experiment a figure or table shows, and how a caption names it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from stprune.records.store import REFERENCE
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import CONTROLS

# Rows of panels that a reader can still take in.
MOST_PLACES = 10
MOST_CURVES = 8
METHOD = "st_prune"
# These are shown wherever they were run, because all others are read against them.
ALWAYS = (REFERENCE, *CONTROLS, METHOD)
PLACE = ["dataset", "backbone"]
Place = tuple[str, str]


def places(aggregate: pd.DataFrame) -> list[Place]:
    """The (data set, backbone) pairs of an experiment, sorted."""
    pairs = aggregate[PLACE].drop_duplicates().sort_values(PLACE)
    return list(pairs.itertuples(index=False, name=None))


def at_place(frame: pd.DataFrame, place: Place) -> pd.DataFrame:
    """The rows of one data set and backbone."""
    return frame[(frame["dataset"] == place[0]) & (frame["backbone"] == place[1])]


def most_varied_first(summary: pd.DataFrame) -> list[str]:
    """Names of the data sets; the first few hold as many different data as possible.

    Entries of a configuration may share their data and differ in training only.
    """
    names = summary[["dataset", "data_checksum"]].drop_duplicates().sort_values("dataset")
    names["repeat"] = names.groupby("data_checksum").cumcount()
    return names.sort_values(["repeat", "dataset"])["dataset"].tolist()


def shown_places(results: Results) -> tuple[list[Place], list[str]]:
    """The (data set, backbone) pairs that there is room for, and a sentence that names the others.

    Returns:
        At most ``MOST_PLACES`` pairs, sorted; and the sentence, or nothing.
    """
    order = most_varied_first(results.summary)
    every = sorted(places(results.aggregate), key=lambda place: order.index(place[0]))
    return sorted(every[:MOST_PLACES]), not_shown(place_names(sorted(every[MOST_PLACES:])))


def shown_pruners(results: Results, most: int = MOST_CURVES) -> tuple[list[str], list[str]]:
    """The pruners that a panel of curves shows: those in ``ALWAYS``, then the lowest mean errors.

    Args:
        results: The experiment. Pruners are ordered by their mean change in test MAE against full
            training, over data sets, backbones and prune ratios; without full training, by name.
        most: How many to show.

    Returns:
        Names, sorted; and a sentence for the caption that names the others, or nothing.
    """
    table = results.aggregate
    names = sorted(table["pruner"].unique())
    always = [name for name in names if name in ALWAYS]
    change = table.groupby("pruner")["test_mae_change"].mean()
    order = change.drop(always).sort_values(kind="stable", na_position="last").index
    chosen = [*always, *order[: max(0, most - len(always))]]
    hidden = [name for name in names if name not in chosen]
    return sorted(chosen), not_shown(labels(hidden))


def labels(names: Iterable[str]) -> str:
    """Readable names of pruners or backbones, such as ``ST-Prune, InfoBatch``."""
    return ", ".join(label(str(name)) for name in names)


def place_names(pairs: Iterable[Place]) -> str:
    """Such as ``los_loop with STID, sim_freeway with STID``."""
    return ", ".join(f"{dataset} with {label(backbone)}" for dataset, backbone in pairs)


def with_unit(quantity: str, units: pd.Series[Any]) -> str:
    """A quantity with the unit of its first row, where that is known."""
    return quantity if pd.isna(units.iloc[0]) else f"{quantity} ({units.iloc[0]})"


def count_in_words(counts: pd.Series[int], noun: str) -> str:
    """Such as ``1 seed``, ``2 seeds`` or ``2 to 5 seeds``."""
    few, many = int(counts.min()), int(counts.max())
    number = f"{many}" if few == many else f"{few} to {many}"
    return f"{number} {noun}{'' if many == 1 else 's'}"


def seed_count(aggregate: pd.DataFrame) -> str:
    """How many seeds stand behind the points, such as ``2 to 5 seeds``."""
    return count_in_words(aggregate["seeds"], "seed")


def not_shown(names: str) -> list[str]:
    """A sentence for the caption, or nothing where all are shown."""
    return [f"Not shown for lack of space: {names}."] if names else []


def absent_controls(pruners: Iterable[str]) -> list[str]:
    """A sentence for the caption for each control that was not run."""
    present = set(pruners)
    return [f"{label(name)} was not run here." for name in CONTROLS if name not in present]
