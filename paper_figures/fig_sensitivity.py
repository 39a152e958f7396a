"""What changing one option of a pruner changes: its error against the option's value."""

from __future__ import annotations

import math
from itertools import pairwise
from numbers import Real
from textwrap import fill
from typing import Any, NamedTuple

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from paper_figures.difference_axis import DifferenceAxis, difference_axis
from paper_figures.one_option import Variant, variants
from stprune.base.layout import format_ratio
from stprune.paper.figures import Drawing, absent_controls, seeds_in_words
from stprune.paper.heat_map import empty_figure
from stprune.paper.looks import LEGEND_LINE, MARKERS
from stprune.paper.tables import format_number
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import LEVEL, compare_all

TITLE = "Sensitivity to each option"

WIDTH = 7.0
COLUMNS = 4
ROW_HEIGHT = 1.75
# From dark to light, as a print in grey keeps it; yellow is too light for lines on white.
COLOURS, LIGHTEST = "viridis", 0.82
# How far the prune ratios of a value lie apart, as a share of the room between two values.
SPREAD = 0.3
X, Y = "Value of the option", "Difference in test MAE (%)"
# Letters of a line under the axis.
LONGEST = 12
NOTHING = "No entry differs from its pruner's own entry in one option only."


class Panel(NamedTuple):
    """One option of one pruner under one budget.

    Args:
        budget: What was held equal to full training.
        pruner: Id of the pruner.
        option: Name of the option.
        changes: Its entries; see `Variant`.
    """

    budget: str
    pruner: str
    option: str
    changes: list[Variant]


def applies(results: Results) -> bool:
    """Whether an entry changes one option of a pruner that was run too."""
    return bool(variants(results))


def build(results: Results) -> Drawing:
    """One panel per option (and budget), one line per prune ratio.

    Args:
        results: The experiment; differences in test MAE are in percent of the pruner's entry
            without changes.
    """
    absent = absent_controls(results.aggregate["pruner"])
    seeds = seeds_in_words(results.aggregate)
    found = variants(results)
    compared = _compared(results.summary, found)
    if compared.empty:
        names = ", ".join(label(name) for name in sorted(results.summary["pruner"].unique()))
        caption = " ".join([f"{NOTHING} Experiment of {seeds}.", *absent])
        alt = f"An empty panel. {NOTHING} Entries: {names}."
        return Drawing(empty_figure(WIDTH, NOTHING, X, Y), caption, alt)
    panels = _panels(compared, found)
    figure = _draw(panels, compared)
    few, many = int(compared["cells"].min()), int(compared["cells"].max())
    pairs = f"{many}" if few == many else f"{few} to {many}"
    caption = (
        "Mean difference in test MAE between entries that differ in one option only, over runs of"
        " the same data set, backbone, prune ratio and seed; below 0 is better than the unchanged"
        f" entry, whose value is marked on the line at 0. {seeds}, {pairs} pairs a point. Bars:"
        f" 95 % percentile bootstrap interval over the pairs. Filled: p below {LEVEL} in a paired"
        " t test, by Holm's correction over the pruner's entries and prune ratios. Hollow is no"
        " proof of equality, and filled does not speak for other data sets."
    )
    if difference_axis(compared).beyond:
        caption += " Arrows and cut bars: beyond the scale, with the mean."
    return Drawing(figure, " ".join([caption, *absent]), _alt(panels))


def _compared(summary: pd.DataFrame, found: list[Variant]) -> pd.DataFrame:
    """By `compare_all`, each pruner's changed entries against the unchanged; a family each."""
    tables = []
    for pruner in sorted({variant.pruner for variant in found}):
        names = [pruner, *(v.entry for v in found if v.pruner == pruner)]
        tables.append(compare_all(summary[summary["pruner"].isin(names)], [pruner]))
    if not tables:
        return pd.DataFrame()
    return pd.concat(tables).dropna(subset="prune_ratio")


def _panels(compared: pd.DataFrame, found: list[Variant]) -> list[Panel]:
    panels = []
    for pruner, option in sorted({(variant.pruner, variant.option) for variant in found}):
        changes = [v for v in found if (v.pruner, v.option) == (pruner, option)]
        entries = [variant.entry for variant in changes]
        part = compared[compared["pruner"].isin(entries)]
        panels += [Panel(name, pruner, option, changes) for name in sorted(part["budget"].unique())]
    return panels


def _draw(panels: list[Panel], compared: pd.DataFrame) -> Figure:
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(WIDTH, ROW_HEIGHT * rows + 0.3 + 2 * LEGEND_LINE))
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    several = compared["budget"].nunique() > 1
    ratios = sorted(compared["prune_ratio"].unique())
    axis = difference_axis(compared)
    for axes, panel in zip(grid.flat, panels, strict=False):
        part = compared[(compared["budget"] == panel.budget)]
        _panel(axes, panel, part, ratios, axis)
        where = f"\nequal {label(panel.budget).lower()}" if several else ""
        axes.set_title(f"{label(panel.pruner)}{where}", fontsize=7)
        axes.set_xlabel(panel.option, fontsize=7)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for row in grid:
        row[0].set_ylabel(Y, fontsize=7)
    figure.legend(handles=_handles(ratios), loc="outside upper center", ncols=len(ratios) + 2)
    return figure


def _panel(
    axes: Axes, panel: Panel, compared: pd.DataFrame, ratios: list[float], axis: DifferenceAxis
) -> None:
    places, words = _places(panel)
    axes.axhline(0, color="black", linewidth=0.7, zorder=1)
    room = min((b - a for a, b in pairwise(places)), default=1.0)
    for rank, ratio in enumerate(ratios):
        aside = room * SPREAD * (rank - (len(ratios) - 1) / 2) / max(1, len(ratios) - 1)
        part = compared[compared["prune_ratio"] == ratio]
        _line(axes, panel, part, _colour(rank, ratios), aside, axis)
    usual = places[_values(panel).index(panel.changes[0].usual)]
    axes.plot([usual], [0], marker="|", color="black", markersize=9, markeredgewidth=1.4, zorder=4)
    axes.set_xticks(places, [fill(word, LONGEST) for word in words])
    axes.set_ylim(axis.low, axis.high)
    axes.set_xlim(places[0] - 0.5 * room, places[-1] + 0.5 * room)
    axes.tick_params(labelsize=6)


def _line(
    axes: Axes,
    panel: Panel,
    compared: pd.DataFrame,
    look: tuple[Any, str],
    aside: float,
    axis: DifferenceAxis,
) -> None:
    places, _ = _places(panel)
    values, points = _values(panel), []
    for variant in panel.changes:
        at = places[values.index(variant.value)] + aside
        for _, row in compared[compared["pruner"] == variant.entry].iterrows():
            points.append((at, float(row["mean"])))
            _point(axes, at, row, look, axis)
    points.append((places[values.index(panel.changes[0].usual)], 0.0))
    if _numeric(values):
        # Between names there is nothing that a line could lead through.
        axes.plot(*zip(*sorted(points), strict=True), color=look[0], linewidth=0.7, zorder=1)


def _point(
    axes: Axes, at: float, row: pd.Series[Any], look: tuple[Any, str], axis: DifferenceAxis
) -> None:
    colour, marker = look
    mean = float(row["mean"])
    inside = axis.holds(mean)
    if inside:
        ends = [row["low"], row["high"]]
        axes.plot([at, at], ends, color=colour, linewidth=0.9, zorder=2)
    else:
        marker = "^" if mean > 0 else "v"
        axes.annotate(
            format_number(mean, 0, signed=True),
            (at, axis.high if mean > 0 else axis.low),
            xytext=(4, 0),
            textcoords="offset points",
            ha="left",
            va="top" if mean > 0 else "bottom",
            fontsize=5.5,
            color=colour,
        )
    axes.plot(
        [at],
        [mean if inside else axis.high if mean > 0 else axis.low],
        marker=marker,
        color=colour,
        markerfacecolor=colour if row["holm_p"] < LEVEL else "white",
        markersize=3.4,
        markeredgewidth=0.9,
        clip_on=inside,
        zorder=3,
    )


def _values(panel: Panel) -> list[Any]:
    """The values of an option, numbers in order, else the usual one first."""
    usual = panel.changes[0].usual
    every = [usual, *(v.value for v in panel.changes if v.value != usual)]
    every = [value for at, value in enumerate(every) if value not in every[:at]]
    return sorted(every) if _numeric(every) else every


def _places(panel: Panel) -> tuple[list[float], list[str]]:
    """Where each of the values stands on the horizontal axis, and what is written there."""
    values = _values(panel)
    if _numeric(values):
        return [float(value) for value in values], [f"{value:g}" for value in values]
    words = ["none" if value is None else str(value).replace("_", " ") for value in values]
    return [float(at) for at in range(len(values))], words


def _numeric(values: list[Any]) -> bool:
    return all(isinstance(value, Real) and not isinstance(value, bool) for value in values)


def _colour(rank: int, ratios: list[float]) -> tuple[Any, str]:
    share = LIGHTEST * rank / max(1, len(ratios) - 1)
    return mpl.colormaps[COLOURS](share), MARKERS[rank % len(MARKERS)]


def _handles(ratios: list[float]) -> list[Line2D]:
    handles = []
    for rank, ratio in enumerate(ratios):
        colour, marker = _colour(rank, ratios)
        name = f"Prune ratio {format_ratio(ratio)}" if rank == 0 else format_ratio(ratio)
        handles.append(Line2D([], [], color=colour, marker=marker, markersize=3.4, label=name))
    for words, inside in ((f"p < {LEVEL}", "#555555"), ("not decided", "white")):
        handles.append(
            Line2D(
                [],
                [],
                linestyle="",
                marker="o",
                color="#555555",
                markerfacecolor=inside,
                markersize=3.4,
                label=words,
            )
        )
    return handles


def _alt(panels: list[Panel]) -> str:
    names = "; ".join(
        f"{panel.option} of {label(panel.pruner)} ({', '.join(map(str, _values(panel)))})"
        for panel in panels
    )
    return f"Difference in test error against the value of an option, one panel each for {names}."
