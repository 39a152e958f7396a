"""Where the time of an epoch goes, and whether it is what the kept share would explain."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from stprune.paper import content, draw
from stprune.records.store import KEYS, PLACE, REFERENCE
from stprune.results.labels import timing_notes
from stprune.results.summary import Results

TITLE = "Where the time of an epoch goes"
CELL = KEYS[:-1]
# Colours of the parts: cool for training, warm for what pruning adds, grey for what counts in the
# total only (Okabe and Ito, 2008).
PARTS = {
    "data": "#56B4E9",
    "step": "#0072B2",
    "scoring": "#D55E00",
    "selection": "#F0E442",
    "validation": "#9a9a9a",
    "checkpoint": "#cfcfcf",
}
COLUMNS = [f"{part}_seconds" for part in PARTS]
MEASURED, EXPECTED = "epoch_seconds", "expected_epoch_seconds"


def applies(results: Results) -> bool:
    """Whether the times of epochs are known."""
    return bool(results.epochs["train_seconds"].notna().any())


def build(results: Results) -> draw.Drawing:
    """One panel per prune ratio, one stacked bar per pruner, with measured and expected time."""
    spent, relative = epoch_parts(results)
    ratios = content.ratios(spent)
    names = sorted(spent["pruner"].unique(), key=draw.order)
    style = {"color": "black", "linestyle": ""}
    figure, grid = draw.panels(
        ["Pruner"],
        content.ratio_names(ratios),
        0.17 * len(names) + 0.4,
        xlabel="Time (% of full)" if relative else "Seconds per epoch",
        legend=[
            *(Patch(color=colour, label=part.capitalize()) for part, colour in PARTS.items()),
            draw.handle("Measured", marker="D", markersize=2.2, **style),
            draw.handle("Expected", marker="|", markersize=7, **style),
        ],
        sharex=True,
        sharey=True,
    )
    for axes, ratio in zip(grid[0], ratios, strict=True):
        _panel(axes, content.at_ratio(spent, ratio).set_index("pruner"), names)
    caption = (
        f"Mean time of a pruned epoch over {content.seed_count(results.aggregate)}, then over data"
        " sets and backbones. Diamond: the per-epoch time that is reported, a median without"
        " validation and checkpoint; line: the time expected from the kept share and the pruner's"
        " own scoring and selection."
    )
    caption = " ".join([caption, *timing_notes(results.aggregate["timing"], drawn=True)])
    return draw.Drawing(figure, caption)


def epoch_parts(results: Results) -> tuple[pd.DataFrame, bool]:
    """Mean time of an epoch by part, of each pruner and prune ratio, over seeds, then places.

    Only the pruned epochs of a run count, or all where none was pruned, as for the per-epoch time
    of its record. Also returns whether times are in % of the sum of the parts of full training's
    mean epoch there; else they are in seconds, as full training was not run everywhere.
    """
    pruned = (results.epochs["keep_ratio"] < 1) & (results.epochs["prune_ratio"] > 0)
    epochs = results.epochs.assign(pruned=pruned)
    any_pruned = epochs.groupby(KEYS)["pruned"].transform("any")
    counted = epochs[epochs["pruned"] | ~any_pruned]
    parts = counted.groupby(KEYS)[COLUMNS].mean().groupby(CELL).mean().reset_index()
    parts = parts.merge(results.aggregate[[*CELL, MEASURED, EXPECTED]], on=CELL)
    full = parts[parts["pruner"] == REFERENCE].set_index(PLACE)
    whole = full[COLUMNS].sum(axis="columns").rename("whole")
    of_place = parts.join(whole, on=PLACE)["whole"]
    relative = not of_place.isna().any()
    every = [*COLUMNS, MEASURED, EXPECTED]
    if relative:
        parts[every] = 100 * parts[every].div(of_place, axis="index")
    return parts.groupby(["pruner", "prune_ratio"])[every].mean().reset_index(), relative


def _panel(axes: Axes, spent: pd.DataFrame, names: list[str]) -> None:
    rows = np.array([names.index(name) for name in spent.index])
    left = np.zeros(len(rows))
    for column, colour in zip(COLUMNS, PARTS.values(), strict=True):
        axes.barh(rows, spent[column], left=left, height=0.72, color=colour, linewidth=0)
        left += spent[column].to_numpy(np.float64)
    axes.vlines(spent[EXPECTED], rows - 0.45, rows + 0.45, color="black", linewidth=1.1)
    axes.plot(spent[MEASURED], rows, marker="D", color="black", markersize=2.2, linestyle="")
    draw.named_rows(axes, names)
