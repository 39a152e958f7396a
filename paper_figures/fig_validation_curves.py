"""Validation error while training goes on: one line a run, one panel a prune ratio."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from stprune.figures import Drawing, absent_controls, seeds_in_words, that_fit
from stprune.layout import format_ratio
from stprune.looks import Look, add_legend, legend_height, looks
from stprune.summary import REFERENCE, Results
from stprune.tables import label

TITLE = "Validation error while training"

ROW_HEIGHT = 1.9
# The largest unit in which the longest run is still at least two long.
TIME_UNITS = (("h", 3600.0), ("min", 60.0), ("s", 1.0))


def build(results: Results) -> Drawing:
    """One row of panels per data set and backbone, one panel per prune ratio.

    Args:
        results: The experiment; validation MAE in the target's unit over elapsed wall clock.
    """
    curves = results.epochs.dropna(subset="validation_mae")
    pruned = results.aggregate.loc[results.aggregate["pruner"] != REFERENCE, "prune_ratio"]
    ratios = sorted(pruned.unique()) or [0.0]
    rows, others = that_fit(results)
    shown = looks(results.aggregate["pruner"])
    height = ROW_HEIGHT * len(rows) + 0.6 + legend_height(len(shown))
    figure = Figure(figsize=(max(7.0, 1.6 * len(ratios)), height))
    grid = figure.subplots(len(rows), len(ratios), sharex="row", sharey="row", squeeze=False)
    for (dataset, backbone), panels in zip(rows, grid, strict=True):
        part = curves[(curves["dataset"] == dataset) & (curves["backbone"] == backbone)]
        unit, seconds = _time_unit(part)
        for axes, ratio in zip(panels, ratios, strict=True):
            at_ratio = (part["prune_ratio"] == ratio) | (part["pruner"] == REFERENCE)
            _panel(axes, part[at_ratio], seconds, shown)
            axes.set_xlabel(f"Elapsed time ({unit})")
            axes.set_title(f"Prune ratio {format_ratio(ratio)}")
        panels[0].set_ylabel(f"{dataset}\n{label(backbone)}\nValidation MAE")
    add_legend(figure, shown)
    caption = [
        f"Each line is one run ({seeds_in_words(results.aggregate)}); full training is drawn in"
        " every panel; the marker is where the run ends. The vertical axis is logarithmic;"
        " MAE in the target's unit.",
        *others,
        *absent_controls(results.aggregate["pruner"]),
    ]
    return Drawing(figure, " ".join(caption), _alt(rows, shown))


def _panel(axes: Axes, part: pd.DataFrame, seconds: float, shown: dict[str, Look]) -> None:
    for (pruner, _, _), run in part.groupby(["pruner", "prune_ratio", "seed"]):
        look = shown[str(pruner)]
        axes.plot(
            run["elapsed_seconds"] / seconds,
            run["validation_mae"],
            color=look.colour,
            linestyle=look.line,
            # One marker, where the run ends: colours and line styles repeat sooner.
            marker=look.marker,
            markevery=[-1],
            markeredgecolor="white",
            markeredgewidth=0.3,
            linewidth=0.9,
            alpha=0.85,
        )
    axes.set_xlim(left=0)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())


def _time_unit(part: pd.DataFrame) -> tuple[str, float]:
    longest = part["elapsed_seconds"].max()
    return next(((name, size) for name, size in TIME_UNITS if longest >= 2 * size), TIME_UNITS[-1])


def _alt(rows: list[tuple[str, str]], shown: dict[str, Look]) -> str:
    where = "; ".join(f"{dataset} with {label(backbone)}" for dataset, backbone in rows)
    names = ", ".join(label(name) for name in shown)
    return (
        f"Validation mean absolute error against elapsed time for {where}; one panel per prune"
        f" ratio, one line per run of {names}."
    )
