"""Mean ranks of all pruners over data sets and backbones, and which of them do not differ."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stprune.base.layout import format_ratio
from stprune.paper.figures import PAGE_HEIGHT, Drawing, absent_controls, seeds_in_words
from stprune.paper.heat_map import empty_figure
from stprune.paper.looks import Look, looks
from stprune.paper.tables import format_number
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import TOO_FEW
from stprune.statistics.ranks import Ranking, alike, rankings

TITLE = "Critical differences of mean ranks"

WIDTH = 7.0
# Inches that the names take at either side, and what is left for the ranks.
NAME_WIDTH = 1.5
AXIS_WIDTH = WIDTH - 2 * NAME_WIDTH - 0.4
# Inches from one name to the next, and from one bar to the next.
LINE = 0.16
BAR = 0.09
# What the axis with its numbers takes, and what the longest note does.
ABOVE = 0.5
NOTE = 0.7
X = "Mean rank (1: lowest test MAE)"
NAME_SIZE = 7

Panel = tuple[str, float]


def build(results: Results) -> Drawing:
    """One panel per budget and prune ratio: an axis of mean ranks; bars join what does not differ.

    Args:
        results: The experiment; ranked is the test MAE, averaged over seeds.
    """
    found = rankings(results.summary)
    groups = {panel: alike(ranking) for panel, ranking in found.items()}
    depths = [_depth(found[panel], groups[panel]) for panel in found]
    shown = dict(list(found.items())[: _that_fit(depths)])
    notes = absent_controls(results.aggregate["pruner"])
    seeds = seeds_in_words(results.aggregate)
    if not shown:
        reason = "No data set on which two pruners of the same prune ratio were run."
        caption = " ".join([f"{reason} Experiment of {seeds}.", *notes])
        return Drawing(empty_figure(WIDTH, reason, X, "Prune ratio"), caption, reason)
    depths = depths[: len(shown)]
    figure = Figure(figsize=(WIDTH, sum(depths) + ABOVE * len(depths)))
    grid = figure.subplots(len(shown), 1, squeeze=False, height_ratios=depths)[:, 0]
    several = len({budget for budget, _ in found}) > 1
    look = looks(results.summary["pruner"])
    for axes, panel in zip(grid, shown, strict=True):
        _draw(axes, shown[panel], groups[panel], look)
        axes.set_ylabel(_name(panel, several, "\n"), fontweight="bold")
        axes.set_xlabel(X, fontsize=NAME_SIZE)
    hidden = [_name(panel, several, ", ") for panel in list(found)[len(shown) :]]
    caption = " ".join([_caption(shown, several, seeds), *_not_shown(hidden), *notes])
    return Drawing(figure, caption, _alt(shown, several))


def _that_fit(depths: list[float]) -> int:
    """How many of the panels a page has room for; one always is."""
    heights = np.cumsum(np.array(depths) + ABOVE)
    return max(1, int((heights <= PAGE_HEIGHT - NOTE).sum()))


def _depth(ranking: Ranking, groups: list[tuple[str, ...]]) -> float:
    """Inches that bars, names and the critical difference take below the axis."""
    return BAR * (len(groups) + 1) + LINE * (math.ceil(len(ranking.mean_ranks) / 2) + 1.2)


def _draw(
    axes: Axes, ranking: Ranking, groups: list[tuple[str, ...]], look: dict[str, Look]
) -> None:
    """Ranks to the right, inches downwards."""
    count, depth = len(ranking.mean_ranks), _depth(ranking, groups)
    # Room for the names within the axes, so that nothing reaches out of them.
    margin = NAME_WIDTH * (count - 1) / AXIS_WIDTH
    axes.set_xlim(1 - margin, count + margin)
    axes.set_ylim(depth, 0)
    axes.set_xticks(range(1, count + 1))
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.spines["top"].set_visible(True)
    axes.spines["top"].set_bounds(1, count)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    for row, names in enumerate(groups):
        ends = [ranking.mean_ranks[names[0]], ranking.mean_ranks[names[-1]]]
        axes.plot(ends, [BAR * (row + 1)] * 2, color="black", linewidth=2.4, zorder=4)
    _names(axes, ranking, BAR * (len(groups) + 1), look)
    _scale(axes, ranking, depth - 0.4 * LINE)


def _names(axes: Axes, ranking: Ranking, top: float, look: dict[str, Look]) -> None:
    """The better half to the left, best above; the worse half to the right, worst above."""
    count = len(ranking.mean_ranks)
    half = math.ceil(count / 2)
    for position, (pruner, rank) in enumerate(ranking.mean_ranks.items()):
        left = position < half
        row = position if left else count - 1 - position
        down = top + LINE * (row + 0.5)
        edge = 1 - 0.02 * (count - 1) if left else count + 0.02 * (count - 1)
        own = look[str(pruner)]
        axes.plot([rank, rank, edge], [0, down, down], color=own.colour, linewidth=0.8)
        axes.plot(
            [rank], [0], marker=own.marker, color=own.colour, linestyle="", clip_on=False, zorder=5
        )
        number = format_number(rank, 2)
        name = label(str(pruner))
        axes.text(
            edge,
            down,
            f"{name}  {number} " if left else f" {number}  {name}",
            ha="right" if left else "left",
            va="center",
            fontsize=NAME_SIZE,
        )


def _scale(axes: Axes, ranking: Ranking, down: float) -> None:
    """How far two mean ranks have to be apart, as a length; or that nothing can be told apart."""
    places = "1 place" if ranking.blocks == 1 else f"{ranking.blocks} places"
    if not ranking.testable:
        words, end = f"{TOO_FEW} places to test ({places})", 1.0
    else:
        end = 1 + ranking.critical_difference
        axes.plot([1, end], [down, down], color="black", linewidth=0.8, marker="|", markersize=5)
        words = f" critical difference {ranking.critical_difference:.2f}, {places}"
    axes.text(end, down, words, va="center", fontsize=NAME_SIZE)


def _name(panel: Panel, several_budgets: bool, between: str) -> str:
    budget, ratio = panel
    name = f"Prune ratio {format_ratio(ratio)}"
    return f"{name}{between}{label(budget)}" if several_budgets else name


def _caption(shown: dict[Panel, Ranking], several: bool, seeds: str) -> str:
    parts = [
        "Mean rank by test MAE among all pruners of a prune ratio and full training, over places"
        f" (data sets with backbones), each the mean of its seeds ({seeds})."
    ]
    if any(ranking.testable for ranking in shown.values()):
        parts.append(
            "Thick bars join pruners whose mean ranks lie less than Nemenyi's critical difference"
            " (0.05) apart: no difference was found. They count where Friedman's test rejects that"
            f" all rank alike: {_tests(shown, several)}."
        )
    if not all(ranking.testable for ranking in shown.values()):
        parts.append(
            "Too few places: even the largest difference of ranks would not reach the critical one."
        )
    for panel, ranking in shown.items():
        parts += _left_out(_name(panel, several, ", "), ranking)
    return " ".join(parts)


def _tests(shown: dict[Panel, Ranking], several: bool) -> str:
    return "; ".join(
        f"{_name(panel, several, ', ').lower()}, "
        + (f"p = {ranking.p:.3f}" if ranking.p >= 0.0005 else "p < 0.0005")
        for panel, ranking in shown.items()
        if ranking.testable
    )


def _left_out(name: str, ranking: Ranking) -> list[str]:
    """What is not ranked, since it was not run everywhere."""
    names = [label(pruner) for pruner in ranking.left_out]
    if ranking.places_left_out:
        names.append(f"{len(ranking.places_left_out)} incomplete places")
    return [f"{name}: left out {', '.join(names)}."] if names else []


def _not_shown(hidden: list[str]) -> list[str]:
    return [f"Not shown, for want of room: {'; '.join(hidden)}."] if hidden else []


def _alt(shown: dict[Panel, Ranking], several: bool) -> str:
    parts = [
        f"{_name(panel, several, ', ')}: "
        + ", ".join(f"{label(str(name))} {rank:.2f}" for name, rank in _items(ranking.mean_ranks))
        for panel, ranking in shown.items()
    ]
    return f"Mean ranks of pruners, best first. {'; '.join(parts)}."


def _items(ranks: pd.Series[float]) -> list[tuple[str, float]]:
    return [(str(name), float(rank)) for name, rank in ranks.items()]
