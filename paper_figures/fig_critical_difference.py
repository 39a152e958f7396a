"""Mean ranks of all pruners over data sets and backbones, and which of them do not differ."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes

from stprune.base.layout import format_ratio
from stprune.paper import content, draw
from stprune.paper.figures import Drawing
from stprune.paper.tables import format_number
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import TOO_FEW
from stprune.statistics.ranks import Ranking, alike, rankings

TITLE = "Critical differences of mean ranks"
# Inches that the names take at either side, and what is left for the ranks.
NAME_WIDTH = 1.5
AXIS_WIDTH = draw.WIDTH - 2 * NAME_WIDTH - 0.4
# Inches from one name to the next, and from one bar to the next.
LINE, BAR = 0.16, 0.09
# Inches for the axis with its numbers, and for the longest caption.
ABOVE, NOTE = 0.5, 0.7
NAME_SIZE = 7

Groups = list[tuple[str, ...]]
Panel = tuple[str, float]


def applies(results: Results) -> bool:
    """Whether two pruners of the same prune ratio were run on a data set."""
    return bool(rankings(results.summary))


def build(results: Results) -> Drawing:
    """One panel per budget and prune ratio: an axis of mean ranks; bars join what does not differ.

    Args:
        results: The experiment; ranked is the test MAE, averaged over seeds.
    """
    found = rankings(results.summary)
    groups = {panel: alike(ranking) for panel, ranking in found.items()}
    depths = [_depth(found[panel], groups[panel]) for panel in found]
    # At least one panel is shown, and as many as fit a page.
    fit = max(1, int((np.cumsum(np.array(depths) + ABOVE) <= draw.PAGE_HEIGHT - NOTE).sum()))
    shown, depths = dict(list(found.items())[:fit]), depths[:fit]
    figure, grid = draw.grid(fit, 1, sum(depths) + ABOVE * fit, height_ratios=depths)
    several = len({budget for budget, _ in found}) > 1
    look = draw.looks(results.summary["pruner"])
    for axes, panel in zip(grid[:, 0], shown, strict=True):
        _draw(axes, shown[panel], groups[panel], look)
        axes.set_ylabel(_name(panel, several, "\n"), fontweight="bold")
        axes.set_xlabel("Mean rank (1: lowest test MAE)", fontsize=NAME_SIZE)
    caption = [_caption(shown, several, content.seed_count(results.aggregate))]
    for panel, ranking in shown.items():
        left_out = content.labels(ranking.left_out)
        if ranking.places_left_out:
            left_out += f"{', ' * bool(left_out)}{len(ranking.places_left_out)} incomplete places"
        if left_out:
            caption.append(f"{_name(panel, several, ', ')}: left out {left_out}.")
    caption += content.not_shown(
        "; ".join(_name(panel, several, ", ") for panel in list(found)[fit:])
    )
    orders = "; ".join(
        f"{_name(panel, several, ', ').lower()}: {content.labels(ranking.mean_ranks.index)}"
        for panel, ranking in shown.items()
    )
    return Drawing(figure, " ".join(caption), f"Mean ranks of pruners, best first; {orders}.")


def _caption(shown: dict[Panel, Ranking], several: bool, seeds: str) -> str:
    caption = (
        "Mean rank by test MAE among all pruners of a prune ratio and full training, over places"
        f" (data sets with backbones), each the mean of its seeds ({seeds})."
    )
    tests = [
        f"{_name(panel, several, ', ').lower()}, "
        + (f"p = {ranking.p:.3f}" if ranking.p >= 0.0005 else "p < 0.0005")
        for panel, ranking in shown.items()
        if ranking.testable
    ]
    if tests:
        caption += (
            " Thick bars join pruners that Nemenyi's critical difference (0.05) does not tell"
            f" apart; Friedman's test that all rank alike: {'; '.join(tests)}."
        )
    if len(tests) < len(shown):
        caption += " With too few places no difference of ranks can be significant."
    return caption


def _depth(ranking: Ranking, groups: Groups) -> float:
    """Inches that bars, names and the critical difference take below the axis."""
    return BAR * (len(groups) + 1) + LINE * (math.ceil(len(ranking.mean_ranks) / 2) + 1.2)


def _draw(axes: Axes, ranking: Ranking, groups: Groups, look: dict[str, draw.Look]) -> None:
    """Ranks to the right, inches downwards."""
    count, depth = len(ranking.mean_ranks), _depth(ranking, groups)
    # The names are inside the axes, so that nothing reaches out of them.
    margin = NAME_WIDTH * (count - 1) / AXIS_WIDTH
    axes.set(xlim=(1 - margin, count + margin), ylim=(depth, 0))
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
    _critical_difference(axes, ranking, depth - 0.4 * LINE)


def _names(axes: Axes, ranking: Ranking, top: float, look: dict[str, draw.Look]) -> None:
    """The better half to the left, best above; the worse half to the right, worst above."""
    count = len(ranking.mean_ranks)
    half = math.ceil(count / 2)
    for position, (pruner, rank) in enumerate(ranking.mean_ranks.items()):
        left = position < half
        down = top + LINE * ((position if left else count - 1 - position) + 0.5)
        edge = 1 - 0.02 * (count - 1) if left else count + 0.02 * (count - 1)
        own = look[str(pruner)]
        axes.plot([rank, rank, edge], [0, down, down], color=own.colour, linewidth=0.8)
        axes.plot(
            [rank], [0], marker=own.marker, color=own.colour, linestyle="", clip_on=False, zorder=5
        )
        name, number = label(str(pruner)), format_number(rank, 2)
        words = f"{name}  {number} " if left else f" {number}  {name}"
        side = "right" if left else "left"
        axes.text(edge, down, words, ha=side, va="center", fontsize=NAME_SIZE)


def _critical_difference(axes: Axes, ranking: Ranking, down: float) -> None:
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
