"""Where pruning pays: every pruner against both controls, by data set, backbone and ratio."""

import math

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize

from paper_figures import pairing
from stprune.base.layout import format_ratio
from stprune.paper import content, draw
from stprune.records.store import PLACE
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import CONTROLS, LEVEL, differences_from, holm, t_test

TITLE = "Where pruning pays"
applies = pairing.has_pairs
# With more columns than this there is no room for numbers in the cells.
MOST_WITH_NUMBERS = 16
CELL = ["control", "prune_ratio", "pruner", *PLACE]


def build(results: Results) -> draw.Drawing:
    """One panel per control: rows are prune ratios and pruners, columns data sets and backbones."""
    # The controls are compared with each other once, against the first.
    pairs = pd.concat([differences_from(results.summary, n).assign(control=n) for n in CONTROLS])
    differences = pairs[pairs["pruner"] != CONTROLS[0]].groupby(CELL)["difference"]
    tests = [t_test(part.to_numpy(np.float64)) for _, part in differences]
    cells = pd.DataFrame({"mean": differences.mean(), "seeds": differences.size()})
    cells = cells.assign(holm_p=holm(tests)).reset_index()
    controls = [name for name in CONTROLS if name in set(cells["control"])]
    columns = content.places(results.aggregate)
    every = set(zip(cells["prune_ratio"], cells["pruner"], strict=True))
    rows = sorted(every, key=lambda row: (row[0], draw.order(row[1])))
    figure, grid = draw.panels(
        ["Pruner, prune ratio"],
        [f"Against {label(name)}" for name in controls],
        min(0.17 * len(rows) + 1.6, draw.ROWS_HEIGHT),
        xlabel="Data set, backbone",
        sharey=True,
    )
    # A tenth of the cells may lie beyond the colours: a few pruners that lose much would leave all
    # others one colour.
    limit = max(1.0, math.ceil(cells["mean"].abs().quantile(0.9)))
    scale = Normalize(-limit, limit)
    with_numbers = len(columns) * len(controls) <= MOST_WITH_NUMBERS
    for axes, control in zip(grid[0], controls, strict=True):
        part = cells[cells["control"] == control]
        values, p = (
            part.pivot(index=["prune_ratio", "pruner"], columns=PLACE, values=name)
            .reindex(rows, columns=columns)
            .to_numpy(np.float64)
            for name in ("mean", "holm_p")
        )
        draw.cells(axes, values, scale)
        numbers = np.char.mod("%+.1f" if with_numbers else "", values)
        draw.write_in_cells(axes, values, np.char.add(numbers, np.where(p < LEVEL, "*", "")), scale)
        axes.set_yticks(range(len(rows)), [f"{label(name)}, {format_ratio(r)}" for r, name in rows])
        names = [f"{dataset}, {label(backbone)}" for dataset, backbone in columns]
        axes.set_xticks(range(len(columns)), names, rotation=90)
    draw.colour_bar(figure, scale, "Difference in test MAE (%)")
    caption = (
        "Mean difference in test MAE over paired seeds, in % of the control's; negative (purple) is"
        f" better. {content.count_in_words(cells['seeds'], 'seed')} a cell; hatched: not run."
        f" Colours end at {limit:.0f} %; some cells may lie beyond. *: p < {LEVEL} in a paired t"
        " test over seeds, by Holm's correction over all"
        f" {cells['holm_p'].count()} cells with two seeds or more; an unmarked cell is no proof of"
        " equality."
    )
    return draw.Drawing(figure, caption)
