"""Mean ranks of all pruners over data sets and backbones, and which of them do not differ."""

import math

from matplotlib.axes import Axes

from stprune.base.layout import format_ratio
from stprune.paper import content, draw
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import TOO_FEW
from stprune.statistics.ranks import Ranking, alike, rankings

TITLE = "Critical differences of mean ranks"
# Inches that the names take at either side, and what is left for the ranks.
NAME_WIDTH = 1.5
AXIS_WIDTH = draw.WIDTH - 2 * NAME_WIDTH - 0.4
# Inches from one name to the next, from one bar to the next, and for the axis with its numbers.
LINE, BAR, ABOVE = 0.15, 0.09, 0.3

Groups = list[tuple[str, ...]]


def applies(results: Results) -> bool:
    """Whether two pruners of the same prune ratio were run on a data set."""
    return bool(rankings(results.summary))


def build(results: Results) -> draw.Drawing:
    """One panel per budget and prune ratio: mean ranks; bars join what does not differ."""
    found = {
        f"Prune ratio {format_ratio(ratio)}\nEqual {label(budget).lower()}": (one, alike(one))
        for (budget, ratio), one in rankings(results.summary).items()
    }
    depth = max(
        BAR * (len(groups) + 1) + LINE * (math.ceil(len(one.mean_ranks) / 2) + 1.2)
        for one, groups in found.values()
    )
    # At least one panel is shown, and as many as fit a page.
    most = max(1, int(draw.ROWS_HEIGHT / (depth + ABOVE)))
    shown = dict(list(found.items())[:most])
    titles = ["Mean rank (1: lowest test MAE)"]
    figure, grid = draw.panels(list(shown), titles, depth + ABOVE)
    look = draw.looks(results.summary["pruner"])
    for axes, (ranking, groups) in zip(grid[:, 0], shown.values(), strict=True):
        axes.set_ylim(depth, 0)
        _axis(axes, ranking, groups)
        _names(axes, ranking, BAR * (len(groups) + 1), look)
        _verdict(axes, ranking, depth - 0.4 * LINE)
    caption = (
        "Mean rank by test MAE among all pruners of a prune ratio and full training, over places"
        " (data sets with backbones), each the mean of its seeds"
        f" ({content.seed_count(results.aggregate)}). Thick bars join pruners that Nemenyi's"
        " critical difference (0.05) does not tell apart; p: Friedman's test that all rank alike."
    )
    left_out = [name.replace("\n", ", ") for name in list(found)[most:]]
    words = " ".join([caption, *content.not_shown("; ".join(left_out))])
    return draw.Drawing(figure, words)


def _axis(axes: Axes, ranking: Ranking, groups: Groups) -> None:
    """Ranks to the right, inches downwards; a bar for each group that is not told apart."""
    count = len(ranking.mean_ranks)
    # The names are inside the axes, so that nothing reaches out of them.
    margin = NAME_WIDTH * (count - 1) / AXIS_WIDTH
    axes.set_xlim(1 - margin, count + margin)
    axes.set_xticks(range(1, count + 1))
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.spines["top"].set_visible(True)
    axes.spines["top"].set_bounds(1, count)
    axes.xaxis.tick_top()
    for row, names in enumerate(groups):
        ends = [ranking.mean_ranks[names[0]], ranking.mean_ranks[names[-1]]]
        axes.plot(ends, [BAR * (row + 1)] * 2, color="black", linewidth=2.4, zorder=4)


def _names(axes: Axes, ranking: Ranking, top: float, look: dict[str, draw.Look]) -> None:
    """The better half to the left, best above; the worse half to the right, worst above."""
    count = len(ranking.mean_ranks)
    for position, (pruner, rank) in enumerate(ranking.mean_ranks.items()):
        left = position < math.ceil(count / 2)
        down = top + LINE * ((position if left else count - 1 - position) + 0.5)
        edge = 1 - 0.02 * (count - 1) if left else count + 0.02 * (count - 1)
        own, name = look[str(pruner)], label(str(pruner))
        axes.plot([rank, rank, edge], [0, down, down], color=own.colour, linewidth=0.8)
        axes.plot([rank], [0], marker=own.marker, color=own.colour, clip_on=False, zorder=5)
        words = f"{name}  {rank:.2f} " if left else f" {rank:.2f}  {name}"
        axes.text(edge, down, words, ha="right" if left else "left", va="center", fontsize=7)


def _verdict(axes: Axes, ranking: Ranking, down: float) -> None:
    """How far two mean ranks have to be apart, as a length; and what was left out."""
    words, end = f"{TOO_FEW} places to test ({ranking.blocks})", 1.0
    if ranking.testable:
        end = 1 + ranking.critical_difference
        axes.plot([1, end], [down, down], color="black", linewidth=0.8, marker="|", markersize=5)
        words = f" critical difference {ranking.critical_difference:.2f}, {ranking.blocks} places"
        words += f", p = {ranking.p:.2g}"
    if ranking.left_out:
        words += f"; left out: {content.labels(ranking.left_out)}"
    if ranking.places_left_out:
        words += f"; {len(ranking.places_left_out)} incomplete places left out"
    axes.text(end, down, words, va="center", fontsize=7)
