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

from stprune.base.layout import format_ratio
from stprune.paper.figures import (
    PAGE_HEIGHT,
    Drawing,
    absent_controls,
    places,
    seeds_in_words,
)
from stprune.paper.heat_map import COLOURS, draw_cells, empty_figure, write_in_cells
from stprune.paper.tables import MINUS
from stprune.results.labels import label
from stprune.results.summary import REFERENCE, Results
from stprune.statistics.paired import CONTROLS, LEVEL, holm, relative_differences, t_test

TITLE = "Where pruning pays"

# Where a page is not high enough for all rows, they are lower, down to what a name needs.
CELL_HEIGHT, LOWEST = 0.17, 0.085
NOTE = 0.6
# A cell at least so wide, in inches, holds its number; a narrower one only the mark.
WIDE_ENOUGH = 0.36
NARROWEST = 0.12
NUMBER_SIZE = 5.5
MARK = "*"
X, Y = "Pruner, by prune ratio", "Data set, backbone"

Values = NDArray[np.float64]
Place = tuple[str, str]
Column = tuple[float, str]


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
    columns: list[Column]
    difference: Values
    p: Values
    seeds: NDArray[np.int64]


def build(results: Results) -> Drawing:
    """One panel per control: rows are data sets and backbones, columns are ratios and pruners.

    Args:
        results: The experiment; differences in test MAE are in percent of the control's.
    """
    rows = places(results.aggregate)
    panels = [panel for name in CONTROLS if (panel := _panel(results.summary, name, rows))]
    absent = absent_controls(results.aggregate["pruner"])
    seeds = seeds_in_words(results.aggregate)
    if not panels:
        reason = "No run that a control could be compared with."
        caption = " ".join([f"{reason} Experiment of {seeds}.", *absent])
        return Drawing(empty_figure(7.0, reason, X, Y), caption, f"An empty panel. {reason}")
    corrected = _corrected(panels)
    marked = [p < LEVEL for p in corrected]
    figure = _draw(panels, marked, rows)
    tests = sum(int((~np.isnan(p)).sum()) for p in corrected)
    caption = _caption(tests, sum(int(cells.sum()) for cells in marked), panels)
    return Drawing(figure, " ".join([caption, *absent]), _alt(panels, rows))


def _panel(summary: pd.DataFrame, control: str, rows: list[Place]) -> Panel | None:
    """The map against a control; None where no run can be paired with one of it."""
    # Between the two controls there is one comparison, not two: it stands in the second panel.
    apart = {REFERENCE, control} | (set(CONTROLS) if control == CONTROLS[0] else set())
    cells: dict[tuple[Place, Column], Values] = {}
    for pruner in sorted(set(summary["pruner"]) - apart, key=_order):
        pairs = relative_differences(summary, pruner, control)
        for _, part in pairs.groupby(["dataset", "backbone", "prune_ratio"]):
            dataset, backbone, ratio = part.iloc[0][["dataset", "backbone", "prune_ratio"]]
            cells[(dataset, backbone), (ratio, pruner)] = part["difference"].to_numpy(np.float64)
    columns = sorted({column for _, column in cells}, key=lambda c: (c[0], _order(c[1])))
    if not columns:
        return None
    difference, p = (np.full((len(rows), len(columns)), np.nan) for _ in range(2))
    seeds = np.zeros_like(p, dtype=np.int64)
    for (place, column), differences in cells.items():
        at = rows.index(place), columns.index(column)
        difference[at], p[at] = differences.mean(), t_test(differences)
        seeds[at] = len(differences)
    return Panel(control, columns, difference, p, seeds)


def _order(pruner: str) -> tuple[bool, str]:
    return pruner not in CONTROLS, label(pruner).lower()


def _corrected(panels: list[Panel]) -> list[Values]:
    """Holm's correction over the cells of all panels together."""
    every = np.array(holm(np.concatenate([panel.p.ravel() for panel in panels]).tolist()))
    ends = np.cumsum([panel.p.size for panel in panels])[:-1]
    parts = zip(np.split(every, ends), panels, strict=True)
    return [part.reshape(panel.p.shape) for part, panel in parts]


def _limit(panels: list[Panel]) -> tuple[float, bool]:
    """Where the colours end, in percent, and whether there are cells beyond.

    A few pruners that lose much would leave all others one colour, so a tenth of the cells may lie
    beyond.
    """
    every = np.abs(np.concatenate([panel.difference.ravel() for panel in panels]))
    limit = max(1.0, math.ceil(np.nanquantile(every, 0.9)))
    return limit, bool(np.nanmax(every) > limit)


def _draw(panels: list[Panel], marked: list[NDArray[np.bool_]], rows: list[Place]) -> Figure:
    widest = max(len(panel.columns) for panel in panels)
    # Beyond a page's width rather than below what can be told apart.
    width = max(7.0, 1.6 + NARROWEST * widest)
    cell = (width - 1.8) / widest
    names = max(len(label(name)) for panel in panels for _, name in panel.columns)
    lines, around = len(panels) * max(len(rows), 3), len(panels) * (0.55 + 0.055 * names) + 0.6
    row = min(CELL_HEIGHT, max(LOWEST, (PAGE_HEIGHT - NOTE - around) / lines))
    height = row * lines + around
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    limit, beyond = _limit(panels)
    scale = Normalize(-limit, limit)
    for axes, panel, marks in zip(grid, panels, marked, strict=True):
        draw_cells(axes, panel.difference, scale)
        words = [
            [_word(value, mark, cell >= WIDE_ENOUGH) for value, mark in zip(*pair, strict=True)]
            for pair in zip(panel.difference, marks, strict=True)
        ]
        write_in_cells(axes, panel.difference, words, scale, NUMBER_SIZE)
        _label(axes, panel, rows)
    bar = figure.colorbar(
        ScalarMappable(scale, COLOURS),
        ax=list(grid),
        # A bar as high as the map would be, of a hand's length at most.
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
    decimals = 1 if abs(value) < 9.95 else 0
    number = f"{value:+.{decimals}f}"
    # No sign for what rounds to nothing.
    number = number[1:] if float(number) == 0 else number.replace("-", MINUS)
    return f"{number}{star}"


def _label(axes: Axes, panel: Panel, rows: list[Place]) -> None:
    ratios = [ratio for ratio, _ in panel.columns]
    axes.set_xticks(range(len(ratios)), [label(name) for _, name in panel.columns], rotation=90)
    axes.set_yticks(range(len(rows)), [f"{name}, {label(backbone)}" for name, backbone in rows])
    axes.tick_params(labelsize=6)
    axes.set(xlabel=X, ylabel=Y)
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


def _caption(tests: int, marked: int, panels: list[Panel]) -> str:
    counts = np.concatenate([panel.seeds[panel.seeds > 0] for panel in panels])
    seeds = seeds_in_words(pd.DataFrame({"seeds": counts}))
    limit, beyond = _limit(panels)
    ends = f" Colours end at {limit:.0f} %; some cells lie beyond." if beyond else ""
    first = (
        "Mean difference in test MAE over the seeds that both were run with, in % of the control's:"
        f" negative (purple) is better. {seeds} a cell. Prune ratios above the columns. Hatched:"
        f" not run.{ends}"
    )
    if not tests:
        return f"{first} No cell has two seeds, so none can be tested."
    return (
        f"{first} {MARK}: p < {LEVEL} in a paired t test over seeds, by Holm's correction over all"
        f" {tests} cells that can be tested; {marked} pass. With few seeds hardly any can: an"
        " unmarked cell is no proof of equality."
    )


def _alt(panels: list[Panel], rows: list[Place]) -> str:
    controls = " and against ".join(label(panel.control) for panel in panels)
    names = sorted({label(name) for panel in panels for _, name in panel.columns})
    return (
        f"Heat maps of the difference in test MAE against {controls}: {len(rows)} rows of data set"
        f" and backbone, columns of prune ratio and pruner ({', '.join(names)})."
    )
