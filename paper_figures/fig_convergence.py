"""Convergence: validation error against wall clock, and when full training's best is reached."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.foremost import foremost
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
from stprune.paper.looks import Look, add_legend, legend_height, looks
from stprune.results.labels import label
from stprune.results.summary import KEYS, REFERENCE, Results

TITLE = "Convergence against wall clock"

WIDTH = 7.0
ROW_HEIGHT = 1.45
# Curves that stay so many times above full training's best may leave the panel at the top.
FAR = 1.5
# The largest unit in which the longest run is still at least two long.
TIME_UNITS = (("h", 3600.0), ("min", 60.0), ("s", 1.0))
CELL = KEYS[:-1]
UNIT: dict[str, Any] = {"ha": "right", "va": "top", "fontsize": 5.5, "color": "#555555"}


def build(results: Results) -> Drawing:
    """One row of panels per data set and backbone, one panel per prune ratio.

    Args:
        results: The experiment; validation MAE in the target's unit over elapsed wall clock.
    """
    names, left_out = foremost(results)
    rows, others = that_fit(results)
    table = results.aggregate
    curves = mean_curves(results.epochs[results.epochs["pruner"].isin(names)])
    pruned = table.loc[table["pruner"] != REFERENCE, "prune_ratio"]
    ratios = sorted(pruned.unique()) or [0.0]
    shown = looks(names)
    rows_height = row_height(len(rows), ROW_HEIGHT) * len(rows)
    height = rows_height + 0.6 + legend_height(len(shown))
    figure = Figure(figsize=(WIDTH, height))
    grid = figure.subplots(len(rows), len(ratios), sharex="row", sharey="row", squeeze=False)
    for axes, ratio in zip(grid[0], ratios, strict=True):
        axes.set_title(f"Prune ratio {format_ratio(ratio)}")
    units = {place: _time_unit(_of(curves, place)) for place in rows}
    common = f" ({units[rows[0]][0]})" if len(set(units.values())) == 1 else ""
    for place, panels in zip(rows, grid, strict=True):
        part = _of(curves, place)
        reached = _of(table[table["pruner"].isin(names)], place)
        unit, seconds = units[place]
        for axes, ratio in zip(panels, ratios, strict=True):
            _panel(axes, _at(part, ratio), _at(reached, ratio), seconds, shown)
        if not common:
            # In a panel, as low rows have no room for it below.
            panels[-1].text(1, 1, f"in {unit}", transform=panels[-1].transAxes, **UNIT)
        _limit(panels[0], part)
        panels[0].set_ylabel(row_name(*place), fontsize=5.5)
    for axes in grid[-1]:
        axes.set_xlabel(f"Elapsed time{common}", fontsize=7, labelpad=1)
    figure.supylabel("Validation MAE", fontsize=7)
    add_legend(figure, shown)
    cut = [not _near(_of(curves, place)).all() for place in rows]
    caption = [_caption(results, any(cut)), *left_out, *others, *absent_controls(table["pruner"])]
    return Drawing(figure, " ".join(caption), _alt(rows, names))


def mean_curves(epochs: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds at each epoch that all seeds of a cell validated after.

    Args:
        epochs: One row an epoch of every run.

    Returns:
        One row per cell and epoch, in order: the means ``seconds`` (elapsed) and ``mae``
        (validation, real units), and ``low`` and ``high``, the least and the largest of the seeds.
    """
    seeds = epochs.groupby(CELL)["seed"].nunique().rename("seeds")
    points = epochs.dropna(subset="validation_mae").groupby([*CELL, "epoch"])
    curves = pd.DataFrame(
        {
            "seconds": points["elapsed_seconds"].mean(),
            "mae": points["validation_mae"].mean(),
            "low": points["validation_mae"].min(),
            "high": points["validation_mae"].max(),
            "count": points.size(),
        }
    )
    curves = curves.reset_index().merge(seeds.reset_index(), on=CELL)
    # Where budgets end runs at different epochs, a mean of fewer seeds would jump.
    whole = curves[curves["count"] == curves["seeds"]]
    return whole.drop(columns=["count", "seeds"]).reset_index(drop=True)


def _of(frame: pd.DataFrame, place: tuple[str, str]) -> pd.DataFrame:
    return frame[(frame["dataset"] == place[0]) & (frame["backbone"] == place[1])]


def _at(frame: pd.DataFrame, ratio: float) -> pd.DataFrame:
    return frame[(frame["prune_ratio"] == ratio) | (frame["pruner"] == REFERENCE)]


def _panel(
    axes: Axes,
    curves: pd.DataFrame,
    reached: pd.DataFrame,
    seconds: float,
    shown: dict[str, Look],
) -> None:
    full = curves.loc[curves["pruner"] == REFERENCE, "mae"]
    for pruner, curve in curves.groupby("pruner"):
        look, time = shown[str(pruner)], curve["seconds"] / seconds
        axes.plot(
            time,
            curve["mae"],
            color=look.colour,
            linestyle=look.line,
            linewidth=0.9,
            # One marker, where the curve ends: colours and line styles repeat sooner.
            marker=look.marker,
            markevery=[-1],
            markersize=2.8,
        )
        axes.fill_between(
            time, curve["low"], curve["high"], color=look.colour, alpha=0.15, linewidth=0
        )
    axes.set_xlim(left=0)
    plain_log_axis(axes)
    axes.tick_params(labelsize=6)
    if full.empty:
        return
    axes.axhline(full.min(), color="black", linewidth=0.5, linestyle=":", zorder=1)
    for _, row in reached[reached["reached"] == reached["seeds"]].iterrows():
        look = shown[row["pruner"]]
        axes.plot(
            [row["time_to_full_seconds"] / seconds],
            [full.min()],
            marker=look.marker,
            color=look.colour,
            markersize=5,
            markeredgecolor="black",
            markeredgewidth=0.6,
            zorder=4,
        )


def _limit(axes: Axes, curves: pd.DataFrame) -> None:
    """Leave to the curves that come near full training's best the height that they need."""
    full = curves.loc[curves["pruner"] == REFERENCE, "mae"]
    near = _near(curves)
    if full.empty or near.all():
        return
    low, high = curves["low"].min(), curves.loc[near, "high"].max()
    axes.set_ylim(low / (high / low) ** 0.05, high * (high / low) ** 0.05)


def _near(curves: pd.DataFrame) -> pd.Series[bool]:
    """Rows of curves whose lowest error is within ``FAR`` times that of full training."""
    best = curves.loc[curves["pruner"] == REFERENCE, "mae"].min()
    lowest = curves.groupby(["pruner", "prune_ratio"])["mae"].transform("min")
    near: pd.Series[bool] = lowest <= FAR * best
    return near


def _time_unit(part: pd.DataFrame) -> tuple[str, float]:
    longest = part["seconds"].max()
    return next(((name, size) for name, size in TIME_UNITS if longest >= 2 * size), TIME_UNITS[-1])


def _caption(results: Results, cut: bool) -> str:
    parts = [
        f"Mean validation MAE over {seeds_in_words(results.aggregate)} after each epoch, against"
        " the mean time until then (preparation, scoring, selection, validation and checkpoints"
        " included); bands from the lowest seed to the highest. Both in the target's unit, error"
        " on a logarithmic axis; epochs that not all seeds had are left out."
    ]
    if REFERENCE in set(results.aggregate["pruner"]):
        parts.append(
            "Full training is drawn in every panel; dotted: its lowest mean. Large markers with"
            " an edge on that line: mean time to full training's best of the same seed, where every"
            " seed reached it."
        )
    if cut:
        parts.append(
            f"Curves that stay {100 * (FAR - 1):.0f} % above that line, or more, may leave a panel"
            " at the top."
        )
    return " ".join(parts)


def _alt(rows: list[tuple[str, str]], names: list[str]) -> str:
    where = "; ".join(f"{dataset} with {label(backbone)}" for dataset, backbone in rows)
    return (
        f"Mean validation error against elapsed time for {where}; one panel per prune ratio, one"
        f" line each for {', '.join(label(name) for name in names)}. The times are in the table of"
        " hidden errors."
    )
