"""Convergence: validation error against wall clock, and when full training's best is reached."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from stprune.base.layout import format_ratio
from stprune.paper import content, draw
from stprune.paper.figures import Drawing
from stprune.records.store import KEYS, REFERENCE
from stprune.results.summary import Results

TITLE = "Convergence against wall clock"
ROW_HEIGHT = 1.45
# Curves that stay above full training's best by this factor may leave the panel at the top.
FAR = 1.5
# The unit is the largest in which the longest run takes at least two.
TIME_UNITS = (("h", 3600.0), ("min", 60.0), ("s", 1.0))
CELL = KEYS[:-1]


def build(results: Results) -> Drawing:
    """One row of panels per data set and backbone, one panel per prune ratio.

    Args:
        results: The experiment; validation MAE in the target's unit over elapsed wall clock.
    """
    names, left_out = content.shown_pruners(results)
    rows, others = content.shown_places(results)
    table = results.aggregate
    curves = mean_curves(results.epochs[results.epochs["pruner"].isin(names)])
    ratios = sorted(set(table["prune_ratio"]) - {0.0}) or [0.0]
    shown = draw.looks(names)
    height = (
        draw.row_height(len(rows), ROW_HEIGHT) * len(rows) + 0.6 + draw.legend_height(len(shown))
    )
    figure, grid = draw.grid(len(rows), len(ratios), sharex="row", sharey="row", height=height)
    units = {place: _time_unit(content.at_place(curves, place)) for place in rows}
    common = f" ({units[rows[0]][0]})" if len(set(units.values())) == 1 else ""
    for place, panels in zip(rows, grid, strict=True):
        part = content.at_place(curves, place)
        reached = content.at_place(table[table["pruner"].isin(names)], place)
        unit, seconds = units[place]
        for axes, ratio in zip(panels, ratios, strict=True):
            _panel(axes, _at_ratio(part, ratio), _at_ratio(reached, ratio), seconds, shown)
        if not common:
            # Low rows have no room for the unit below the axis.
            style = {"ha": "right", "va": "top", "fontsize": 5.5, "color": "#555555"}
            panels[-1].text(1, 1, f"in {unit}", transform=panels[-1].transAxes, **style)
        _limit(panels[0], part)
        panels[0].set_ylabel(draw.row_name(*place), fontsize=5.5)
    for axes, ratio in zip(grid[0], ratios, strict=True):
        axes.set_title(f"Prune ratio {format_ratio(ratio)}")
    for axes in grid[-1]:
        axes.set_xlabel(f"Elapsed time{common}", fontsize=7, labelpad=1)
    figure.supylabel("Validation MAE", fontsize=7)
    draw.legend(figure, shown)
    caption = (
        f"Mean validation MAE over {content.seed_count(table)} against the mean time until then,"
        " all overhead included; bands from the lowest seed to the highest, errors on a logarithmic"
        " axis."
    )
    if REFERENCE in names:
        caption += (
            " Dotted: lowest mean of full training; large markers on it: mean time to full"
            " training's best of the same seed, where every seed reached it."
        )
    if not all(_near(content.at_place(curves, place)).all() for place in rows):
        caption += " Curves far above that line may leave a panel at the top."
    alt = (
        f"Mean validation error against elapsed time for {content.place_names(rows)}; one panel per"
        f" prune ratio, one line each for {content.labels(names)}."
    )
    return Drawing(figure, " ".join([caption, *left_out, *others]), alt)


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
    # Budgets may end seeds at different epochs; a mean of fewer seeds would jump.
    whole = curves[curves["count"] == curves["seeds"]]
    return whole.drop(columns=["count", "seeds"]).reset_index(drop=True)


def _at_ratio(frame: pd.DataFrame, ratio: float) -> pd.DataFrame:
    return frame[(frame["prune_ratio"] == ratio) | (frame["pruner"] == REFERENCE)]


def _panel(
    axes: Axes,
    curves: pd.DataFrame,
    reached: pd.DataFrame,
    seconds: float,
    shown: dict[str, draw.Look],
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
            # A marker at the end tells curves apart that share colour and line style.
            marker=look.marker,
            markevery=[-1],
            markersize=2.8,
        )
        axes.fill_between(
            time, curve["low"], curve["high"], color=look.colour, alpha=0.15, linewidth=0
        )
    axes.set_xlim(left=0)
    draw.log_axis(axes)
    axes.tick_params(labelsize=6)
    if full.empty:
        return
    axes.axhline(full.min(), color="black", linewidth=0.5, linestyle=":", zorder=1)
    for _, row in reached[reached["reached"] == reached["seeds"]].iterrows():
        axes.plot(
            [row["time_to_full_seconds"] / seconds],
            [full.min()],
            marker=shown[row["pruner"]].marker,
            color=shown[row["pruner"]].colour,
            markersize=5,
            markeredgecolor="black",
            markeredgewidth=0.6,
            zorder=4,
        )


def _limit(axes: Axes, curves: pd.DataFrame) -> None:
    """Scale the axis to the curves that come near full training's best."""
    near = _near(curves)
    if near.all() or REFERENCE not in set(curves["pruner"]):
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
