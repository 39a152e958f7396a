"""How the scores that pruners choose by are distributed, from epoch to epoch."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from stprune.base.layout import format_ratio
from stprune.paper import content, draw
from stprune.paper.figures import Drawing
from stprune.records.store import KEYS
from stprune.results.labels import label
from stprune.results.summary import Results

TITLE = "Scores from epoch to epoch"
ROW_HEIGHT = 1.25
MOST_COLUMNS = 4
# Deciles at the edges of the bands, and how dark they are.
BANDS = (("decile_1", "decile_9", 0.2), ("decile_3", "decile_7", 0.3))
MEDIAN = "decile_5"
DECILES = ("decile_1", "decile_3", MEDIAN, "decile_7", "decile_9")


def applies(results: Results) -> bool:
    """Whether a run recorded scores."""
    return not results.kept.deciles.empty


def build(results: Results) -> Drawing:
    """One row of panels per data set and backbone, one column per pruner, at the largest ratio.

    Args:
        results: The experiment; scores in the pruner's own unit.
    """
    deciles = results.kept.deciles
    ratio = float(deciles["prune_ratio"].max())
    curves = mean_deciles(deciles[deciles["prune_ratio"] == ratio])
    names = sorted(
        curves["pruner"].unique(), key=lambda name: (name != content.METHOD, label(name))
    )
    names, hidden = names[:MOST_COLUMNS], names[MOST_COLUMNS:]
    rows, others = content.shown_places(results)
    height = draw.row_height(len(rows), ROW_HEIGHT) * len(rows) + 0.5 + 2 * draw.LEGEND_LINE
    figure, grid = draw.grid(len(rows), len(names), height=height)
    colours = {name: look.colour for name, look in draw.looks(names).items()}
    for place, panels in zip(rows, grid, strict=True):
        part = content.at_place(curves, place)
        for axes, name in zip(panels, names, strict=True):
            _panel(axes, part[part["pruner"] == name].sort_values("epoch"), colours[name])
        panels[0].set_ylabel(draw.row_name(*place), fontsize=5.5)
    for axes in grid[-1]:
        axes.set_xlabel("Epoch", fontsize=7, labelpad=1)
    figure.supylabel("Score", fontsize=7)
    for axes, name in zip(grid[0], names, strict=True):
        axes.set_title(label(name))
    handles = [
        draw.handle("median", color="#555555"),
        Patch(color="#555555", alpha=0.5, label="30 to 70 %"),
        Patch(color="#555555", alpha=0.2, label="10 to 90 %"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    caption = (
        f"Deciles of the scores of all training windows after each epoch, at prune ratio"
        f" {format_ratio(ratio)}; mean over {content.seed_count(results.aggregate)}. Each pruner"
        " has its own unit, so shapes and trends can be compared, levels not."
    )
    alt = (
        f"Bands between deciles of the scores against the epoch, one column each for"
        f" {content.labels(names)}; one row each for {content.place_names(rows)}."
    )
    return Drawing(
        figure, " ".join([caption, *content.not_shown(content.labels(hidden)), *others]), alt
    )


def mean_deciles(deciles: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds, at each epoch that all seeds of a cell have scores of.

    Args:
        deciles: Rows of ``Results.kept.deciles``.

    Returns:
        One row per cell and epoch: the means of ``DECILES``.
    """
    cell = KEYS[:-1]
    seeds = deciles.groupby(cell)["seed"].transform("nunique")
    points = deciles.assign(seeds=seeds).groupby([*cell, "epoch"])
    means = points[[*DECILES, "seeds"]].mean().assign(count=points.size()).reset_index()
    whole = means[means["count"] == means["seeds"]]
    return whole.drop(columns=["count", "seeds"]).reset_index(drop=True)


def _panel(axes: Axes, points: pd.DataFrame, colour: str) -> None:
    epochs = points["epoch"].to_numpy(dtype=np.float64) + 1
    for low, high, shade in BANDS:
        lowest, highest = (points[name].to_numpy(dtype=np.float64) for name in (low, high))
        axes.fill_between(epochs, lowest, highest, color=colour, alpha=shade, linewidth=0)
    axes.plot(epochs, points[MEDIAN], color=colour, linewidth=1.0)
    if not points.empty and (points[list(DECILES)] > 0).all(axis=None):
        draw.log_axis(axes)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.tick_params(which="both", labelsize=5.5)
