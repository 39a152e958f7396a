"""How the scores that pruners choose by are distributed, from epoch to epoch."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from stprune.base.layout import format_ratio
from stprune.paper import content, draw
from stprune.results.labels import label
from stprune.results.summary import Results

TITLE = "Scores from epoch to epoch"
MOST_COLUMNS = 4
# Deciles at the edges of the bands, and how dark they are.
BANDS = (("decile_1", "decile_9", 0.2), ("decile_3", "decile_7", 0.3))
MEDIAN = "decile_5"
DECILES = ("decile_1", "decile_3", MEDIAN, "decile_7", "decile_9")


def applies(results: Results) -> bool:
    """Whether a run recorded scores."""
    return not results.kept.deciles.empty


def build(results: Results) -> draw.Drawing:
    """One row of panels per data set and backbone, one column per pruner, at the largest ratio."""
    deciles = results.kept.deciles
    ratio = float(deciles["prune_ratio"].max())
    means = {name: (name, "mean") for name in DECILES}
    curves = content.over_seeds(deciles[deciles["prune_ratio"] == ratio], **means)
    names, left_out = content.shown_pruners(results, curves["pruner"], MOST_COLUMNS)
    rows, others = content.shown_places(results)
    figure, grid = draw.panels(
        content.row_names(rows),
        [label(name) for name in names],
        1.25,
        xlabel="Epoch",
        legend=[
            draw.handle("median", color="#555555"),
            Patch(color="#555555", alpha=0.5, label="30 to 70 %"),
            Patch(color="#555555", alpha=0.2, label="10 to 90 %"),
        ],
    )
    figure.supylabel("Score")
    shown = draw.looks(names)
    for place, panels in zip(rows, grid, strict=True):
        part = content.at_place(curves, place)
        for name, axes in zip(names, panels, strict=True):
            _panel(axes, part[part["pruner"] == name], shown[name].colour)
    caption = (
        f"Deciles of the scores of all training windows after each epoch, at prune ratio"
        f" {format_ratio(ratio)}; mean over {content.seed_count(results.aggregate)}. Each pruner"
        " has its own unit, so shapes and trends can be compared, levels not."
    )
    return draw.Drawing(figure, " ".join([caption, *left_out, *others]))


def _panel(axes: Axes, points: pd.DataFrame, colour: str) -> None:
    epochs = points["epoch"] + 1
    for low, high, shade in BANDS:
        axes.fill_between(epochs, points[low], points[high], color=colour, alpha=shade, linewidth=0)
    axes.plot(epochs, points[MEDIAN], color=colour, linewidth=1.0)
    if not points.empty and (points[list(DECILES)] > 0).all(axis=None):
        draw.log_axis(axes)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
