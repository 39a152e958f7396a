"""How far the kept windows agree: between the seeds of a pruner, and between pruners."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from paper_figures.fig_kept_calendar import applies
from stprune.base.layout import format_ratio
from stprune.paper import content, draw
from stprune.paper.figures import Drawing
from stprune.results.kept_windows import pruned_runs
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import CONTROLS

__all__ = ["TITLE", "applies", "build"]
TITLE = "How far the kept windows agree"
COLUMNS = 3
# With more pruners than this, numbers in the cells are too small to read.
MOST_WITH_NUMBERS = 7
# Width of a letter in inches, for each point of its size.
LETTER = 0.0085

Values = NDArray[np.float64]


class Agreement(NamedTuple):
    """Means over pairs of runs, (pruners, pruners): the overlap, and what chance would give."""

    overlap: Values
    chance: Values


def build(results: Results) -> Drawing:
    """One matrix per prune ratio: pruners against pruners, their own seeds on the diagonal.

    Args:
        results: The experiment, with the windows that its runs kept.
    """
    runs = pruned_runs(results.summary)
    # Controls first.
    pruners = sorted(runs["pruner"].unique(), key=lambda n: (n not in CONTROLS, label(n).lower()))
    missing = len(runs) - len(results.kept.calendars)
    found = {
        float(str(ratio)): _agreement(part, pruners)
        for ratio, part in results.kept.overlaps.groupby("prune_ratio")
    }
    caption = (
        "Jaccard overlap of the windows that two runs kept in the same late epoch: between seeds of"
        " a pruner on the diagonal, between pruners of the same seed elsewhere; mean over data"
        f" sets, backbones and {content.seed_count(results.aggregate)}. Colours: the overlap less"
        " that of two random choices, which the titles give at the nominal sizes. Hatched: no pair."
    )
    if len(pruners) <= MOST_WITH_NUMBERS:
        caption += " Numbers: the overlap itself."
    if missing:
        caption += f" {missing} runs without a record of kept windows are not counted."
    alt = (
        "One matrix per prune ratio: Jaccard overlap of the windows kept by every two of"
        f" {content.labels(pruners)}, against that of random choices."
    )
    return Drawing(_draw(found, pruners), caption, alt)


def _agreement(part: pd.DataFrame, pruners: list[str]) -> Agreement:
    """Mean over data sets and backbones; NaN for no pair."""
    places = []
    for _, place in part.groupby(content.PLACE):
        at = tuple(place[name].map(pruners.index) for name in ("pruner", "other"))
        matrices = np.full((2, len(pruners), len(pruners)), np.nan)
        matrices[0][at], matrices[1][at] = place["overlap"], place["chance"]
        places.append(matrices)
    counts = (~np.isnan([place[0] for place in places])).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return Agreement(*(np.nansum(places, axis=0) / counts))


def _draw(found: dict[float, Agreement], pruners: list[str]) -> Figure:
    width = min(COLUMNS, len(found))
    height = math.ceil(len(found) / width)
    size = 7 if len(pruners) <= MOST_WITH_NUMBERS else 5
    names = max(len(label(name)) for name in pruners) * size * LETTER
    # A single panel is no larger than one of two.
    side = (draw.WIDTH - names - 0.5) / max(width, 2) - 0.25
    figure, grid = draw.grid(height, width, height=(side + 0.45) * height + names + 1.1)
    excess = np.array([part.overlap - part.chance for part in found.values()])
    scale = draw.symmetric_scale(excess, 0.05)
    for position, axes in enumerate(grid.flat):
        if position >= len(found):
            axes.remove()
            continue
        ratio = list(found)[position]
        _panel(axes, found[ratio], scale)
        first, lowest = position % width == 0, position + width >= len(found)
        words = [label(name) for name in pruners]
        axes.set_yticks(range(len(words)), words if first else [])
        axes.set_xticks(range(len(words)), words if lowest else [], rotation=90)
        axes.tick_params(labelsize=size, labelbottom=lowest)
        axes.set(xlabel="Pruner" if lowest else "", ylabel="Pruner" if first else "")
        # Two random choices of a share r = 1 - p of the windows overlap by r / (2 - r).
        expected = (1 - ratio) / (1 + ratio)
        axes.set_title(f"Prune ratio {format_ratio(ratio)}, random {expected:.2f}")
    draw.colour_bar(figure, scale, "Jaccard overlap less that of random choices of the same sizes")
    return figure


def _panel(axes: Axes, part: Agreement, scale: Normalize) -> None:
    excess = part.overlap - part.chance
    draw.cells(axes, excess, scale)
    axes.set_box_aspect(1)
    if len(excess) <= MOST_WITH_NUMBERS:
        words = [[f"{value:.2f}" for value in row] for row in part.overlap]
        draw.write_in_cells(axes, excess, words, scale, 6)
