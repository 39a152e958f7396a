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
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from stprune.base.layout import RunKey, format_ratio
from stprune.paper import content, draw
from stprune.paper.figures import Drawing
from stprune.records.store import KEYS
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import LEVEL, compare_all

TITLE = "Sensitivity to each option"
COLUMNS = 4
ROW_HEIGHT = 1.75
# From dark to light, as in a grey print; the colour map's yellow is too light for lines on white.
COLOURS, LIGHTEST = "viridis", 0.82
# How far the prune ratios of a value lie apart, as a share of the room between two values.
SPREAD = 0.3
# Letters of a line under the axis.
LONGEST = 12


class Variant(NamedTuple):
    """An entry that changes one option of a pruner.

    Args:
        pruner: Id of the pruner, which is also the name of the entry that it is compared with.
        option: Name of the option.
        entry: Name of the changed entry.
        value: Its value of the option.
        usual: The value of the entry ``pruner``.
    """

    pruner: str
    option: str
    entry: str
    value: Any
    usual: Any


class Panel(NamedTuple):
    """One option of one pruner under one budget, with the entries that change it."""

    budget: str
    pruner: str
    option: str
    changes: list[Variant]

    @property
    def values(self) -> list[Any]:
        """The values of the option: numbers in order, else the usual one first."""
        usual = self.changes[0].usual
        every = [usual, *(v.value for v in self.changes if v.value != usual)]
        every = [value for at, value in enumerate(every) if value not in every[:at]]
        return sorted(every) if self.numeric else every

    @property
    def numeric(self) -> bool:
        """Whether all values are numbers."""
        values = [self.changes[0].usual, *(v.value for v in self.changes)]
        return all(isinstance(value, Real) and not isinstance(value, bool) for value in values)


def applies(results: Results) -> bool:
    """Whether an entry changes one option of a pruner that was run too."""
    return bool(variants(results)) and not _compared(results.summary, variants(results)).empty


def build(results: Results) -> Drawing:
    """One panel per option (and budget), one line per prune ratio.

    Args:
        results: The experiment; differences in test MAE are in percent of the pruner's entry
            without changes.
    """
    found = variants(results)
    compared = _compared(results.summary, found)
    panels = _panels(compared, found)
    pairs = content.count_in_words(compared["cells"], "pair")
    caption = (
        "Mean difference in test MAE between entries that differ in one option only, over paired"
        " runs; below 0 is better than the unchanged entry, whose value is marked on the line at 0"
        f" ({content.seed_count(results.aggregate)}, {pairs} a point, 95 % bootstrap intervals)."
        f" Filled: p below {LEVEL} in a paired t test with Holm's correction over the pruner's"
        " entries and prune ratios; hollow is no proof of equality."
    )
    if draw.difference_axis(compared).beyond:
        caption += " Arrows and cut bars: beyond the scale, with the mean."
    options = "; ".join(f"{panel.option} of {label(panel.pruner)}" for panel in panels)
    alt = f"Difference in test error against the value of an option, one panel each for {options}."
    return Drawing(_draw(panels, compared), caption, alt)


def variants(results: Results) -> list[Variant]:
    """Every entry that differs in one option from the entry named as its pruner.

    Args:
        results: The experiment; options are those of the records, defaults included.

    Returns:
        Sorted by pruner, option and name of the entry.
    """
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for _, run in results.summary.drop_duplicates("pruner").iterrows():
        config = results.records[RunKey(*run[KEYS])].config.get("pruner", {})
        found[run["pruner"]] = config.get("id", run["pruner"]), config.get("options", {})
    changed = []
    for entry, (pruner, options) in found.items():
        if pruner not in found or entry == pruner:
            continue
        usual = found[pruner][1]
        names = [name for name in usual if name in options and options[name] != usual[name]]
        if len(names) == 1 and set(options) == set(usual):
            changed.append(Variant(pruner, names[0], entry, options[names[0]], usual[names[0]]))
    return sorted(changed)


def _compared(summary: pd.DataFrame, found: list[Variant]) -> pd.DataFrame:
    """By `compare_all`, each pruner's changed entries against the unchanged; a family each."""
    tables = []
    for pruner in sorted({variant.pruner for variant in found}):
        names = [pruner, *(v.entry for v in found if v.pruner == pruner)]
        tables.append(compare_all(summary[summary["pruner"].isin(names)], [pruner]))
    return pd.concat(tables).dropna(subset="prune_ratio")


def _panels(compared: pd.DataFrame, found: list[Variant]) -> list[Panel]:
    panels = []
    for pruner, option in sorted({(variant.pruner, variant.option) for variant in found}):
        changes = [v for v in found if (v.pruner, v.option) == (pruner, option)]
        part = compared[compared["pruner"].isin([variant.entry for variant in changes])]
        panels += [Panel(name, pruner, option, changes) for name in sorted(part["budget"].unique())]
    return panels


def _draw(panels: list[Panel], compared: pd.DataFrame) -> Figure:
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    height = ROW_HEIGHT * rows + 0.3 + 2 * draw.LEGEND_LINE
    figure, grid = draw.grid(rows, columns, height, sharey=True)
    several = compared["budget"].nunique() > 1
    ratios = sorted(compared["prune_ratio"].unique())
    colours = [LIGHTEST * rank / max(1, len(ratios) - 1) for rank in range(len(ratios))]
    shown = {
        ratio: draw.Look(
            to_hex(mpl.colormaps[COLOURS](share)), draw.MARKERS[rank % len(draw.MARKERS)]
        )
        for rank, (ratio, share) in enumerate(zip(ratios, colours, strict=True))
    }
    axis = draw.difference_axis(compared)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _panel(axes, panel, compared[compared["budget"] == panel.budget], shown, axis)
        where = f"\nequal {label(panel.budget).lower()}" if several else ""
        axes.set_title(f"{label(panel.pruner)}{where}", fontsize=7)
        axes.set_xlabel(panel.option, fontsize=7)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for row in grid:
        row[0].set_ylabel("Difference in test MAE (%)", fontsize=7)
    handles = [
        draw.handle(
            format_ratio(ratio) if rank else f"Prune ratio {format_ratio(ratio)}",
            color=look.colour,
            marker=look.marker,
            markersize=3.4,
        )
        for rank, (ratio, look) in enumerate(shown.items())
    ]
    style = {"linestyle": "", "marker": "o", "color": "#555555", "markersize": 3.4}
    handles += [
        draw.handle(f"p < {LEVEL}", markerfacecolor="#555555", **style),
        draw.handle("not decided", markerfacecolor="white", **style),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure


def _panel(
    axes: Axes,
    panel: Panel,
    compared: pd.DataFrame,
    shown: dict[float, draw.Look],
    axis: draw.DifferenceAxis,
) -> None:
    values = panel.values
    words = [f"{value:g}" if panel.numeric else _word(value) for value in values]
    places = [float(value) if panel.numeric else float(at) for at, value in enumerate(values)]
    usual = places[values.index(panel.changes[0].usual)]
    axes.axhline(0, color="black", linewidth=0.7, zorder=1)
    room = min((b - a for a, b in pairwise(places)), default=1.0)
    for rank, (ratio, look) in enumerate(shown.items()):
        aside = room * SPREAD * (rank - (len(shown) - 1) / 2) / max(1, len(shown) - 1)
        part = compared[compared["prune_ratio"] == ratio]
        points = [(usual, 0.0)]
        for variant in panel.changes:
            at = places[values.index(variant.value)] + aside
            for _, row in part[part["pruner"] == variant.entry].iterrows():
                points.append((at, float(row["mean"])))
                draw.difference(axes, at, row, look, axis, upright=True)
        if panel.numeric:
            # Between values that are not numbers a line would mean nothing.
            axes.plot(
                *zip(*sorted(points), strict=True), color=look.colour, linewidth=0.7, zorder=1
            )
    axes.plot([usual], [0], marker="|", color="black", markersize=9, markeredgewidth=1.4, zorder=4)
    axes.set_xticks(places, [fill(word, LONGEST) for word in words])
    axes.set_ylim(axis.low, axis.high)
    axes.set_xlim(places[0] - 0.5 * room, places[-1] + 0.5 * room)
    axes.tick_params(labelsize=6)


def _word(value: Any) -> str:
    return "none" if value is None else str(value).replace("_", " ")
