"""What pruned training on several data sets costs on one it has not seen, against total time."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.held_out import NOTHING, PLACE, held_out_scores
from paper_figures.held_out import applies as applies
from stprune.base.layout import format_ratio
from stprune.paper.figures import Drawing, absent_controls, draw_reference, seeds_in_words
from stprune.paper.heat_map import empty_figure
from stprune.paper.looks import Look, add_legend, draw_points, legend_height, looks
from stprune.results.labels import label
from stprune.results.summary import REFERENCE, Results

TITLE = "Error on unseen data against total time"

WIDTH = 7.0
ROW_HEIGHT = 2.5
SCORES = {"zero_shot_mae": "Zero-shot", "linear_probe_mae": "Linear probe"}


def build(results: Results) -> Drawing:
    """One row per data set entry, backbone and held-out data set: zero-shot, then linear probe.

    Args:
        results: The experiment; MAE in the unit of the held-out data, times in % of full
            training's, or in seconds where full training was not run.
    """
    frame = held_out_scores(results)
    absent = absent_controls(results.aggregate["pruner"])
    names = ", ".join(label(name) for name in sorted(results.aggregate["pruner"].unique()))
    seeds = seeds_in_words(results.aggregate)
    if frame.empty:
        figure = empty_figure(WIDTH, NOTHING, "Total time", "MAE on unseen data")
        caption = " ".join([f"{NOTHING} Experiment of {seeds}.", *absent])
        return Drawing(figure, caption, f"An empty panel. {NOTHING} Pruners: {names}.")
    places = list(frame.groupby(PLACE))
    scores = [score for score in SCORES if frame[score].notna().any()]
    shown = looks(frame["pruner"])
    figure = Figure(figsize=(WIDTH, ROW_HEIGHT * len(places) + 0.6 + legend_height(len(shown))))
    grid = figure.subplots(len(places), len(scores), squeeze=False)
    for (place, part), panels in zip(places, grid, strict=True):
        _, backbone, held_out = map(str, place)
        for axes, score in zip(panels, scores, strict=True):
            _panel(axes, part, score, shown)
            axes.set_title(f"{held_out}, {label(backbone)}", fontweight="bold")
    add_legend(figure, shown)
    spread = "one standard deviation" if frame["seeds"].max() > 1 else "none, for want of seeds"
    ratios = ", ".join(format_ratio(r) for r in sorted(frame["prune_ratio"].unique()) if r)
    caption = (
        f"Mean over {seeds}; bars and the grey band: {spread}. The model was trained on the data"
        f" sets of {', '.join(frame['dataset'].unique())} and tested on one it had not seen. Each"
        f" line joins a pruner's prune ratios in order: {ratios}."
    )
    alt = (
        f"Mean absolute error on {', '.join(frame['held_out'].unique())}, which was held out,"
        f" against total training time, of {names}. The numbers are in the table of foundation."
    )
    return Drawing(figure, " ".join([caption, *absent]), alt)


def _panel(axes: Axes, part: pd.DataFrame, score: str, shown: dict[str, Look]) -> None:
    full = part[part["pruner"] == REFERENCE]
    draw_reference(axes, full, score)
    relative = not full.empty
    x = "total_percent" if relative else "total_seconds"
    for pruner, points in part.groupby("pruner"):
        points, look = points.sort_values("prune_ratio"), shown[str(pruner)]
        draw_points(axes, points[x], points[score], look, y_spread=points[f"{score}_sd"])
    axes.set_xlabel(f"Total time {'(% of full training)' if relative else '(s)'}")
    unit = part["held_out_unit"].iloc[0]
    axes.set_ylabel(f"{SCORES[score]} MAE" + ("" if pd.isna(unit) else f" ({unit})"))
    axes.margins(x=0.05, y=0.10)
    axes.set_xlim(left=0)
