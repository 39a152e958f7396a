"""Test error against training time: what each pruner pays for the time it saves."""

import math

import numpy as np
import pandas as pd

from stprune.base.layout import format_ratio
from stprune.paper import content, draw
from stprune.records.store import REFERENCE
from stprune.results.labels import label, timing_notes
from stprune.results.summary import Results, mean_over_places

TITLE = "Test error against training time"
# More data sets and backbones than this are averaged.
MOST_ROWS = 3
COSTS = ("epoch", "total")


def applies(results: Results) -> bool:
    """Whether there is an error to draw; relative to full training where that was run."""
    table = results.aggregate
    error = "test_mae_change" if REFERENCE in set(table["pruner"]) else "test_mae"
    return bool(table[error].notna().any())


def build(results: Results) -> draw.Drawing:
    """One row of two panels per data set and backbone: per-epoch time left, total time right.

    More of them than fit a page are averaged, one row per budget, over the prune ratios that all
    have; those with more of them follow. Without times steps are shown.
    """
    names, left_out = content.shown_pruners(results)
    rows, others = content.shown_places(results)
    table, relative = results.aggregate, REFERENCE in names
    words = f"Mean and one standard deviation over {content.seed_count(table)}."
    means: list[content.Place] = []
    if relative and len(rows) > MOST_ROWS:
        mean = mean_over_places(results).assign(target_unit="%")
        further = table[~table["prune_ratio"].isin(mean["prune_ratio"])]
        means, others = content.places(mean), []
        rows = means + content.places(further)[: MOST_ROWS - len(means)]
        words = (
            f"Change against full training, {content.seed_count(mean)}; mean and one standard"
            " deviation over data sets and backbones at the prune ratios that all have (of fewer"
            " where not everything was run)."
        )
        if rows[len(means) :]:
            words += " Below, those with further prune ratios, over seeds."
        table = pd.concat([mean, table])
    if relative:
        words += f" {draw.LEAVE}"
    table = table[table["pruner"].isin(names)].sort_values("prune_ratio")
    parts = [content.at_place(table, place) for place in rows]
    titles = (
        content.with_unit(
            "Change in test MAE" if place in means else "Test MAE", part["target_unit"]
        )
        for place, part in zip(rows, parts, strict=True)
    )
    shown = draw.looks(names)
    costs = dict.fromkeys(content.time_axis(table, cost) for cost in COSTS)
    (*_, unit), several = next(iter(costs)), len(costs) > 1
    figure, grid = draw.panels(
        [
            f"{dataset}, {label(backbone)}\n{title}"
            for (dataset, backbone), title in zip(rows, titles, strict=True)
        ],
        [name for _, name, _ in costs],
        2.7,
        xlabel=f"{'Time' if several else 'Gradient steps'} ({unit})",
        legend=draw.entries(shown),
        sharey="row",
    )
    for part, panels in zip(parts, grid, strict=True):
        full = float(part.loc[part["pruner"] == REFERENCE, "test_mae"].mean())
        if not math.isnan(full):
            # A pruner that loses much must not flatten the others.
            errors = part["test_mae"].to_numpy(np.float64)
            panels[0].set_ylim([full + end for end in draw.difference_limits(errors - full)])
        for axes, (cost, *_) in zip(panels, costs, strict=True):
            draw.reference(axes, part[part["pruner"] == REFERENCE])
            draw.lines(axes, part, cost, "test_mae", shown)
            axes.set_xlim(left=0)
    pruned = ", ".join(map(format_ratio, content.ratios(table)))
    caption = f"{words} Each line joins a pruner's prune ratios in order: {pruned}."
    notes = timing_notes(table["timing"], drawn=True)
    if any(f"{cost}_low" in table and table[f"{cost}_low"].notna().any() for cost, *_ in costs):
        notes.insert(0, "Horizontal bars: 95 % interval of the timing.")
    return draw.Drawing(figure, " ".join([caption, *notes, *left_out, *others]))
