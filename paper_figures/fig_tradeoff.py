"""Test error against training time: what each pruner pays for the time it saves."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stprune.base.layout import format_ratio
from stprune.paper.figures import (
    ROWS_HEIGHT,
    Drawing,
    absent_controls,
    draw_reference,
    places,
    row_height,
    seeds_in_words,
    that_fit,
)
from stprune.paper.looks import Look, add_legend, draw_points, legend_height, looks
from stprune.results.labels import label
from stprune.results.summary import REFERENCE, Results, mean_over_places

PLACE = ["dataset", "backbone"]
TITLE = "Test error against training time"

WIDTH = 7.0
ROW_HEIGHT = 2.5
# A point that loses more than this many times the median loss would flatten all others.
OFF_SCALE = 4.0
PALE = 0.45
# Numbers of more points off the scale than this would hide what is on it.
MOST_NUMBERS = 4


class Cost(NamedTuple):
    """A horizontal axis: the columns that it shows."""

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
    full = table.loc[table["pruner"] == REFERENCE]
    averaged = ROW_HEIGHT * len(places(table)) > ROWS_HEIGHT and not full.empty
    rows, others = that_fit(results)
    if averaged:
        table = mean_over_places(results)
        rows, others = places(table), []
    shown = looks(table["pruner"])
    height = row_height(len(rows), ROW_HEIGHT) * len(rows) + 0.6 + legend_height(len(shown))
    figure = Figure(figsize=(WIDTH, height))
    grid = figure.subplots(len(rows), len(COSTS), sharey="row", squeeze=False)
    for (dataset, backbone), panels in zip(rows, grid, strict=True):
        part = table[(table["dataset"] == dataset) & (table["backbone"] == backbone)]
        for axes, cost in zip(panels, COSTS, strict=True):
            _panel(axes, part, cost, shown)
        place = f"{dataset}, {backbone if averaged else label(backbone)}"
        panels[0].set_title(place.replace("_", " ") if averaged else place, fontweight="bold")
        panels[0].set_ylabel("Change in test MAE (%)" if averaged else _error_label(part))
    add_legend(figure, shown)
    spread = _spread_of_means(table) if averaged else _spread(table)
    caption = " ".join([spread, _caption(table), *others])
    return Drawing(figure, caption, _alt(table, rows))


def _panel(axes: Axes, part: pd.DataFrame, cost: Cost, shown: dict[str, Look]) -> None:
    full = part[part["pruner"] == REFERENCE]
    draw_reference(axes, full)
    relative = not full.empty
    limit = _error_limit(part)
    for pruner, points in part.groupby("pruner"):
        _line(axes, points, cost, relative, shown[str(pruner)])
    axes.set_xlabel(f"{cost.title} (% of full training)" if relative else f"{cost.title} (s)")
    axes.margins(x=0.05, y=0.10)
    axes.set_xlim(left=0)
    if part["test_mae"].gt(limit).any():
        _arrows(
            axes, part[part["test_mae"] > limit], cost.percent if relative else cost.seconds, shown
        )
        axes.set_ylim(top=limit)
        lowest = (part["test_mae"] - part["test_mae_sd"].fillna(0)).min()
        axes.set_ylim(bottom=lowest - 0.1 * (limit - lowest))


def _line(axes: Axes, points: pd.DataFrame, cost: Cost, relative: bool, look: Look) -> None:
    x = cost.percent if relative else cost.seconds
    points = points.sort_values("prune_ratio")
    if cost.percent == "epoch_percent" and _whole_epochs(points).all():
        # Its points stand one above the other, where a line would say nothing.
        look = replace(look, line="")
    x_spread = points[f"{x}_sd"] if relative else None
    drawn = draw_points(axes, points[x], points["test_mae"], look, x_spread, points["test_mae_sd"])
    # Paler than the lines that they belong to: many of them lie on each other.
    for bars in (*drawn.lines[1], *drawn.lines[2]):
        bars.set_alpha(PALE)


def _error_limit(part: pd.DataFrame) -> float:
    """Largest error that the axis shows; infinite where all points fit."""
    full = part.loc[part["pruner"] == REFERENCE, "test_mae"]
    rivals = part.loc[part["pruner"] != REFERENCE, "test_mae"]
    best = full.iloc[0] if len(full) else rivals.min()
    typical = (rivals - best).median()
    limit = best + OFF_SCALE * typical
    return float(limit) if typical > 0 and rivals.gt(limit).any() else np.inf


def _arrows(axes: Axes, points: pd.DataFrame, x: str, shown: dict[str, Look]) -> None:
    """Points above the axis: an arrow at its edge, and the error that it stands for if few."""
    numbered = len(points) <= MOST_NUMBERS
    width = axes.get_xlim()[1]
    last, level = -np.inf, 0
    for _, point in points.sort_values(x).iterrows():
        # Neighbours' numbers would overlap: the second stands lower.
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
    """Rows whose every epoch is a full one: their saving is in the number of epochs."""
    return (points["realised_keep_ratio"] >= 1) & (points["prune_ratio"] > 0)


def _error_label(part: pd.DataFrame) -> str:
    unit = part["target_unit"].iloc[0]
    return "Test MAE" if pd.isna(unit) else f"Test MAE ({unit})"


def _spread(table: pd.DataFrame) -> str:
    if table["seeds"].max() == 1:
        return "One seed, so no spread is known."
    return f"Mean over {seeds_in_words(table)}; bars and the grey band: one standard deviation."


def _spread_of_means(table: pd.DataFrame) -> str:
    words = (
        f"Change against full training of the same data set and backbone, {seeds_in_words(table)};"
        " mean and one standard deviation over data sets and backbones."
    )
    if table.groupby("budget")["places"].nunique().gt(1).any():
        words += " Not everything was run with all of them, so some points are means of fewer."
    return words


def _caption(table: pd.DataFrame) -> str:
    pruned = table[table["pruner"] != REFERENCE]
    ratios = ", ".join(format_ratio(r) for r in sorted(pruned["prune_ratio"].unique()))
    parts = [f"Each line joins a pruner's prune ratios in order: {ratios}."]
    whole = sorted(pruned.loc[_whole_epochs(pruned), "pruner"].unique())
    if whole:
        names = " and ".join(label(name) for name in whole)
        parts.append(
            f"Every epoch of {names} is a full one: what it saves is seen on the right, not in the"
            " time of an epoch on the left."
        )
    if any((p["test_mae"] > _error_limit(p)).any() for _, p in table.groupby(PLACE)):
        parts.append(
            "Arrows: errors off the scale, with their values where they are few; all are in the"
            " main table."
        )
    return " ".join([*parts, *absent_controls(table["pruner"])])


def _alt(table: pd.DataFrame, rows: list[tuple[str, str]]) -> str:
    where = "; ".join(f"{dataset} with {label(backbone)}" for dataset, backbone in rows)
    names = ", ".join(label(name) for name in sorted(table["pruner"].unique()))
    return (
        f"Test mean absolute error against per-epoch time (left) and total time (right) of"
        f" {names}; one row of panels each for {where}. The numbers are in the main table."
    )
