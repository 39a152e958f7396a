"""How far the kept windows agree: between the seeds of a pruner, and between pruners."""

import numpy as np

from paper_figures import fig_kept_calendar
from stprune.paper import content, draw
from stprune.results.kept_windows import pruned_runs
from stprune.results.labels import label
from stprune.results.summary import Results

TITLE = "How far the kept windows agree"
applies = fig_kept_calendar.applies
# With more pruners than this, numbers in the cells are too small to read.
MOST_WITH_NUMBERS = 7
PAIR = ["pruner", "other"]


def build(results: Results) -> draw.Drawing:
    """One matrix per prune ratio: pruners against pruners, their own seeds on the diagonal."""
    runs = pruned_runs(results.summary)
    pruners = sorted(runs["pruner"].unique(), key=draw.order)
    overlaps = results.kept.overlaps
    cells = overlaps.groupby(["prune_ratio", *PAIR])[["overlap", "chance"]].mean()
    cells["excess"] = cells["overlap"] - cells["chance"]
    ratios = sorted(overlaps["prune_ratio"].unique())
    figure, grid = draw.panels(
        ["Pruner"],
        content.ratio_names(ratios),
        (draw.WIDTH - 1.6) / max(len(ratios), 2) + 1.5,
        xlabel="Pruner",
        sharex=True,
        sharey=True,
    )
    scale = draw.symmetric_scale(cells["excess"].to_numpy(np.float64), 0.05)
    words = [label(name) for name in pruners]
    for ratio, axes in zip(ratios, grid[0], strict=True):
        overlap, excess = (
            cells.loc[ratio, name].unstack().reindex(pruners, columns=pruners).to_numpy(np.float64)
            for name in ("overlap", "excess")
        )
        draw.cells(axes, excess, scale)
        axes.set_box_aspect(1)
        if len(pruners) <= MOST_WITH_NUMBERS:
            draw.write_in_cells(axes, excess, np.char.mod("%.2f", overlap), scale)
        axes.set_yticks(range(len(words)), words)
        axes.set_xticks(range(len(words)), words, rotation=90)
        axes.tick_params(labelsize=5)
    draw.colour_bar(figure, scale, "Jaccard overlap less that of random choices of the same sizes")
    caption = (
        "Jaccard overlap of the windows that two runs kept in the same late epoch: between seeds of"
        " a pruner on the diagonal, between pruners of the same seed elsewhere; mean over data"
        f" sets, backbones and {content.seed_count(results.aggregate)}. Colours: the overlap less"
        " that of two random choices; numbers, where there is room: the overlap itself. Hatched: no"
        " pair."
    )
    missing = fig_kept_calendar.without_record(results, runs)
    return draw.Drawing(figure, " ".join([caption, *missing]))
