"""Error against total time for a model at several scales: to prune, or to take a smaller model?"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from stprune.base.layout import format_ratio
from stprune.paper import content, draw
from stprune.paper.figures import Drawing
from stprune.records.store import REFERENCE, run_keys_of
from stprune.results.labels import label
from stprune.results.summary import Results

TITLE = "Error against time at several model scales"
ROW_HEIGHT = 2.5
# Prune ratios that fit beside each other.
MOST_RATIOS = 3
MODEL = ["dataset", "model"]


def applies(results: Results) -> bool:
    """Whether a model was trained at several scales on the same data set."""
    return not scale_points(results).empty


def build(results: Results) -> Drawing:
    """One row per data set and model, one column per prune ratio; each line joins the scales.

    Args:
        results: The experiment; test MAE in the target's unit, total time in seconds.
    """
    chosen, hidden = content.shown_pruners(results)
    points = scale_points(results)
    points = points[points["pruner"].isin(chosen)]
    ratios = sorted(points["ratio"].unique())
    if len(ratios) > MOST_RATIOS:
        last = len(ratios) - 1
        ratios = [ratios[round(i * last / (MOST_RATIOS - 1))] for i in range(MOST_RATIOS)]
    models = list(points.groupby(MODEL))
    shown = draw.looks(points["pruner"])
    height = ROW_HEIGHT * len(models) + 0.4 + draw.legend_height(len(shown))
    figure, grid = draw.grid(len(models), len(ratios), height, sharey="row")
    for ((dataset, model), part), panels in zip(models, grid, strict=True):
        for axes, ratio in zip(panels, ratios, strict=True):
            _panel(axes, part[part["ratio"] == ratio], shown)
            axes.set_title(f"{format_ratio(100 * ratio)} % pruned")
        first = f"{dataset}, {label(str(model))}, {format_ratio(100 * ratios[0])} % pruned"
        panels[0].set_title(first, fontsize=7)
        panels[0].set_ylabel(content.with_unit("Test MAE", part["target_unit"]))
    draw.legend(figure, shown)
    caption = (
        "Test MAE of a model at several scales, each line joining the scales under one pruner; the"
        f" numbers are parameters (mean and one standard deviation over"
        f" {content.seed_count(results.aggregate)})."
        " Below and left of full training's line, a larger pruned model is the better use of the"
        " same time."
    )
    names = content.labels(shown)
    alt = f"Test MAE against total time of models of several sizes, one line each for {names}."
    return Drawing(figure, " ".join([caption, *hidden]), alt)


def scale_points(results: Results) -> pd.DataFrame:
    """Means over seeds of models that were trained at several scales.

    A model is a backbone's component; its scales are the entries of the configuration that differ
    in their number of parameters.

    Returns:
        The rows of ``Results.aggregate`` of such entries, with ``model`` (the component's id),
        ``parameters`` (mean over runs) and ``ratio`` (the prune ratio; full training is repeated at
        each ratio that anything was pruned by, or stands at 0 without any), sorted by data set,
        model, ratio, pruner and parameters. Empty if no model has several scales.
    """
    entries = results.summary.groupby(["dataset", "backbone"], as_index=False)[
        ["parameters"]
    ].mean()
    models = {
        key.backbone: results.records[key].config.get("backbone", {}).get("id", key.backbone)
        for key in run_keys_of(results.summary.drop_duplicates("backbone"))
    }
    entries["model"] = entries["backbone"].map(models)
    several = entries.groupby(MODEL)["parameters"].transform("nunique") > 1
    points = results.aggregate.merge(entries[several], on=["dataset", "backbone"])
    pruned = points[points["pruner"] != REFERENCE].assign(ratio=lambda rows: rows["prune_ratio"])
    full = points[points["pruner"] == REFERENCE]
    ratios = sorted(pruned["prune_ratio"].unique()) or [0.0]
    repeated = [full.assign(ratio=ratio) for ratio in ratios]
    order = [*MODEL, "ratio", "pruner", "parameters"]
    return pd.concat([pruned, *repeated]).sort_values(order, ignore_index=True)


def _panel(axes: Axes, part: pd.DataFrame, shown: dict[str, draw.Look]) -> None:
    for pruner, line in part.groupby("pruner"):
        look, line = shown[str(pruner)], line.sort_values("parameters")
        draw.points(
            axes, line["total_seconds"], line["test_mae"], look, y_spread=line["test_mae_sd"]
        )
    named = REFERENCE if (part["pruner"] == REFERENCE).any() else part["pruner"].min()
    for _, point in part[part["pruner"] == named].iterrows():
        axes.annotate(
            parameters_in_words(point["parameters"]),
            (point["total_seconds"], point["test_mae"]),
            xytext=(5, -1),
            textcoords="offset points",
            va="top",
            fontsize=6,
        )
    axes.set_xlabel("Total time (s)")
    draw.log_axis(axes, "x")
    axes.margins(x=0.15, y=0.15)


def parameters_in_words(parameters: float) -> str:
    """A number of parameters, such as ``1.67 M`` or ``806 k``."""
    if parameters >= 999_500:
        return f"{parameters / 1e6:.3g} M"
    return f"{parameters / 1e3:.3g} k" if parameters >= 1000 else f"{parameters:.0f}"
