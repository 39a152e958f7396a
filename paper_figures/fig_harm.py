"""Harm: how much worse than full training, by step ahead and in the windows that a mean hides."""

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stprune.paper import content, draw
from stprune.records.store import GROUPS, REFERENCE
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import differences_from

TITLE = "Harm by step ahead and by part of the test set"
PARTS = ["all", *GROUPS]
# How far the pruners of a part lie apart, as a share of the room between two parts.
SPREAD = 0.6
CELL = ["budget", "pruner", "prune_ratio", "part"]


def applies(results: Results) -> bool:
    """Whether there is full training, and a pruned run of the same seed to compare with it."""
    return not differences_from(results.summary, REFERENCE).empty


def build(results: Results) -> draw.Drawing:
    """Draw two rows of panels per budget, by step ahead and by part; a column per prune ratio."""
    pruners = set(results.summary["pruner"]) - {REFERENCE}
    names, left_out = content.shown_pruners(results, pruners, content.MOST_CURVES - 1)
    shown = draw.looks(names)
    cells = harm(results)
    cells = cells[cells["pruner"].isin(names)]
    budgets, ratios = (sorted(cells[key].unique()) for key in ("budget", "prune_ratio"))
    rows = [(budget, by_step) for budget in budgets for by_step in (True, False)]
    figure, grid = draw.panels(
        [f"Harm (%)\nEqual {label(budget).lower()}" for budget, _ in rows],
        content.ratio_names(ratios),
        1.9,
        legend=draw.entries(shown),
        sharex="row",
        sharey="row",
    )
    for (budget, by_step), panels in zip(rows, grid, strict=True):
        chosen = (cells["budget"] == budget) & (cells["part"].isin(PARTS) != by_step)
        row, spread = cells[chosen], cells["mean_sd"].fillna(0)
        ends = np.array([row["mean"] - spread[chosen], row["mean"] + spread[chosen]])
        panels[0].set_ylim(*draw.difference_limits(ends))
        for axes, ratio in zip(panels, ratios, strict=True):
            axes.axhline(0, color="black", linewidth=0.7, zorder=1)
            (_curves if by_step else _points)(axes, row[row["prune_ratio"] == ratio], shown)
    places = content.count_in_words(cells["places"], "place")
    caption = (
        "Difference in test MAE from full training of the same seed, in % of its own; above 0 is"
        f" worse. Mean over {places} (data sets with backbones) that have the step or part, then"
        f" over {content.seed_count(results.aggregate)}, with one standard deviation over seeds."
        " Incident: windows with a simulated incident; least stationary: the tenth of the windows"
        f" with the largest mean change from step to step. {draw.LEAVE}"
    )
    return draw.Drawing(figure, " ".join([caption, *left_out]))


def harm(results: Results) -> pd.DataFrame:
    """Paired differences from full training, averaged over places first, then over seeds.

    One row per ``CELL``, of which ``part`` is ``all`` test windows, a group of them, or a step
    ahead, ``1`` for the first: ``mean`` in % of full training's; ``mean_sd`` over the seeds;
    ``places``, how many.
    """
    # Tasks have horizons of their own.
    ahead = [
        {str(step): mae for step, mae in enumerate(record.test.mae_per_horizon, start=1)}
        for record in results.records.values()
    ]
    steps = pd.DataFrame(ahead, results.summary.index, dtype="float64")
    columns = ["test_mae", *(f"test_mae_{group}" for group in GROUPS), *steps.columns]
    pairs = differences_from(results.summary.join(steps), REFERENCE, columns)
    pairs["part"] = pairs["metric"].str.removeprefix("test_mae_").replace("test_mae", "all")
    by_seed = pairs.groupby([*CELL, "seed"])["difference"].agg(["mean", "size"]).reset_index()
    cells = by_seed.groupby(CELL)
    return cells.agg(
        mean=("mean", "mean"), mean_sd=("mean", "std"), places=("size", "max")
    ).reset_index()


def _curves(axes: Axes, cells: pd.DataFrame, shown: dict[str, draw.Look]) -> None:
    for pruner, look in shown.items():
        points = cells[cells["pruner"] == pruner].set_index("part")
        points = points.set_index(points.index.astype(int)).sort_index()
        mean, spread = points["mean"], points["mean_sd"]
        draw.band(axes, points.index, mean, mean - spread, mean + spread, look)
    axes.set_xlabel("Step ahead")


def _points(axes: Axes, cells: pd.DataFrame, shown: dict[str, draw.Look]) -> None:
    asides = dict(zip(shown, draw.asides(len(shown), SPREAD), strict=True))
    at = cells["part"].map(PARTS.index) + cells["pruner"].map(asides)
    marks = {name: replace(look, line="") for name, look in shown.items()}
    draw.lines(axes, cells.assign(at=at), "at", "mean", marks)
    axes.set_xticks(range(len(PARTS)), [part.replace("_", " ") for part in PARTS], rotation=90)
    axes.set_xlim(-0.5, len(PARTS) - 0.5)
    axes.set_xlabel("Part of the test set")
