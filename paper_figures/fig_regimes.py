"""Where pruning pays: every pruner against both controls, by data set, backbone and ratio."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from paper_figures.pairing import has_pairs as applies
from stprune.base.layout import format_ratio
from stprune.paper import content, draw
from stprune.paper.figures import Drawing
from stprune.paper.tables import MINUS
from stprune.records.store import REFERENCE
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import CONTROLS, LEVEL, differences_from, holm, t_test

__all__ = ["TITLE", "applies", "build"]
TITLE = "Where pruning pays"
# Rows are lower where a page is not high enough for all, down to what a name needs.
CELL_HEIGHT, LOWEST = 0.17, 0.085
# Inches for the caption.
NOTE = 0.6
# A cell of at least this width, in inches, holds its number; a narrower one only the mark.
WIDE_ENOUGH = 0.36
NARROWEST = 0.12
NUMBER_SIZE = 5.5
MARK = "*"

Values = NDArray[np.float64]


class Panel(NamedTuple):
    """A map against one control.

    Args:
        control: Its name.
        columns: Prune ratio and pruner of each column.
        difference: (rows, columns) mean over seeds, in percent; NaN where not run.
        p: (rows, columns) of the paired t test over seeds, uncorrected; NaN for one seed.
        seeds: (rows, columns) how many; 0 where not run.
    """

    control: str
    columns: list[tuple[float, str]]
    difference: Values
    p: Values
    seeds: NDArray[np.int64]


def build(results: Results) -> Drawing:
    """One panel per control: rows are data sets and backbones, columns are ratios and pruners.

    Args:
        results: The experiment; differences in test MAE are in percent of the control's.
    """
    rows = content.places(results.aggregate)
    panels = [panel for name in CONTROLS if (panel := _panel(results.summary, name, rows))]
    # Holm's correction is over the cells of all panels together.
    corrected = np.array(holm(np.concatenate([panel.p.ravel() for panel in panels]).tolist()))
    ends = np.cumsum([panel.p.size for panel in panels])[:-1]
    marked = [
        part.reshape(panel.p.shape) < LEVEL
        for part, panel in zip(np.split(corrected, ends), panels, strict=True)
    ]
    # A tenth of the cells may lie beyond the colours: a few pruners that lose much would leave all
    # others one colour.
    every = np.abs(np.concatenate([panel.difference.ravel() for panel in panels]))
    limit = max(1.0, math.ceil(np.nanquantile(every, 0.9)))
    beyond = bool(np.nanmax(every) > limit)
    counts = pd.Series(np.concatenate([panel.seeds[panel.seeds > 0] for panel in panels]))
    caption = (
        "Mean difference in test MAE over paired seeds, in % of the control's; negative (purple) is"
        f" better. {content.count_in_words(counts, 'seed')} a cell, prune ratios above the columns;"
        " hatched: not run."
    )
    if beyond:
        caption += f" Colours end at {limit:.0f} %; some cells lie beyond."
    tests = int((~np.isnan(corrected)).sum())
    if tests:
        caption += (
            f" {MARK}: p < {LEVEL} in a paired t test over seeds, by Holm's correction over all"
            f" {tests} cells; an unmarked cell is no proof of equality."
        )
    else:
        caption += " No cell has two seeds, so none can be tested."
    alt = (
        f"Heat maps of the difference in test MAE against"
        f" {content.labels(panel.control for panel in panels)}: {len(rows)} rows of data set and"
        " backbone, columns of prune ratio and pruner."
    )
    return Drawing(_draw(panels, marked, rows, limit, beyond), caption, alt)


def _panel(summary: pd.DataFrame, control: str, rows: list[content.Place]) -> Panel | None:
    """The map against a control; None where no run can be paired with one of it."""
    # The comparison of the two controls with each other stands in the second panel only.
    apart = {REFERENCE, control} | (set(CONTROLS) if control == CONTROLS[0] else set())
    cells: dict[tuple[content.Place, tuple[float, str]], Values] = {}
    every = differences_from(summary, control)
    for pruner in sorted(set(summary["pruner"]) - apart, key=_controls_first):
        pairs = every[every["pruner"] == pruner]
        for (dataset, backbone, ratio), part in pairs.groupby(
            ["dataset", "backbone", "prune_ratio"]
        ):
            values = part["difference"].to_numpy(np.float64)
            cells[(str(dataset), str(backbone)), (float(str(ratio)), pruner)] = values
    columns = sorted({column for _, column in cells}, key=lambda c: (c[0], _controls_first(c[1])))
    if not columns:
        return None
    difference, p = (np.full((len(rows), len(columns)), np.nan) for _ in range(2))
    seeds = np.zeros_like(p, dtype=np.int64)
    for (place, column), differences in cells.items():
        at = rows.index(place), columns.index(column)
        difference[at], p[at] = differences.mean(), t_test(differences)
        seeds[at] = len(differences)
    return Panel(control, columns, difference, p, seeds)


def _controls_first(pruner: str) -> tuple[bool, str]:
    return pruner not in CONTROLS, label(pruner).lower()


def _draw(
    panels: list[Panel],
    marked: list[NDArray[np.bool_]],
    rows: list[content.Place],
    limit: float,
    beyond: bool,
) -> Figure:
    widest = max(len(panel.columns) for panel in panels)
    # Cells too narrow to tell apart are worse than a figure wider than a page.
    width = max(draw.WIDTH, 1.6 + NARROWEST * widest)
    cell = (width - 1.8) / widest
    names = max(len(label(name)) for panel in panels for _, name in panel.columns)
    lines, around = len(panels) * max(len(rows), 3), len(panels) * (0.55 + 0.055 * names) + 0.6
    row = min(CELL_HEIGHT, max(LOWEST, (draw.PAGE_HEIGHT - NOTE - around) / lines))
    height = row * lines + around
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    scale = Normalize(-limit, limit)
    for axes, panel, marks in zip(grid, panels, marked, strict=True):
        draw.cells(axes, panel.difference, scale)
        words = [
            [_word(value, mark, cell >= WIDE_ENOUGH) for value, mark in zip(*pair, strict=True)]
            for pair in zip(panel.difference, marks, strict=True)
        ]
        draw.write_in_cells(axes, panel.difference, words, scale, NUMBER_SIZE)
        _label(axes, panel, rows)
    bar = figure.colorbar(
        ScalarMappable(scale, draw.COLOURS),
        ax=list(grid),
        # As high as the map, but at most 2.5 inches.
        shrink=min(1.0, 2.5 / height),
        anchor=(0.0, 1.0),
        aspect=20,
        pad=0.01,
        extend="both" if beyond else "neither",
    )
    bar.ax.set_ylabel("Difference in test MAE (%)")
    return figure


def _word(value: float, mark: bool, with_number: bool) -> str:
    star = MARK if mark else ""
    if math.isnan(value) or not with_number:
        return star
    number = f"{value:+.{1 if abs(value) < 9.95 else 0}f}"
    # A number that rounds to 0 has no sign.
    number = number[1:] if float(number) == 0 else number.replace("-", MINUS)
    return f"{number}{star}"


def _label(axes: Axes, panel: Panel, rows: list[content.Place]) -> None:
    ratios = [ratio for ratio, _ in panel.columns]
    axes.set_xticks(range(len(ratios)), [label(name) for _, name in panel.columns], rotation=90)
    axes.set_yticks(range(len(rows)), [f"{name}, {label(backbone)}" for name, backbone in rows])
    axes.tick_params(labelsize=6)
    axes.set(xlabel="Pruner, by prune ratio", ylabel="Data set, backbone")
    axes.set_title(f"Against {label(panel.control)}", fontweight="bold", pad=14)
    for ratio in sorted(set(ratios)):
        first, count = ratios.index(ratio), ratios.count(ratio)
        axes.annotate(
            format_ratio(ratio),
            xy=(first + (count - 1) / 2, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=6.5,
        )
        if first:
            axes.axvline(first - 0.5, color="black", linewidth=0.8)
