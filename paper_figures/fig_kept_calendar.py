"""Which hours of the week a pruner keeps: its windows by weekday and hour of day."""

import math
from textwrap import fill

import numpy as np
import pandas as pd

from stprune.base.layout import format_ratio
from stprune.paper import content, draw
from stprune.records.store import HOUR_COLUMNS, HOURS, KEYS, WEEKDAYS
from stprune.results.kept_windows import pruned_runs
from stprune.results.labels import label
from stprune.results.summary import Results

TITLE = "Which hours of the week are kept"
MOST_COLUMNS = 6
MOST_ROWS = 9
# In doublings: the colours end at a quarter of the average, and at four times it.
FARTHEST = 2.0
LEAST = math.log2(1.25)
DAYS = ("Mon", "Wed", "Fri", "Sun")


def applies(results: Results) -> bool:
    """Whether a run with pruned epochs recorded which windows it kept."""
    return not results.kept.calendars.empty


def build(results: Results) -> draw.Drawing:
    """One row of panels per data set, one column per pruner, at the largest prune ratio."""
    runs = pruned_runs(results.summary)
    ratio = runs["prune_ratio"].max()
    runs = runs[runs["prune_ratio"] == ratio]
    shares = runs[KEYS].merge(results.kept.calendars, on=KEYS, validate="one_to_one")
    means = shares.groupby(["dataset", "pruner"])[list(HOUR_COLUMNS)].mean()
    # In doublings of the average; windows that were never kept are at the end of the scale.
    with np.errstate(divide="ignore"):
        doublings = np.log2(means.astype(np.float64)).clip(-FARTHEST, FARTHEST)
    pruners, filled = (set(means.index.unique(key)) for key in ("pruner", "dataset"))
    names, left_out = content.shown_pruners(results, pruners, MOST_COLUMNS)
    every = [name for name in content.most_varied_first(results.summary) if name in filled]
    datasets, others = sorted(every[:MOST_ROWS]), sorted(every[MOST_ROWS:])
    figure, grid = draw.panels(
        [fill(name.replace("_", " "), 14) for name in datasets],
        [label(name) for name in names],
        0.85,
        xlabel="Hour",
        sharex=True,
        sharey=True,
    )
    scale = draw.symmetric_scale(doublings.to_numpy(), LEAST)
    for dataset, panels in zip(datasets, grid, strict=True):
        for pruner, axes in zip(names, panels, strict=True):
            values = doublings.reindex([(dataset, pruner)]).to_numpy().reshape(WEEKDAYS, HOURS)
            draw.cells(axes, values, scale)
    # All panels share the ticks of the first.
    grid[0, 0].set_xticks(range(0, HOURS, 6))
    grid[0, 0].set_yticks(range(0, WEEKDAYS, 2), DAYS)
    bar = draw.colour_bar(
        figure, scale, "Share of pruned epochs that kept a window, over the mean of all windows"
    )
    limit = float(scale.vmax or 0)
    ticks = np.linspace(-limit, limit, 5)
    bar.set_ticks(list(ticks), labels=[f"{2.0**tick:.3g}" for tick in ticks])
    caption = (
        "How often windows were kept whose first target step is in this hour, relative to all"
        f" windows, at prune ratio {format_ratio(ratio)} without full epochs: mean over the"
        f" backbones and {content.seed_count(results.aggregate)}. Hatched: no data."
    )
    notes = [*without_record(results, runs), *left_out, *content.not_shown(", ".join(others))]
    return draw.Drawing(figure, " ".join([caption, *notes]))


def without_record(results: Results, runs: pd.DataFrame) -> list[str]:
    """A sentence with the number of pruned runs that kept no record of their windows, if any."""
    missing = len(runs) - len(runs[KEYS].merge(results.kept.calendars, on=KEYS))
    return [f"{missing} runs without a record of kept windows are left out."] if missing else []
