"""Test error against training time: what each pruner pays for the time it saves."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stprune.base.layout import format_ratio
from stprune.paper import content, draw
from stprune.paper.figures import Drawing
from stprune.records.store import REFERENCE
from stprune.results.labels import label
from stprune.results.summary import Results, mean_over_places

TITLE = "Test error against training time"
ROW_HEIGHT = 2.5
# A point that loses more than this many times the median loss would flatten all others.
OFF_SCALE = 4.0
PALE = 0.45
# Numbers of more points off the scale than this would hide what is on it.
MOST_NUMBERS = 4


class Cost(NamedTuple):
    """A horizontal axis: the columns that it shows, and its title."""

    percent: str
    seconds: str
    title: str


COSTS = (
    Cost("epoch_percent", "epoch_seconds", "Per-epoch time"),
    Cost("total_percent", "total_seconds", "Total time"),
)


def build(results: Results) -> Drawing:
    """One row of two panels per data set and backbone: per-epoch time left, total time right.

    More of them than fit a page are averaged, one row per budget.

    Args:
        results: The experiment; test MAE in the target's unit, times in % of full training's, or
            in seconds where full training was not run.
    """
    table = results.aggregate
    has_full = REFERENCE in set(table["pruner"])
    averaged = ROW_HEIGHT * len(content.places(table)) > draw.ROWS_HEIGHT and has_full
    rows, others = content.shown_places(results)
    if averaged:
        table = mean_over_places(results)
        rows, others = content.places(table), []
    shown = draw.looks(table["pruner"])
    height = (
        draw.row_height(len(rows), ROW_HEIGHT) * len(rows) + 0.6 + draw.legend_height(len(shown))
    )
    figure, grid = draw.grid(len(rows), len(COSTS), sharey="row", height=height)
    for (dataset, backbone), panels in zip(rows, grid, strict=True):
        part = content.at_place(table, (dataset, backbone))
        for axes, cost in zip(panels, COSTS, strict=True):
            _panel(axes, part, cost, shown)
        place = f"{dataset}, {backbone if averaged else label(backbone)}"
        panels[0].set_title(place.replace("_", " ") if averaged else place, fontweight="bold")
        error = (
            "Change in test MAE (%)"
            if averaged
            else content.with_unit("Test MAE", part["target_unit"])
        )
        panels[0].set_ylabel(error)
    draw.legend(figure, shown)
    alt = (
        f"Test MAE against per-epoch time (left) and total time (right) of {content.labels(shown)};"
        f" one row of panels each for {content.place_names(rows)}."
    )
    return Drawing(figure, " ".join([_caption(table, averaged), *others]), alt)


def _caption(table: pd.DataFrame, averaged: bool) -> str:
    pruned = table[table["pruner"] != REFERENCE]
    seeds = content.seed_count(table)
    ratios = ", ".join(format_ratio(r) for r in sorted(pruned["prune_ratio"].unique()))
    if averaged:
        caption = (
            f"Change against full training, {seeds}; mean and one standard deviation over data sets"
            " and backbones (of fewer where not everything was run)."
        )
    elif table["seeds"].max() == 1:
        caption = "One seed, so no spread is known."
    else:
        caption = f"Mean over {seeds}; bars and the grey band: one standard deviation."
    caption += f" Each line joins a pruner's prune ratios in order: {ratios}."
    whole = sorted(pruned.loc[_whole_epochs(pruned), "pruner"].unique())
    if whole:
        caption += (
            f" {content.labels(whole)}: all epochs are full ones, so only total time is saved."
        )
    if any(
        (part["test_mae"] > _error_limit(part)).any() for _, part in table.groupby(content.PLACE)
    ):
        caption += " Arrows: errors off the scale."
    return caption


def _panel(axes: Axes, part: pd.DataFrame, cost: Cost, shown: dict[str, draw.Look]) -> None:
    full = part[part["pruner"] == REFERENCE]
    draw.reference(axes, full)
    relative = not full.empty
    x = cost.percent if relative else cost.seconds
    limit = _error_limit(part)
    for pruner, points in part.groupby("pruner"):
        look, points = shown[str(pruner)], points.sort_values("prune_ratio")
        if cost.percent == "epoch_percent" and _whole_epochs(points).all():
            # These points stand one above the other, where a line would say nothing.
            look = replace(look, line="")
        spread = points[f"{x}_sd"] if relative else None
        drawn = draw.points(
            axes, points[x], points["test_mae"], look, spread, points["test_mae_sd"]
        )
        # Bars are paler than lines, as many of them lie on each other.
        for bars in (*drawn.lines[1], *drawn.lines[2]):
            bars.set_alpha(PALE)
    axes.set_xlabel(f"{cost.title} ({'% of full training' if relative else 's'})")
    axes.margins(x=0.05, y=0.10)
    axes.set_xlim(left=0)
    if part["test_mae"].gt(limit).any():
        _arrows(axes, part[part["test_mae"] > limit], x, shown)
        axes.set_ylim(top=limit)
        lowest = (part["test_mae"] - part["test_mae_sd"].fillna(0)).min()
        axes.set_ylim(bottom=lowest - 0.1 * (limit - lowest))


def _error_limit(part: pd.DataFrame) -> float:
    """Largest error that the axis shows; infinite where all points fit."""
    full = part.loc[part["pruner"] == REFERENCE, "test_mae"]
    rivals = part.loc[part["pruner"] != REFERENCE, "test_mae"]
    best = full.iloc[0] if len(full) else rivals.min()
    typical = (rivals - best).median()
    limit = best + OFF_SCALE * typical
    return float(limit) if typical > 0 and rivals.gt(limit).any() else np.inf


def _arrows(axes: Axes, points: pd.DataFrame, x: str, shown: dict[str, draw.Look]) -> None:
    """Points above the axis: an arrow at its edge, and the error that it stands for if few."""
    numbered = len(points) <= MOST_NUMBERS
    width = axes.get_xlim()[1]
    last, level = -np.inf, 0
    for _, point in points.sort_values(x).iterrows():
        # The numbers of close neighbours would overlap, so the second stands lower.
        level = level + 1 if point[x] - last < 0.08 * width else 0
        last = point[x]
        look = shown[str(point["pruner"])]
        axes.annotate(
            f"{point['test_mae']:.3g}" if numbered else "",
            xy=(point[x], 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, -13 - 9 * level if numbered else -9),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize="x-small",
            color=look.colour,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
            zorder=5,
            arrowprops={"arrowstyle": "-|>", "color": look.colour, "shrinkA": 0, "shrinkB": 0},
        )


def _whole_epochs(points: pd.DataFrame) -> pd.Series[bool]:
    """Rows whose every epoch is a full one: what they save is the number of epochs."""
    return (points["realised_keep_ratio"] >= 1) & (points["prune_ratio"] > 0)
