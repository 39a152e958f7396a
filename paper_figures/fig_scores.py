"""How the scores that pruners choose by are distributed, from epoch to epoch."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from paper_figures.foremost import METHOD
from paper_figures.log_axis import plain_log_axis
from stprune.base.layout import format_ratio
from stprune.paper.figures import (
    Drawing,
    absent_controls,
    row_height,
    row_name,
    seeds_in_words,
    that_fit,
)
from stprune.paper.heat_map import empty_figure
from stprune.paper.looks import LEGEND_LINE, looks
from stprune.results.labels import label
from stprune.results.summary import Results

TITLE = "Scores from epoch to epoch"

WIDTH = 7.0
ROW_HEIGHT = 1.25
MOST_COLUMNS = 4
# Deciles at the edges of the bands, and how dark they are.
BANDS = (("decile_1", "decile_9", 0.2), ("decile_3", "decile_7", 0.3))
MEDIAN = "decile_5"
DECILES = ("decile_1", "decile_3", MEDIAN, "decile_7", "decile_9")
X, Y = "Epoch", "Score"
NOTHING = "No pruner of this experiment keeps scores from epoch to epoch, or no archive is left."


def applies(results: Results) -> bool:
    """Whether an archive holds scores."""
    return not results.kept.deciles.empty


def build(results: Results) -> Drawing:
    """One row of panels per data set and backbone, one column per pruner, at the largest ratio.

    Args:
        results: The experiment, with what its archives say; scores in the pruner's own unit.
    """
    absent = absent_controls(results.aggregate["pruner"])
    seeds = seeds_in_words(results.aggregate)
    deciles = results.kept.deciles
    if deciles.empty:
        every = ", ".join(label(name) for name in sorted(results.summary["pruner"].unique()))
        caption = " ".join([f"{NOTHING} Experiment of {seeds}.", *absent])
        alt = f"An empty panel. {NOTHING} Pruners: {every}."
        return Drawing(empty_figure(WIDTH, NOTHING, X, Y), caption, alt)
    ratio = float(deciles["prune_ratio"].max())
    curves = mean_deciles(deciles[deciles["prune_ratio"] == ratio])
    names = sorted(curves["pruner"].unique(), key=lambda name: (name != METHOD, label(name)))
    shown, hidden = names[:MOST_COLUMNS], names[MOST_COLUMNS:]
    rows, others = that_fit(results)
    figure = _draw(curves, rows, shown)
    caption = (
        f"Scores of all training windows that have one, after each epoch, at prune ratio"
        f" {format_ratio(ratio)}; deciles, each the mean over {seeds}. A window that an epoch"
        " leaves out keeps the score that it had. Scores are in a unit of the pruner's own, on a"
        " logarithmic axis where all are above 0: shapes and trends can be compared, levels not."
    )
    also = [f"Not shown, for want of room: {', '.join(map(label, hidden))}."] if hidden else []
    alt = (
        f"Bands between deciles of the scores against the epoch, one column each for"
        f" {', '.join(label(name) for name in shown)}; one row each for"
        f" {'; '.join(f'{dataset} with {label(backbone)}' for dataset, backbone in rows)}."
    )
    return Drawing(figure, " ".join([caption, *also, *others, *absent]), alt)


def mean_deciles(deciles: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds, at each epoch that all seeds of a cell have scores of.

    Args:
        deciles: Rows of ``Results.kept.deciles``.

    Returns:
        One row per cell and epoch: the means of ``DECILES``.
    """
    cell = ["dataset", "backbone", "pruner", "prune_ratio"]
    seeds = deciles.groupby(cell)["seed"].transform("nunique")
    points = deciles.assign(seeds=seeds).groupby([*cell, "epoch"])
    means = points[[*DECILES, "seeds"]].mean().assign(count=points.size()).reset_index()
    whole = means[means["count"] == means["seeds"]]
    return whole.drop(columns=["count", "seeds"]).reset_index(drop=True)


def _draw(curves: pd.DataFrame, rows: list[tuple[str, str]], names: list[str]) -> Figure:
    height = row_height(len(rows), ROW_HEIGHT) * len(rows) + 0.5 + 2 * LEGEND_LINE
    figure = Figure(figsize=(WIDTH, height))
    grid = figure.subplots(len(rows), len(names), squeeze=False)
    colours = {name: look.colour for name, look in looks(names).items()}
    for (dataset, backbone), panels in zip(rows, grid, strict=True):
        place = curves[(curves["dataset"] == dataset) & (curves["backbone"] == backbone)]
        for axes, name in zip(panels, names, strict=True):
            _panel(axes, place[place["pruner"] == name].sort_values("epoch"), colours[name])
        panels[0].set_ylabel(row_name(dataset, backbone), fontsize=5.5)
    for axes in grid[-1]:
        axes.set_xlabel(X, fontsize=7, labelpad=1)
    figure.supylabel(Y, fontsize=7)
    for axes, name in zip(grid[0], names, strict=True):
        axes.set_title(label(name))
    figure.legend(handles=_handles(), loc="outside upper center", ncols=3)
    return figure


def _panel(axes: Axes, points: pd.DataFrame, colour: str) -> None:
    epochs = points["epoch"].to_numpy(dtype=np.float64) + 1
    for low, high, shade in BANDS:
        lowest, highest = (points[name].to_numpy(dtype=np.float64) for name in (low, high))
        axes.fill_between(epochs, lowest, highest, color=colour, alpha=shade, linewidth=0)
    axes.plot(epochs, points[MEDIAN], color=colour, linewidth=1.0)
    if not points.empty and (points[list(DECILES)] > 0).all(axis=None):
        plain_log_axis(axes)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.tick_params(which="both", labelsize=5.5)


def _handles() -> list[Patch | Line2D]:
    return [
        Line2D([], [], color="#555555", label="median"),
        Patch(color="#555555", alpha=0.5, label="30 to 70 %"),
        Patch(color="#555555", alpha=0.2, label="10 to 90 %"),
    ]
