"""Convergence: validation error against wall clock, and when it is about full training's."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stprune.paper import content, draw
from stprune.records.store import KEYS, REFERENCE
from stprune.results.labels import timing_notes
from stprune.results.summary import Results
from stprune.statistics.paired import MARGIN
from stprune.statistics.time_to_accuracy import times_to_goal

TITLE = "Convergence against wall clock"
# A panel ends at full training's best times this.
FAR = 2.0


def build(results: Results) -> draw.Drawing:
    """One row of panels per data set and backbone, one panel per prune ratio."""
    names, left_out = content.shown_pruners(results)
    rows, others = content.shown_places(results)
    table = results.aggregate[results.aggregate["pruner"].isin(names)]
    epochs, axis = results.epochs, "Elapsed time (s)"
    if epochs["elapsed_seconds"].isna().any():
        steps, axis = epochs.groupby(KEYS)["gradient_steps"].cumsum(), "Gradient steps"
        epochs = epochs.assign(elapsed_seconds=steps)
    epochs = epochs[epochs["pruner"].isin(names)]
    curves, goals = mean_curves(epochs), times_to_goal(epochs)
    ratios, shown = content.ratios(table), draw.looks(names)
    figure, grid = draw.panels(
        content.row_names(rows),
        content.ratio_names(ratios),
        1.45,
        xlabel=axis,
        legend=draw.entries(shown),
        sharex="row",
        sharey="row",
    )
    figure.supylabel("Validation MAE")
    for place, panels in zip(rows, grid, strict=True):
        part, reached = content.at_place(curves, place), content.at_place(goals, place)
        best = part.loc[part["pruner"] == REFERENCE, "mae"].min()
        panels[0].set_ylim(0.95 * part["low"].min(), np.fmin(1.05 * part["high"].max(), FAR * best))
        for axes, ratio in zip(panels, ratios, strict=True):
            _panel(axes, content.at_ratio(part, ratio), content.at_ratio(reached, ratio), shown)
    caption = (
        f"Mean validation MAE over {content.seed_count(table)} against the mean time until then,"
        " all overhead included; bands from the lowest seed to the highest, errors on a logarithmic"
        f" axis. Dotted: {MARGIN:g} % above the mean of full training's lowest; markers on it:"
        f" mean time until then, where every seed got there. {draw.LEAVE}"
    )
    notes = timing_notes(table["timing"], drawn=True)
    return draw.Drawing(figure, " ".join([caption, *notes, *left_out, *others]))


def mean_curves(epochs: pd.DataFrame) -> pd.DataFrame:
    """Mean ``seconds`` and validation ``mae``, and its ends over seeds (`content.over_seeds`)."""
    return content.over_seeds(
        epochs.dropna(subset="validation_mae"),
        seconds=("elapsed_seconds", "mean"),
        mae=("validation_mae", "mean"),
        low=("validation_mae", "min"),
        high=("validation_mae", "max"),
    )


def _panel(
    axes: Axes, curves: pd.DataFrame, reached: pd.DataFrame, shown: dict[str, draw.Look]
) -> None:
    for pruner, curve in curves.groupby("pruner"):
        middle, low, high = (curve[name] for name in ("mae", "low", "high"))
        draw.band(axes, curve["seconds"], middle, low, high, shown[str(pruner)])
    axes.set_xlim(left=0)
    draw.log_axis(axes)
    for goal in reached["goal"].unique():
        axes.axhline(goal, color="black", linewidth=0.5, linestyle=":", zorder=1)
    style: dict[str, Any] = {"markersize": 5, "markeredgecolor": "black", "zorder": 4}
    for pruner, runs in reached.groupby("pruner"):
        look, at = shown[str(pruner)], [runs["seconds"].mean()]
        if runs["reached"].all():
            axes.plot(at, runs["goal"].iloc[:1], marker=look.marker, color=look.colour, **style)
