"""Which hours of the week a pruner keeps: its windows by weekday and hour of day."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stprune.base.layout import format_ratio
from stprune.paper import content, draw
from stprune.paper.figures import Drawing
from stprune.records.store import HOUR_COLUMNS, HOURS, KEYS, WEEKDAYS
from stprune.results.kept_windows import pruned_runs
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import CONTROLS

TITLE = "Which hours of the week are kept"
MOST_COLUMNS = 6
ROW_HEIGHT = 0.72
# Rows of panels that fit a page.
MOST_ROWS = 9
# Letters of a name that fit above a panel.
LONGEST = 18
# In doublings: the colours end at a quarter of the average, and at four times it.
FARTHEST = 2.0
LEAST = math.log2(1.25)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

Calendar = NDArray[np.float64]
Calendars = dict[str, dict[str, Calendar]]


def applies(results: Results) -> bool:
    """Whether a run with pruned epochs recorded which windows it kept."""
    return not results.kept.calendars.empty


def build(results: Results) -> Drawing:
    """One panel per pruner, in rows of up to six for each data set, at the largest prune ratio.

    Args:
        results: The experiment, with the windows that its runs kept; times are the data set's own.
    """
    runs = pruned_runs(results.summary)
    ratio = runs["prune_ratio"].max()
    runs = runs[runs["prune_ratio"] == ratio]
    calendars, missing = _calendars(results, runs)
    order = [name for name in content.most_varied_first(results.summary) if name in calendars]
    # At least one data set is shown, and as many as fit a page.
    rows = np.cumsum([math.ceil(len(calendars[name]) / MOST_COLUMNS) for name in order])
    fit = max(1, int((rows <= MOST_ROWS).sum()))
    shown = sorted(order[:fit])
    caption = [
        "How often windows were kept whose first target step is in this hour, relative to all"
        f" windows, at prune ratio {format_ratio(ratio)} without full epochs: mean over the"
        f" backbones and {content.seed_count(results.aggregate)}. Hatched: no data."
    ]
    if missing:
        caption.append(f"{missing} runs without a record of kept windows are not counted.")
    caption += content.not_shown(", ".join(sorted(order[fit:])))
    without = sorted(set(results.summary["dataset"]) - set(calendars))
    if without:
        caption.append(f"No such run of {', '.join(without)}.")
    names = sorted({name for dataset in shown for name in calendars[dataset]})
    alt = (
        f"Heat maps of weekday against hour of day for {', '.join(shown)}: how often windows of"
        f" each hour were kept by {content.labels(names)}."
    )
    return Drawing(_draw({name: calendars[name] for name in shown}), " ".join(caption), alt)


def _calendars(results: Results, runs: pd.DataFrame) -> tuple[Calendars, int]:
    """Mean calendar by data set and pruner, in doublings of the average; and runs without any."""
    shares = runs[KEYS].merge(results.kept.calendars, on=KEYS, validate="one_to_one")
    means: Calendars = defaultdict(dict)
    for (dataset, pruner), part in shares.groupby(["dataset", "pruner"], sort=False):
        mean = part[list(HOUR_COLUMNS)].to_numpy(dtype=np.float64).mean(axis=0)
        # Windows that were never kept are clipped to the end of the scale.
        with np.errstate(divide="ignore"):
            doublings = np.log2(mean).clip(-FARTHEST, FARTHEST)
        means[str(dataset)][str(pruner)] = doublings.reshape(WEEKDAYS, HOURS)
    return dict(means), len(runs) - len(shares)


def _draw(calendars: Calendars) -> Figure:
    most = max(map(len, calendars.values()))
    # As few rows as six columns need, evenly filled.
    width = math.ceil(most / math.ceil(most / MOST_COLUMNS))
    rows = [
        (dataset, names[start : start + width])
        for dataset, pruners in calendars.items()
        # Controls first, for the eye to compare the others with.
        for names in [sorted(pruners, key=lambda name: (name not in CONTROLS, label(name).lower()))]
        for start in range(0, len(names), width)
    ]
    height = ROW_HEIGHT * len(rows) + 0.15 * len(calendars) + 0.9
    figure, grid = draw.grid(len(rows), width, height)
    panels = [panel for pruners in calendars.values() for panel in pruners.values()]
    scale = draw.symmetric_scale(np.array(panels), LEAST)
    for row, (dataset, names) in enumerate(rows):
        for column, axes in enumerate(grid[row]):
            if column >= len(names):
                axes.remove()
                continue
            draw.cells(axes, calendars[dataset][names[column]], scale)
            _label(axes, names[column], column == 0, row + 1 == len(rows))
        if row == 0 or rows[row - 1][0] != dataset:
            _name(grid[row][0], dataset, names[0])
    title = "Share of pruned epochs that kept a window, over the mean of all windows"
    bar = draw.colour_bar(figure, scale, title, pad=0.2 / figure.get_figheight())
    limit = float(scale.vmax or 0)
    step = 1.0 if limit >= 1 else limit
    ticks = np.arange(-math.floor(limit / step), math.floor(limit / step) + 1) * step
    bar.set_ticks(list(ticks), labels=[f"{2.0**tick:.3g}" for tick in ticks])
    return figure


def _label(axes: Axes, pruner: str, first: bool, lowest: bool) -> None:
    axes.set_title(label(pruner), fontsize=_size(pruner))
    axes.set_xticks(np.arange(0, HOURS, 6))
    axes.set_yticks(np.arange(0, WEEKDAYS, 2), DAYS[::2] if first else [])
    axes.tick_params(labelsize=6, labelbottom=lowest)
    if first:
        axes.set_ylabel("Weekday", fontsize=7)
    if lowest:
        axes.set_xlabel("Hour of day", fontsize=7)


def _size(pruner: str) -> float:
    """Points in which a name does not reach into the next panel's."""
    return min(7.0, 7.0 * LONGEST / len(label(pruner)))


def _name(axes: Axes, dataset: str, pruner: str) -> None:
    """The data set's name above its first panel, whose title gets a line more to make room."""
    axes.set_title(f"\n{label(pruner)}", fontsize=_size(pruner))
    name = axes.annotate(
        dataset,
        xy=(0, 1),
        xycoords="axes fraction",
        xytext=(0, 14),
        textcoords="offset points",
        fontweight="bold",
    )
    # A long name may reach over the next panels but must not push them away.
    name.set_in_layout(False)
