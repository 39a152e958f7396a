"""Which hours of the week a pruner keeps: its windows by weekday and hour of day."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stprune.base.layout import format_ratio
from stprune.paper.figures import Drawing, absent_controls, most_varied_first, seeds_in_words
from stprune.paper.heat_map import COLOURS, draw_cells, empty_figure, symmetric
from stprune.records.store import HOUR_COLUMNS, HOURS, WEEKDAYS
from stprune.results.kept_windows import pruned_runs
from stprune.results.labels import label
from stprune.results.summary import KEYS, Results
from stprune.statistics.significance import CONTROLS

TITLE = "Which hours of the week are kept"

WIDTH = 7.0
MOST_COLUMNS = 6
ROW_HEIGHT = 0.72
# More rows of panels than this fill more than a page.
MOST_ROWS = 9
# Letters of a name that fit above a panel.
LONGEST = 18
# In doublings: the colours end at a quarter of the average, and at four times it.
FARTHEST = 2.0
LEAST = math.log2(1.25)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
X, Y = "Hour of day", "Weekday"

Calendar = NDArray[np.float64]
Calendars = dict[str, dict[str, Calendar]]


def applies(results: Results) -> bool:
    """Whether a run with pruned epochs has an archive."""
    return not results.kept.calendars.empty


def build(results: Results) -> Drawing:
    """One panel per pruner, in rows of up to six for each data set, at the largest prune ratio.

    Args:
        results: The experiment, with the archives of its runs; times are the data set's own.
    """
    runs = pruned_runs(results.summary)
    ratio = runs["prune_ratio"].max()
    runs = runs[runs["prune_ratio"] == ratio]
    calendars, missing = _calendars(results, runs)
    absent = absent_controls(results.aggregate["pruner"])
    if not calendars:
        reason = "No archive of a run with pruned epochs: nothing to show."
        caption = " ".join(
            [f"{reason} Experiment of {seeds_in_words(results.aggregate)}.", *absent]
        )
        return Drawing(empty_figure(WIDTH, reason, X, Y), caption, f"An empty panel. {reason}")
    order = [name for name in most_varied_first(results.summary) if name in calendars]
    shown, hidden = _that_fit(order, calendars)
    without = sorted(set(results.summary["dataset"]) - set(calendars))
    caption = _caption(ratio, seeds_in_words(results.aggregate), missing, hidden, without)
    figure = _draw({name: calendars[name] for name in shown})
    return Drawing(figure, " ".join([caption, *absent]), _alt(shown, calendars, ratio))


def _calendars(results: Results, runs: pd.DataFrame) -> tuple[Calendars, int]:
    """Mean calendar by data set and pruner, in doublings of the average; and runs without any."""
    shares = runs[KEYS].merge(results.kept.calendars, on=KEYS, validate="one_to_one")
    means: Calendars = defaultdict(dict)
    for (dataset, pruner), part in shares.groupby(["dataset", "pruner"], sort=False):
        mean = part[list(HOUR_COLUMNS)].to_numpy(dtype=np.float64).mean(axis=0)
        # A window that was never kept is infinitely many halvings away: the end of the scale.
        with np.errstate(divide="ignore"):
            doublings = np.log2(mean).clip(-FARTHEST, FARTHEST)
        means[str(dataset)][str(pruner)] = doublings.reshape(WEEKDAYS, HOURS)
    return dict(means), len(runs) - len(shares)


def _that_fit(names: list[str], calendars: Calendars) -> tuple[list[str], list[str]]:
    """The first data sets, whose panels fit on a page (one always does), and the others."""
    rows = np.cumsum([math.ceil(len(calendars[name]) / MOST_COLUMNS) for name in names])
    count = max(1, int((rows <= MOST_ROWS).sum()))
    return sorted(names[:count]), sorted(names[count:])


def _draw(calendars: Calendars) -> Figure:
    most = max(map(len, calendars.values()))
    # As many rows as six columns need, filled evenly.
    width = math.ceil(most / math.ceil(most / MOST_COLUMNS))
    rows = [
        (dataset, names[start : start + width])
        for dataset, pruners in calendars.items()
        for names in [_in_order(pruners)]
        for start in range(0, len(names), width)
    ]
    figure = Figure(figsize=(WIDTH, ROW_HEIGHT * len(rows) + 0.15 * len(calendars) + 0.9))
    grid = figure.subplots(len(rows), width, squeeze=False)
    every = [panel for pruners in calendars.values() for panel in pruners.values()]
    scale = symmetric(np.array(every), LEAST)
    for row, (dataset, names) in enumerate(rows):
        for column, axes in enumerate(grid[row]):
            if column >= len(names):
                axes.remove()
                continue
            draw_cells(axes, calendars[dataset][names[column]], scale)
            _label(axes, names[column], column == 0, row + 1 == len(rows))
        if row == 0 or rows[row - 1][0] != dataset:
            _name(grid[row][0], dataset, names[0])
    _colour_bar(figure, scale)
    return figure


def _in_order(pruners: dict[str, Calendar]) -> list[str]:
    """Controls first, for the eye to compare the others with."""
    return sorted(pruners, key=lambda name: (name not in CONTROLS, label(name).lower()))


def _label(axes: Axes, pruner: str, first: bool, lowest: bool) -> None:
    axes.set_title(label(pruner), fontsize=_size(pruner))
    axes.set_xticks(np.arange(0, HOURS, 6))
    axes.set_yticks(np.arange(0, WEEKDAYS, 2), DAYS[::2] if first else [])
    axes.tick_params(labelsize=6, labelbottom=lowest)
    if first:
        axes.set_ylabel(Y, fontsize=7)
    if lowest:
        axes.set_xlabel(X, fontsize=7)


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
    # A long name reaches over the next panels and must not push them away.
    name.set_in_layout(False)


def _colour_bar(figure: Figure, scale: Normalize) -> None:
    mappable = ScalarMappable(scale, COLOURS)
    bar = figure.colorbar(
        mappable,
        ax=figure.axes,
        location="bottom",
        aspect=60,
        shrink=0.6,
        pad=0.2 / figure.get_figheight(),
    )
    limit = float(scale.vmax or 0)
    step = 1.0 if limit >= 1 else limit
    ticks = np.arange(-math.floor(limit / step), math.floor(limit / step) + 1) * step
    bar.set_ticks(list(ticks), labels=[f"{2.0**tick:.3g}" for tick in ticks])
    bar.set_label("Share of pruned epochs that kept a window, over the mean of all windows")


def _caption(ratio: float, seeds: str, missing: int, hidden: list[str], without: list[str]) -> str:
    parts = [
        f"Prune ratio {format_ratio(ratio)}, full epochs left out; mean over the backbones and"
        f" {seeds}. At 1 the windows whose first target step is in this hour were kept as often as"
        " all windows were; the colours end at a quarter and at four times. Hatched: no data."
        " What keeps every window, such as full training for fewer epochs, has no panel."
    ]
    if missing:
        parts.append(f"{missing} runs without an archive of pruned epochs are not counted.")
    if hidden:
        parts.append(f"Not shown, for want of room: {', '.join(hidden)}.")
    if without:
        parts.append(f"No such run of {', '.join(without)}.")
    return " ".join(parts)


def _alt(shown: list[str], calendars: Calendars, ratio: float) -> str:
    names = sorted({label(name) for dataset in shown for name in calendars[dataset]})
    return (
        f"Heat maps of weekday against hour of day for {', '.join(shown)}: how often windows of"
        f" each hour were kept at prune ratio {format_ratio(ratio)} by {', '.join(names)}."
    )
