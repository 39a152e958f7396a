"""How far each entry is ahead of or behind the two controls, with intervals: a forest plot."""

import pandas as pd
from matplotlib.axes import Axes

from paper_figures import pairing
from stprune.paper import content, draw
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import CONTROLS, compare_all

TITLE = "Every entry against both controls"
applies = pairing.has_pairs
# Distance of the two controls' points from the middle of a row, in rows.
APART = 0.18


def build(results: Results) -> draw.Drawing:
    """One column of panels per prune ratio, one row per budget; a row of a panel is an entry."""
    compared = compare_all(results.summary).dropna(subset="prune_ratio")
    # The first control has no difference from itself, so it stands where 0 is.
    first = compared[compared["control"] == compared["control"].iloc[0]]
    means = first.groupby("pruner")["mean"].mean().reindex(compared["pruner"].unique()).fillna(0.0)
    names = sorted(means.index, key=lambda name: (means[name], label(name).lower()))
    budgets, ratios = (sorted(compared[key].unique()) for key in ("budget", "prune_ratio"))
    controls = [
        draw.handle(f"against {label(name)}", color=look.colour, marker=look.marker)
        for name, look in draw.looks(CONTROLS).items()
    ]
    figure, grid = draw.panels(
        [f"Equal {label(name).lower()}" for name in budgets],
        content.ratio_names(ratios),
        0.19 * len(names) + 0.4,
        xlabel="Difference (%)",
        legend=[*controls, *draw.significance()],
        sharex=True,
        sharey=True,
    )
    limits = draw.difference_limits(compared[["mean", "low", "high"]].to_numpy())
    for budget, panels in zip(budgets, grid, strict=True):
        of_budget = compared[compared["budget"] == budget]
        for ratio, axes in zip(ratios, panels, strict=True):
            axes.set_xlim(*limits)
            _panel(axes, of_budget[of_budget["prune_ratio"] == ratio], names)
    pairs = content.count_in_words(compared["cells"], "pair")
    caption = (
        "Mean difference in test MAE between paired runs, in % of the control's; left of 0 is"
        f" better ({content.seed_count(results.aggregate)}, {pairs} a point, 95 % bootstrap"
        f" intervals). {draw.MARKS}"
    )
    return draw.Drawing(figure, caption)


def _panel(axes: Axes, part: pd.DataFrame, names: list[str]) -> None:
    axes.axvline(0, color="black", linewidth=0.7, zorder=1)
    draw.named_rows(axes, names)
    # The eye follows bands through all panels better than lines.
    for row in range(1, len(names), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#f3f3f3", linewidth=0, zorder=0)
    for control, aside in zip(CONTROLS, (-APART, APART), strict=True):
        points = part[part["control"] == control]
        at = [names.index(name) + aside for name in points["pruner"]]
        draw.differences(axes, at, points, draw.LOOKS[control], upright=False)
