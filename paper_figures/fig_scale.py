"""Error against total time for a model at several scales: to prune, or to take a smaller model?"""

import math

import pandas as pd
from matplotlib.axes import Axes

from stprune.paper import content, draw
from stprune.records.store import PLACE, REFERENCE
from stprune.results.labels import label, timing_notes
from stprune.results.summary import Results

TITLE = "Error against time at several model scales"
MODEL = ["dataset", "model"]


def applies(results: Results) -> bool:
    """Whether a model was trained at several scales on the same data set."""
    return not scale_points(results).empty


def build(results: Results) -> draw.Drawing:
    """One row per data set and model, one column per prune ratio; each line joins the scales."""
    points = scale_points(results)
    # Sizes of a model are compared, so seconds of its data set and no share of full training.
    x, name, unit = content.time_axis(points.assign(steps_percent=math.nan))
    names, left_out = content.shown_pruners(results, points["pruner"])
    points = points[points["pruner"].isin(names)]
    ratios, shown = sorted(points["ratio"].unique()), draw.looks(names)
    models = dict(list(points.groupby(MODEL)))
    rows = [
        content.with_unit(f"{dataset}, {label(str(model))}\nTest MAE", part["target_unit"])
        for (dataset, model), part in models.items()
    ]
    figure, grid = draw.panels(
        rows,
        content.ratio_names(ratios),
        2.5,
        xlabel=f"{name} ({unit})",
        legend=draw.entries(shown),
        sharey="row",
    )
    for part, panels in zip(models.values(), grid, strict=True):
        for ratio, axes in zip(ratios, panels, strict=True):
            _panel(axes, part[part["ratio"] == ratio], x, shown)
    caption = (
        "Test MAE of a model at several scales, each line joining the scales under one pruner; the"
        " numbers are millions of parameters (mean and one standard deviation over"
        f" {content.seed_count(results.aggregate)})."
        " Below and left of full training's line, a larger pruned model is the better use of the"
        " same time."
    )
    notes = timing_notes(points["timing"], drawn=True)
    return draw.Drawing(figure, " ".join([caption, *notes, *left_out]))


def scale_points(results: Results) -> pd.DataFrame:
    """The rows of ``Results.aggregate`` of models that were trained at several scales.

    A ``model`` is a backbone's component; its scales are the entries of the configuration that
    differ in ``parameters``. At each ``ratio`` that anything was pruned by full training is
    repeated; without any it stands at 0.
    """
    entries = results.summary.groupby(PLACE, as_index=False)[["parameters"]].mean()
    models = {
        name: config.get("backbone", {}).get("id", name)
        for name, config in results.configs("backbone").items()
    }
    entries["model"] = entries["backbone"].map(models)
    several = entries.groupby(MODEL)["parameters"].transform("nunique") > 1
    points = results.aggregate.merge(entries[several], on=PLACE)
    parts = [content.at_ratio(points, r).assign(ratio=r) for r in content.ratios(points)]
    order = [*MODEL, "ratio", "pruner", "parameters"]
    return pd.concat(parts).sort_values(order, ignore_index=True)


def _panel(axes: Axes, part: pd.DataFrame, x: str, shown: dict[str, draw.Look]) -> None:
    draw.lines(axes, part, x, "test_mae", shown)
    for _, point in part[part["pruner"] == REFERENCE].iterrows():
        at = (point[x], point["test_mae"])
        words = f"{point['parameters'] / 1e6:.3g} M"
        axes.annotate(words, at, (5, -1), textcoords="offset points", va="top", fontsize=6)
    draw.log_axis(axes, "x")
    axes.margins(x=0.15, y=0.15)
