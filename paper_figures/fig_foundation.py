"""What pruned training on several data sets costs on one it has not seen, against total time."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from paper_figures.held_out import PLACE, applies, held_out_scores
from stprune.paper import content, draw
from stprune.paper.figures import Drawing
from stprune.records.store import REFERENCE
from stprune.results.labels import label
from stprune.results.summary import Results

__all__ = ["TITLE", "applies", "build"]
TITLE = "Error on unseen data against total time"
ROW_HEIGHT = 2.5
SCORES = {"zero_shot_mae": "Zero-shot", "linear_probe_mae": "Linear probe"}


def build(results: Results) -> Drawing:
    """One row per data set entry, backbone and held-out data set: zero-shot, then linear probe.

    Args:
        results: The experiment; MAE in the unit of the held-out data, times in % of full
            training's, or in seconds where full training was not run.
    """
    frame = held_out_scores(results)
    places = list(frame.groupby(PLACE))
    scores = [score for score in SCORES if frame[score].notna().any()]
    shown = draw.looks(frame["pruner"])
    height = ROW_HEIGHT * len(places) + 0.6 + draw.legend_height(len(shown))
    figure, grid = draw.grid(len(places), len(scores), height)
    for ((_, backbone, held_out), part), panels in zip(places, grid, strict=True):
        for axes, score in zip(panels, scores, strict=True):
            _panel(axes, part, score, shown)
            axes.set_title(f"{held_out}, {label(str(backbone))}", fontweight="bold")
    draw.legend(figure, shown)
    held_out, seen = (", ".join(frame[name].unique()) for name in ("held_out", "dataset"))
    caption = (
        f"Test MAE on {held_out}, which models trained on {seen} have not seen: mean and one"
        f" standard deviation over {content.seed_count(results.aggregate)}. Each line joins a"
        " pruner's prune ratios."
    )
    alt = f"Test MAE on unseen data against total time, one line each for {content.labels(shown)}."
    return Drawing(figure, caption, alt)


def _panel(axes: Axes, part: pd.DataFrame, score: str, shown: dict[str, draw.Look]) -> None:
    full = part[part["pruner"] == REFERENCE]
    draw.reference(axes, full, score)
    x, unit = ("total_seconds", "s") if full.empty else ("total_percent", "% of full training")
    for pruner, points in part.groupby("pruner"):
        points, look = points.sort_values("prune_ratio"), shown[str(pruner)]
        draw.points(axes, points[x], points[score], look, y_spread=points[f"{score}_sd"])
    axes.set_xlabel(f"Total time ({unit})")
    axes.set_ylabel(content.with_unit(f"{SCORES[score]} MAE", part["held_out_unit"]))
    axes.margins(x=0.05, y=0.10)
    axes.set_xlim(left=0)
