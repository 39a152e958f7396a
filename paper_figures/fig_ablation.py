"""What each entry is ahead of or behind the two controls, with intervals: a forest plot."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from paper_figures.difference_axis import DifferenceAxis, difference_axis
from stprune.base.layout import format_ratio
from stprune.paper.figures import Drawing, absent_controls, seeds_in_words
from stprune.paper.heat_map import empty_figure
from stprune.paper.looks import LEGEND_LINE, LOOKS
from stprune.paper.tables import format_number
from stprune.results.labels import label
from stprune.results.summary import REFERENCE, Results
from stprune.statistics.paired import CONTROLS, LEVEL, compare_all

TITLE = "Every entry against both controls"

WIDTH = 7.0
ROW_HEIGHT = 0.19
# How far the two controls' points of a row lie from its middle, in rows.
APART = 0.18
X, Y = "Difference in test MAE (%)", "Pruner"


def applies(results: Results) -> bool:
    """Whether a control was run, and something else to compare with it."""
    names = set(results.summary["pruner"]) - {REFERENCE}
    return not names.isdisjoint(CONTROLS) and len(names) > 1


def build(results: Results) -> Drawing:
    """One column of panels per prune ratio, one row per budget; a row of a panel is an entry.

    Args:
        results: The experiment; differences in test MAE are in percent of the control's.
    """
    absent = absent_controls(results.aggregate["pruner"])
    seeds = seeds_in_words(results.aggregate)
    compared = compare_all(results.summary).dropna(subset="prune_ratio")
    if compared.empty:
        reason = "No run that a control could be compared with."
        caption = " ".join([f"{reason} Experiment of {seeds}.", *absent])
        return Drawing(empty_figure(WIDTH, reason, X, Y), caption, f"An empty panel. {reason}")
    names = _order(compared)
    axis = difference_axis(compared)
    figure = _draw(compared, names, axis)
    caption = " ".join([_caption(compared, seeds, axis), *absent])
    return Drawing(figure, caption, _alt(compared, names))


def _order(compared: pd.DataFrame) -> list[str]:
    """Best first, by the mean over all panels against the first control that was run."""
    control = next(name for name in CONTROLS if name in set(compared["control"]))
    against = compared[compared["control"] == control].groupby("pruner")["mean"].mean()
    # The control itself has no difference from itself: it stands where 0 stands.
    means = against.reindex(compared["pruner"].unique()).fillna(0.0)
    return sorted(means.index, key=lambda name: (means[name], label(name).lower()))


def _draw(compared: pd.DataFrame, names: list[str], axis: DifferenceAxis) -> Figure:
    budgets = sorted(compared["budget"].unique())
    ratios = sorted(compared["prune_ratio"].unique())
    height = len(budgets) * (ROW_HEIGHT * len(names) + 0.55) + 0.2 + 2 * LEGEND_LINE
    figure = Figure(figsize=(WIDTH, height))
    grid = figure.subplots(len(budgets), len(ratios), sharex=True, sharey=True, squeeze=False)
    for budget, panels in zip(budgets, grid, strict=True):
        for ratio, axes in zip(ratios, panels, strict=True):
            part = compared[(compared["budget"] == budget) & (compared["prune_ratio"] == ratio)]
            _panel(axes, part, names, axis)
            where = f", equal {label(budget).lower()}" if len(budgets) > 1 else ""
            axes.set_title(f"Prune ratio {format_ratio(ratio)}{where}")
        panels[0].set_ylabel(Y)
    for axes in grid[-1]:
        axes.set_xlabel(X, fontsize=7 if len(ratios) < 4 else 5.5)
    figure.legend(handles=_handles(), loc="outside upper center", ncols=2)
    return figure


def _panel(axes: Axes, part: pd.DataFrame, names: list[str], axis: DifferenceAxis) -> None:
    axes.axvline(0, color="black", linewidth=0.7, zorder=1)
    axes.set_xlim(axis.low, axis.high)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), [label(name) for name in names])
    axes.tick_params(axis="y", length=0, labelsize=6.5)
    # Bands rather than lines: the eye follows an entry through all panels.
    axes.grid(visible=False, axis="y")
    for row in range(1, len(names), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#f3f3f3", linewidth=0, zorder=0)
    for _, point in part.iterrows():
        _point(axes, point, names.index(point["pruner"]), axis)


def _point(axes: Axes, point: pd.Series[float], row: int, axis: DifferenceAxis) -> None:
    control = str(point["control"])
    look, sure = LOOKS[control], point["holm_p"] < LEVEL
    height = row + (-APART if control == CONTROLS[0] else APART)
    fill = look.colour if sure else "white"
    mean = float(point["mean"])
    if not axis.holds(mean):
        right = mean > axis.high
        axes.plot(
            [axis.high if right else axis.low],
            [height],
            marker=">" if right else "<",
            color=look.colour,
            markerfacecolor=fill,
            clip_on=False,
            zorder=4,
        )
        axes.annotate(
            format_number(mean, 0, signed=True),
            (axis.high if right else axis.low, height),
            xytext=(-4 if right else 4, 0),
            textcoords="offset points",
            ha="right" if right else "left",
            va="center_baseline",
            fontsize=5.5,
            color=look.colour,
        )
        return
    if not math.isnan(point["low"]):
        ends = np.clip([point["low"], point["high"]], axis.low, axis.high)
        axes.plot(ends, [height, height], color=look.colour, linewidth=0.9, zorder=2)
    axes.plot(
        [mean],
        [height],
        marker=look.marker,
        color=look.colour,
        markerfacecolor=fill,
        markersize=3.4,
        markeredgewidth=0.9,
        zorder=3,
    )


def _handles() -> list[Line2D]:
    shown = []
    for control in CONTROLS:
        for filled in (True, False):
            look = LOOKS[control]
            words = f"p < {LEVEL}" if filled else "not decided"
            shown.append(
                Line2D(
                    [],
                    [],
                    color=look.colour,
                    marker=look.marker,
                    markerfacecolor=look.colour if filled else "white",
                    markersize=3.4,
                    linewidth=0.9,
                    label=f"against {label(control)}: {words}",
                )
            )
    return shown


def _caption(compared: pd.DataFrame, seeds: str, axis: DifferenceAxis) -> str:
    few, many = int(compared["cells"].min()), int(compared["cells"].max())
    pairs = f"{many}" if few == many else f"{few} to {many}"
    parts = [
        "Mean difference in test MAE between runs of the same data set, backbone, prune ratio and"
        f" seed, in % of the control's; left of 0 is better. {seeds}, {pairs} pairs a point. Bars:"
        " 95 % percentile bootstrap interval over the pairs. Filled: p below"
        f" {LEVEL} in a paired t test, by Holm's correction over all pruners and prune ratios"
        " against that control. Hollow is no proof of equality, and as the pairs of one data set"
        " depend on each other, filled does not speak for other data sets. Entries by their mean"
        " difference over the panels."
    ]
    if axis.beyond:
        parts.append("Arrows and cut bars: beyond the scale, with the mean.")
    return " ".join(parts)


def _alt(compared: pd.DataFrame, names: list[str]) -> str:
    ratios = ", ".join(format_ratio(r) for r in sorted(compared["prune_ratio"].unique()))
    controls = " and ".join(label(name) for name in sorted(compared["control"].unique()))
    return (
        f"Forest plot of the difference in test MAE from {controls} at prune ratios {ratios}; from"
        f" best to worst: {', '.join(label(name) for name in names)}. The numbers are in the table"
        " of paired comparisons."
    )
