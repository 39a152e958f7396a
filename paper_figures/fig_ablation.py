"""How far each entry is ahead of or behind the two controls, with intervals: a forest plot."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.pairing import has_pairs as applies
from stprune.base.layout import format_ratio
from stprune.paper import content, draw
from stprune.paper.figures import Drawing
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import CONTROLS, LEVEL, compare_all

__all__ = ["TITLE", "applies", "build"]
TITLE = "Every entry against both controls"
ROW_HEIGHT = 0.19
# Distance of the two controls' points from the middle of a row, in rows.
APART = 0.18


def build(results: Results) -> Drawing:
    """One column of panels per prune ratio, one row per budget; a row of a panel is an entry.

    Args:
        results: The experiment; differences in test MAE are in percent of the control's.
    """
    compared = compare_all(results.summary).dropna(subset="prune_ratio")
    names = _best_first(compared)
    axis = draw.difference_axis(compared)
    budgets = sorted(compared["budget"].unique())
    ratios = sorted(compared["prune_ratio"].unique())
    height = len(budgets) * (ROW_HEIGHT * len(names) + 0.55) + 0.2 + 2 * draw.LEGEND_LINE
    figure, grid = draw.grid(len(budgets), len(ratios), sharex=True, sharey=True, height=height)
    for budget, panels in zip(budgets, grid, strict=True):
        for ratio, axes in zip(ratios, panels, strict=True):
            part = compared[(compared["budget"] == budget) & (compared["prune_ratio"] == ratio)]
            _panel(axes, part, names, axis)
            where = f", equal {label(budget).lower()}" if len(budgets) > 1 else ""
            axes.set_title(f"Prune ratio {format_ratio(ratio)}{where}")
        panels[0].set_ylabel("Pruner")
    for axes in grid[-1]:
        axes.set_xlabel("Difference in test MAE (%)", fontsize=7 if len(ratios) < 4 else 5.5)
    _add_legend(figure)
    seeds = content.seed_count(results.aggregate)
    pairs = content.count_in_words(compared["cells"], "pair")
    controls = content.labels(sorted(set(compared["control"])))
    caption = (
        "Mean difference in test MAE between paired runs, in % of the control's; left of 0 is"
        f" better ({seeds}, {pairs} a point, 95 % bootstrap intervals)."
        f" Filled: p below {LEVEL} in a paired t test with Holm's correction over all entries and"
        " prune ratios against that control; hollow is no proof of equality."
    )
    if axis.beyond:
        caption += " Arrows and cut bars: beyond the scale, with the mean."
    alt = (
        f"Forest plot of the difference in test MAE from {controls} by prune ratio; from best to"
        f" worst: {content.labels(names)}."
    )
    return Drawing(figure, caption, alt)


def _best_first(compared: pd.DataFrame) -> list[str]:
    """Entries by their mean over all panels against the first control that was run."""
    control = next(name for name in CONTROLS if name in set(compared["control"]))
    against = compared[compared["control"] == control].groupby("pruner")["mean"].mean()
    # The control has no difference from itself, so it stands where 0 is.
    means = against.reindex(compared["pruner"].unique()).fillna(0.0)
    return sorted(means.index, key=lambda name: (means[name], label(name).lower()))


def _panel(axes: Axes, part: pd.DataFrame, names: list[str], axis: draw.DifferenceAxis) -> None:
    axes.axvline(0, color="black", linewidth=0.7, zorder=1)
    axes.set_xlim(axis.low, axis.high)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), [label(name) for name in names])
    axes.tick_params(axis="y", length=0, labelsize=6.5)
    # The eye follows bands through all panels better than lines.
    axes.grid(visible=False, axis="y")
    for row in range(1, len(names), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#f3f3f3", linewidth=0, zorder=0)
    for _, point in part.iterrows():
        aside = -APART if point["control"] == CONTROLS[0] else APART
        height = names.index(point["pruner"]) + aside
        draw.difference(axes, height, point, draw.LOOKS[point["control"]], axis, upright=False)


def _add_legend(figure: Figure) -> None:
    handles = [
        draw.handle(
            f"against {label(control)}: {words}",
            color=draw.LOOKS[control].colour,
            marker=draw.LOOKS[control].marker,
            markerfacecolor=draw.LOOKS[control].colour if filled else "white",
            markersize=3.4,
            linewidth=0.9,
        )
        for control in CONTROLS
        for words, filled in ((f"p < {LEVEL}", True), ("not decided", False))
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
