"""What chooses ST-Prune's default: every entry against the better control of each cell."""

import numpy as np
import pandas as pd

from paper_figures.rows import experiment_table
from stprune.paper.content import METHOD
from stprune.paper.tables import Column, Table
from stprune.records.store import REFERENCE
from stprune.results.summary import Results
from stprune.statistics.paired import CONTROLS, differences_from, holm_within, t_test

TITLE = "Candidates for ST-Prune's default"
REGIMES = ("short", "converged")
CELL = ["backbone", "dataset", "prune_ratio"]
ROW = ["backbone", "pruner"]
COLUMNS = (
    Column("backbone", "Backbone", named=True),
    Column("pruner", "Entry", named=True),
    Column("mean", "All", 2, signed=True, ranked=True, over="Δ (%)"),
    *(Column(name, name.capitalize(), 2, signed=True, over="Δ (%)") for name in REGIMES),
    Column("worst", "Worst", 2, signed=True, over="Δ (%)"),
    Column("worst_dataset", "on", over="Δ (%)"),
    Column("change", "Mean (%)", 2, signed=True, over="Against ST-Prune"),
    Column("p", "p", 4, over="Against ST-Prune"),
    Column("places", "Places", 0),
    Column("pairs", "Pairs", 0),
)


def applies(results: Results) -> bool:
    """Whether data sets are named with their regimes, and something compares with both controls."""
    names = results.summary["dataset"].str.rpartition("_")
    return bool(names[2].isin(REGIMES).all()) and not against_better_control(results.summary).empty


def build(results: Results) -> Table:
    """One row per backbone and entry; the lowest mean decides, see docs/method_selection.md."""
    caption = (
        "Δ: 100 (entry / control - 1) in % of test MAE, seed by seed, where the control of a cell"
        " (place, backbone and prune ratio; a place is a data set in a regime) is the one of the"
        " two with the lower mean over seeds; below 0 the entry is better than both. Averaged over"
        " seeds, then prune ratios, then places. Worst: the largest mean over the places of a data"
        " set. Against ST-Prune: a pair is a data set and a seed, the mean over its regimes and"
        " prune ratios; paired t test, Holm over the variants of ST-Prune; no test where the"
        " same data chose the entries. Bold: lowest of a backbone; underlined: second. Means over"
        " different places are not comparable, and an incomplete grid decides nothing."
    )
    frame = decisive(results.summary)
    return experiment_table(results, TITLE, caption, frame, COLUMNS, ("backbone",))


def against_better_control(summary: pd.DataFrame) -> pd.DataFrame:
    """Pairs with the better control: ``CELL``, ``seed``, ``pruner`` and ``difference`` in %.

    A cell without both controls has no rows; the better control itself has differences of 0.
    """
    means = summary.groupby([*CELL, "pruner"])["test_mae"].mean().unstack()
    means = means.reindex(columns=list(CONTROLS)).dropna()
    lower = np.array(CONTROLS)[means.to_numpy().argmin(axis=1)]
    better = means.assign(control=lower).reset_index()[[*CELL, "control"]]
    parts = []
    for control in CONTROLS:
        own = summary[summary["pruner"] == control].assign(difference=0.0)
        pairs = pd.concat([differences_from(summary, control), own])
        parts.append(pairs.merge(better[better["control"] == control], on=CELL))
    return pd.concat(parts)[[*CELL, "seed", "pruner", "difference"]].reset_index(drop=True)


def by_place(summary: pd.DataFrame) -> pd.DataFrame:
    """Mean difference over seeds, then prune ratios: one row per backbone, pruner and place.

    A place is an entry of the configuration, named by its ``dataset`` and ``regime``.
    """
    pairs = against_better_control(summary)
    cells = pairs.groupby([*CELL, "pruner"])["difference"].agg(["mean", "size"]).reset_index()
    places = cells.groupby([*ROW, "dataset"]).agg(
        difference=("mean", "mean"), pairs=("size", "sum")
    )
    frame = places.reset_index().rename(columns={"dataset": "place"})
    names = frame["place"].str.rpartition("_")
    return frame.assign(dataset=names[0], regime=names[2])


def decisive(summary: pd.DataFrame) -> pd.DataFrame:
    """Each entry's mean, that of each regime, its worst data set, places and pairs, best first."""
    places = by_place(summary[summary["pruner"] != REFERENCE])
    groups = places.groupby(ROW)
    frame = groups.agg(
        mean=("difference", "mean"), places=("place", "size"), pairs=("pairs", "sum")
    )
    regimes = places.groupby([*ROW, "regime"])["difference"].mean().unstack()
    datasets = places.groupby([*ROW, "dataset"])["difference"].mean().unstack()
    frame = frame.join(regimes.reindex(columns=list(REGIMES)))
    frame["worst"], frame["worst_dataset"] = datasets.max(axis=1), datasets.idxmax(axis=1)
    return frame.join(against_default(summary)).sort_values(["backbone", "mean"]).reset_index()


def against_default(summary: pd.DataFrame) -> pd.DataFrame:
    """Mean ``change`` in % from ``st_prune``, and ``p`` of its variants, by backbone and pruner."""
    pairs = differences_from(summary, METHOD)
    pairs["dataset"] = pairs["dataset"].map(lambda place: place.rpartition("_")[0])
    values = pairs.groupby([*ROW, "dataset", "seed"])["difference"].mean().groupby(ROW)
    table = pd.DataFrame({"change": values.mean(), "p": values.agg(lambda v: t_test(v.to_numpy()))})
    variants = table.index.get_level_values("pruner").str.startswith(f"{METHOD}_")
    return table.assign(p=holm_within(table[variants], "backbone", "p"))
