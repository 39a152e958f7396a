"""How far the kept windows agree: between the seeds of a pruner, and between pruners."""

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
from stprune.paper.figures import Drawing, absent_controls, seeds_in_words
from stprune.paper.heat_map import COLOURS, draw_cells, empty_figure, symmetric, write_in_cells
from stprune.results.kept_windows import pruned_runs
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.significance import CONTROLS

TITLE = "How far the kept windows agree"

WIDTH = 7.0
COLUMNS = 3
# With more pruners than this, numbers in the cells cannot be read.
MOST_WITH_NUMBERS = 7
# Width of a letter, in inches for each point of its size.
LETTER = 0.0085
X, Y = "Pruner", "Pruner"

Values = NDArray[np.float64]


class Agreement(NamedTuple):
    """Means over pairs of runs, (pruners, pruners): the overlap, and what chance would give."""

    overlap: Values
    chance: Values


def applies(results: Results) -> bool:
    """Whether a run with pruned epochs has an archive."""
    return not results.kept.calendars.empty


def build(results: Results) -> Drawing:
    """One matrix per prune ratio: pruners against pruners, their own seeds on the diagonal.

    Args:
        results: The experiment, with the archives of its runs.
    """
    runs = pruned_runs(results.summary)
    pruners = sorted(runs["pruner"].unique(), key=_order)
    kept = results.kept
    missing = len(runs) - len(kept.calendars)
    found = {
        float(str(ratio)): _agreement(part, pruners)
        for ratio, part in kept.overlaps.groupby("prune_ratio")
    }
    absent = absent_controls(results.aggregate["pruner"])
    seeds = seeds_in_words(results.aggregate)
    if not found:
        reason = "No archive of a run with pruned epochs: nothing to compare."
        caption = " ".join([f"{reason} Experiment of {seeds}.", *absent])
        return Drawing(empty_figure(WIDTH, reason, X, Y), caption, f"An empty panel. {reason}")
    figure = _draw(found, pruners)
    caption = " ".join([_caption(seeds, missing, len(pruners)), *absent])
    return Drawing(figure, caption, _alt(found, pruners))


def _order(pruner: str) -> tuple[bool, str]:
    """Controls first."""
    return pruner not in CONTROLS, label(pruner).lower()


def _agreement(part: pd.DataFrame, pruners: list[str]) -> Agreement:
    """Mean over data sets and backbones; NaN for no pair."""
    places = [_matrices(place, pruners) for _, place in part.groupby(["dataset", "backbone"])]
    known = (~np.isnan([place.overlap for place in places])).sum(axis=0)
    with np.errstate(invalid="ignore"):
        sums = (np.nansum([place[part] for place in places], axis=0) / known for part in (0, 1))
        return Agreement(*sums)


def _matrices(place: pd.DataFrame, pruners: list[str]) -> Agreement:
    """What the table of overlaps says of one data set and backbone."""
    at = tuple(place[name].map(pruners.index) for name in ("pruner", "other"))
    found = Agreement(*np.full((2, len(pruners), len(pruners)), np.nan))
    for values, matrix in zip((place["overlap"], place["chance"]), found, strict=True):
        matrix[at] = values
    return found


def _draw(found: dict[float, Agreement], pruners: list[str]) -> Figure:
    width = min(COLUMNS, len(found))
    height = math.ceil(len(found) / width)
    names = max(len(label(name)) for name in pruners) * _size(pruners) * LETTER
    # A single panel is no larger than one of two.
    side = (WIDTH - names - 0.5) / max(width, 2) - 0.25
    figure = Figure(figsize=(WIDTH, (side + 0.45) * height + names + 1.1))
    grid = figure.subplots(height, width, squeeze=False)
    scale = symmetric(np.array([part.overlap - part.chance for part in found.values()]), 0.05)
    for position, axes in enumerate(grid.flat):
        if position >= len(found):
            axes.remove()
            continue
        ratio = list(found)[position]
        _panel(axes, found[ratio], pruners, scale)
        lowest = position + width >= len(found)
        _label(axes, pruners, position % width == 0, lowest)
        axes.set_title(f"Prune ratio {format_ratio(ratio)}, random {_expected(ratio):.2f}")
    bar = figure.colorbar(
        ScalarMappable(scale, COLOURS), ax=figure.axes, location="bottom", aspect=60, shrink=0.6
    )
    bar.set_label("Jaccard overlap less that of random choices of the same sizes")
    return figure


def _size(pruners: list[str]) -> float:
    """Points of their names."""
    return 7 if len(pruners) <= MOST_WITH_NUMBERS else 5


def _panel(axes: Axes, part: Agreement, pruners: list[str], scale: Normalize) -> None:
    excess = part.overlap - part.chance
    draw_cells(axes, excess, scale)
    axes.set_box_aspect(1)
    if len(pruners) <= MOST_WITH_NUMBERS:
        words = [[f"{value:.2f}" for value in row] for row in part.overlap]
        write_in_cells(axes, excess, words, scale, 6)


def _label(axes: Axes, pruners: list[str], first: bool, lowest: bool) -> None:
    names = [label(name) for name in pruners]
    places = range(len(names))
    axes.set_yticks(places, names if first else [])
    axes.set_xticks(places, names if lowest else [], rotation=90)
    axes.tick_params(labelsize=_size(pruners), labelbottom=lowest)
    if first:
        axes.set_ylabel(Y)
    if lowest:
        axes.set_xlabel(X)


def _expected(prune_ratio: float) -> float:
    """Overlap of two random choices of a share r = 1 - p of the windows: r / (2 - r)."""
    return (1 - prune_ratio) / (1 + prune_ratio)


def _caption(seeds: str, missing: int, pruners: int) -> str:
    parts = [
        "Jaccard overlap of the windows that two runs kept in the same epoch, the last that all (or"
        " most) of them pruned: between seeds of one pruner on the diagonal, between pruners of the"
        f" same seed elsewhere. Mean over data sets, backbones and {seeds}. 0: as two random"
        " choices; random in the titles: their overlap at the nominal sizes. Hatched: no pair, as"
        " for the diagonal with one seed. What keeps every window is not shown."
    ]
    if pruners <= MOST_WITH_NUMBERS:
        parts.append("Numbers: the overlap itself.")
    if missing:
        parts.append(f"{missing} runs without an archive of pruned epochs are not counted.")
    return " ".join(parts)


def _alt(found: dict[float, Agreement], pruners: list[str]) -> str:
    ratios = ", ".join(format_ratio(ratio) for ratio in found)
    names = ", ".join(label(name) for name in pruners)
    return (
        f"One matrix per prune ratio ({ratios}): Jaccard overlap of the windows kept by {names}, of"
        " each with each and of its own seeds, against that of random choices."
    )
