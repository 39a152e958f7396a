"""Where the time of an epoch goes, and whether it is what the kept share would explain."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from stprune.base.layout import format_ratio
from stprune.paper import content, draw
from stprune.paper.figures import Drawing
from stprune.records.store import KEYS, REFERENCE
from stprune.results.labels import label
from stprune.results.summary import Results

TITLE = "Where the time of an epoch goes"
ROW_HEIGHT = 0.17
CELL = KEYS[:-1]
# Names and colours of the parts: cool for training, warm for what pruning adds, grey for what
# counts in the total only (Okabe and Ito, 2008).
PARTS = {
    "data": ("Data", "#56B4E9"),
    "step": ("Step", "#0072B2"),
    "scoring": ("Scoring", "#D55E00"),
    "selection": ("Selection", "#F0E442"),
    "validation": ("Validation", "#9a9a9a"),
    "checkpoint": ("Checkpoint", "#cfcfcf"),
}
COLUMNS = [f"{part}_seconds" for part in PARTS]
MEASURED, EXPECTED = "epoch_seconds", "expected_epoch_seconds"


def build(results: Results) -> Drawing:
    """One panel per prune ratio, one stacked bar per pruner, with measured and expected time.

    Args:
        results: The experiment; means over data sets and backbones in % of full training's mean
            epoch (validation and checkpoint included), or of seconds where full training was not
            run everywhere.
    """
    spent, relative = epoch_parts(results)
    ratios = sorted(set(spent["prune_ratio"]) - {0.0}) or [0.0]
    names = sorted(spent["pruner"].unique(), key=lambda n: (n != REFERENCE, label(n).lower()))
    height = ROW_HEIGHT * len(names) + 0.6 + 3 * draw.LEGEND_LINE
    figure, grid = draw.grid(1, len(ratios), height, sharex=True, sharey=True)
    for axes, ratio in zip(grid[0], ratios, strict=True):
        at_ratio = (spent["prune_ratio"] == ratio) | (spent["pruner"] == REFERENCE)
        _panel(axes, spent[at_ratio].set_index("pruner"), names)
        axes.set_title(f"Prune ratio {format_ratio(ratio)}")
        axes.set_xlabel("Time (% of full's epoch)" if relative else "Seconds per epoch", fontsize=7)
    grid[0, 0].set_ylabel("Pruner")
    style = {"color": "black", "linestyle": ""}
    handles = [
        *(Patch(color=colour, label=name) for name, colour in PARTS.values()),
        draw.handle("Measured", marker="D", markersize=2.2, **style),
        draw.handle("Expected", marker="|", markersize=7, **style),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
    count = len(content.places(results.aggregate))
    caption = (
        f"Mean time of a pruned epoch over {content.seed_count(results.aggregate)} and {count}"
        f" place{'s' if count > 1 else ''} (data sets with backbones),"
        f" {'in % of full training' if relative else 'in seconds'}. Diamond: the per-epoch time"
        " that is reported, a median without validation and checkpoint; line: the time expected"
        " from the kept share and the pruner's own scoring and selection."
    )
    alt = (
        f"Stacked bars of the time of an epoch by part and prune ratio, of {content.labels(names)}."
    )
    return Drawing(figure, caption, alt)


def epoch_parts(results: Results) -> tuple[pd.DataFrame, bool]:
    """Mean time of an epoch by part, of each pruner and prune ratio, over seeds, then places.

    Only the pruned epochs of a run count, or all where none was pruned, as for the per-epoch time
    of its record.

    Args:
        results: The experiment.

    Returns:
        One row per pruner and prune ratio: ``<part>_seconds`` of PARTS, ``epoch_seconds`` and
        ``expected_epoch_seconds``; and whether they are in % of full training's mean epoch (the
        sum of its parts) at the same data set and backbone, else in seconds.
    """
    pruned = (results.epochs["keep_ratio"] < 1) & (results.epochs["prune_ratio"] > 0)
    epochs = results.epochs.assign(pruned=pruned)
    any_pruned = epochs.groupby(KEYS)["pruned"].transform("any")
    counted = epochs[epochs["pruned"] | ~any_pruned]
    parts = counted.groupby(KEYS)[COLUMNS].mean().groupby(CELL).mean().reset_index()
    parts = parts.merge(results.aggregate[[*CELL, MEASURED, EXPECTED]], on=CELL)
    whole = (
        parts[parts["pruner"] == REFERENCE].set_index(content.PLACE)[COLUMNS].sum(axis="columns")
    )
    of_place = whole.reindex(pd.MultiIndex.from_frame(parts[content.PLACE])).to_numpy()
    relative = not bool(np.isnan(of_place).any())
    every = [*COLUMNS, MEASURED, EXPECTED]
    if relative:
        parts[every] = 100 * parts[every].div(of_place, axis="index")
    return parts.groupby(["pruner", "prune_ratio"])[every].mean().reset_index(), relative


def _panel(axes: Axes, spent: pd.DataFrame, names: list[str]) -> None:
    rows = [names.index(name) for name in spent.index]
    left = np.zeros(len(rows))
    for part, (_, colour) in PARTS.items():
        width = spent[f"{part}_seconds"].to_numpy(dtype=np.float64)
        axes.barh(rows, width, left=left, height=0.72, color=colour, linewidth=0)
        left += width
    for row, (measured, expected) in zip(rows, spent[[MEASURED, EXPECTED]].to_numpy(), strict=True):
        axes.plot([expected] * 2, [row - 0.45, row + 0.45], color="black", linewidth=1.1)
        axes.plot([measured], [row], marker="D", color="black", markersize=2.2)
    axes.set_yticks(range(len(names)), [label(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0, labelsize=6.5)
    axes.grid(visible=False, axis="y")
