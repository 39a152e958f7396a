"""Harm: how much worse than full training, by step ahead, hour and part of the test set."""

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stprune.paper import content, draw
from stprune.records.run import HOUR
from stprune.records.store import GROUPS, REFERENCE
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import differences_from

TITLE = "Harm by step ahead, by hour and by part of the test set"
PARTS = ["all", *GROUPS]
KINDS = STEP, OF_DAY, PART = ("Step ahead", "Hour of the day", "Part of the test set")
# How far the pruners of a part lie apart, as a share of the room between two parts.
SPREAD = 0.6
CELL = ["budget", "pruner", "prune_ratio", "part"]


def applies(results: Results) -> bool:
    """Whether there is full training, and a pruned run of the same seed to compare with it."""
    return not differences_from(results.summary, REFERENCE).empty


def build(results: Results) -> draw.Drawing:
    """A row of panels per budget for each of `KINDS` that is known; a column per prune ratio."""
    pruners = set(results.summary["pruner"]) - {REFERENCE}
    names, left_out = content.shown_pruners(results, pruners, content.MOST_CURVES - 1)
    shown = draw.looks(names)
    cells = harm(results)
    cells = cells[cells["pruner"].isin(names)]
    budgets, ratios = (sorted(cells[key].unique()) for key in ("budget", "prune_ratio"))
    hour = cells["part"].str.startswith(HOUR)
    cells["kind"] = np.select([cells["part"].isin(PARTS), hour], [PART, OF_DAY], STEP)
    rows = [(budget, kind) for budget in budgets for kind in KINDS if kind in set(cells["kind"])]
    figure, grid = draw.panels(
        [f"Harm (%)\nEqual {label(budget).lower()}" for budget, _ in rows],
        content.ratio_names(ratios),
        1.9,
        legend=draw.entries(shown),
        sharex="row",
        sharey="row",
    )
    for (budget, kind), panels in zip(rows, grid, strict=True):
        chosen = (cells["budget"] == budget) & (cells["kind"] == kind)
        row, spread = cells[chosen], cells["mean_sd"].fillna(0)
        ends = np.array([row["mean"] - spread[chosen], row["mean"] + spread[chosen]])
        panels[0].set_ylim(*draw.difference_limits(ends))
        for axes, ratio in zip(panels, ratios, strict=True):
            axes.axhline(0, color="black", linewidth=0.7, zorder=1)
            draw_kind = _points if kind == PART else _curves
            draw_kind(axes, row[row["prune_ratio"] == ratio], shown)
            axes.set_xlabel(kind)
    places = content.count_in_words(cells["places"], "place")
    caption = (
        "Difference in test MAE from full training of the same seed, in % of its own; above 0 is"
        f" worse. Mean over {places} (data sets with backbones) that have the step, part or hour"
        f" (of the first target), then over {content.seed_count(results.aggregate)}, with one"
        " standard deviation over seeds."
        " Incident: windows with a simulated incident; least stationary: the tenth of the windows"
        f" with the largest mean change from step to step. {draw.LEAVE}"
    )
    return draw.Drawing(figure, " ".join([caption, *left_out]))


def harm(results: Results) -> pd.DataFrame:
    """Paired differences from full training, averaged over places first, then over seeds.

    One row per ``CELL``, of which ``part`` is ``all`` test windows, a group of them, `hour_0` to
    `hour_23` among these, or a step ahead, ``1`` for the first: ``mean`` in % of full training's;
    ``mean_sd`` over the seeds; ``places``, how many.
    """
    # Tasks have horizons of their own.
    more = [
        {str(step): mae for step, mae in enumerate(record.test.mae_per_horizon, start=1)}
        | {name: mae for name, mae in record.test_groups.items() if name.startswith(HOUR)}
        for record in results.records.values()
    ]
    extra = pd.DataFrame(more, results.summary.index, dtype="float64")
    columns = ["test_mae", *(f"test_mae_{group}" for group in GROUPS), *extra.columns]
    pairs = differences_from(results.summary.join(extra), REFERENCE, columns)
    pairs["part"] = pairs["metric"].str.removeprefix("test_mae_").replace("test_mae", "all")
    by_seed = pairs.groupby([*CELL, "seed"])["difference"].agg(["mean", "size"]).reset_index()
    cells = by_seed.groupby(CELL)
    return cells.agg(
        mean=("mean", "mean"), mean_sd=("mean", "std"), places=("size", "max")
    ).reset_index()


def _curves(axes: Axes, cells: pd.DataFrame, shown: dict[str, draw.Look]) -> None:
    for pruner, look in shown.items():
        points = cells[cells["pruner"] == pruner].set_index("part")
        points = points.set_index(points.index.str.removeprefix(HOUR).astype(int)).sort_index()
        mean, spread = points["mean"], points["mean_sd"]
        draw.band(axes, points.index, mean, mean - spread, mean + spread, look)


def _points(axes: Axes, cells: pd.DataFrame, shown: dict[str, draw.Look]) -> None:
    asides = dict(zip(shown, draw.asides(len(shown), SPREAD), strict=True))
    parts = [part for part in PARTS if part in set(cells["part"])]
    at = cells["part"].map(parts.index) + cells["pruner"].map(asides)
    marks = {name: replace(look, line="") for name, look in shown.items()}
    draw.lines(axes, cells.assign(at=at), "at", "mean", marks)
    axes.set_xticks(range(len(parts)), [part.replace("_", " ") for part in parts], rotation=90)
    axes.set_xlim(-0.5, len(parts) - 0.5)
