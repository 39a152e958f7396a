"""Error against total time for a model at several scales: to prune, or to take a smaller model?"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.foremost import foremost
from paper_figures.log_axis import plain_log_axis
from paper_figures.scales import NOTHING, PLACE, scale_points
from paper_figures.scales import applies as applies
from stprune.base.layout import format_ratio
from stprune.paper.figures import Drawing, absent_controls, seeds_in_words
from stprune.paper.heat_map import empty_figure
from stprune.paper.looks import Look, add_legend, draw_points, legend_height, looks
from stprune.results.labels import label
from stprune.results.summary import REFERENCE, Results

TITLE = "Error against time at several model scales"

WIDTH = 7.0
ROW_HEIGHT = 2.5
# Ratios that fit beside each other.
MOST_RATIOS = 3


def build(results: Results) -> Drawing:
    """One row per data set and model, one column per prune ratio; each line joins the scales.

    Args:
        results: The experiment; test MAE in the target's unit, total time in seconds.
    """
    points = scale_points(results)
    seeds = seeds_in_words(results.aggregate)
    absent = absent_controls(results.aggregate["pruner"])
    if points.empty:
        names = ", ".join(label(name) for name in sorted(results.aggregate["pruner"].unique()))
        figure = empty_figure(WIDTH, NOTHING, "Total time (s)", "Test MAE")
        caption = " ".join([f"{NOTHING} Experiment of {seeds}.", *absent])
        return Drawing(figure, caption, f"An empty panel. {NOTHING} Pruners: {names}.")
    chosen, hidden = foremost(results)
    points = points[points["pruner"].isin(chosen)]
    ratios = _spread_out(sorted(points["ratio"].unique()))
    places = list(points.groupby(PLACE))
    shown = looks(points["pruner"])
    figure = Figure(figsize=(WIDTH, ROW_HEIGHT * len(places) + 0.4 + legend_height(len(shown))))
    grid = figure.subplots(len(places), len(ratios), sharey="row", squeeze=False)
    for (place, part), panels in zip(places, grid, strict=True):
        dataset, model = map(str, place)
        for axes, ratio in zip(panels, ratios, strict=True):
            _panel(axes, part[part["ratio"] == ratio], shown)
            axes.set_title(f"{format_ratio(100 * ratio)} % pruned")
        panels[0].set_title(
            f"{dataset}, {label(model)}, {format_ratio(100 * ratios[0])} % pruned", fontsize=7
        )
        panels[0].set_ylabel(_error_label(part))
    add_legend(figure, shown)
    return Drawing(figure, _caption(points, seeds, [*hidden, *absent]), _alt(points))


def _spread_out(ratios: list[float]) -> list[float]:
    """At most ``MOST_RATIOS`` of them, the first and the last among these."""
    if len(ratios) <= MOST_RATIOS:
        return ratios
    steps = [round(i * (len(ratios) - 1) / (MOST_RATIOS - 1)) for i in range(MOST_RATIOS)]
    return [ratios[step] for step in steps]


def _panel(axes: Axes, part: pd.DataFrame, shown: dict[str, Look]) -> None:
    for pruner, line in part.groupby("pruner"):
        look, line = shown[str(pruner)], line.sort_values("parameters")
        x, y, spread = line["total_seconds"], line["test_mae"], line["test_mae_sd"]
        draw_points(axes, x, y, look, y_spread=spread)
    named = REFERENCE if (part["pruner"] == REFERENCE).any() else part["pruner"].min()
    for _, point in part[part["pruner"] == named].iterrows():
        axes.annotate(
            in_words(point["parameters"]),
            (point["total_seconds"], point["test_mae"]),
            xytext=(5, -1),
            textcoords="offset points",
            va="top",
            fontsize=6,
        )
    axes.set_xlabel("Total time (s)")
    plain_log_axis(axes, "x")
    axes.margins(x=0.15, y=0.15)


def in_words(parameters: float) -> str:
    """A number of parameters, such as ``1.67 M`` or ``806 k``."""
    if parameters >= 999_500:
        return f"{parameters / 1e6:.3g} M"
    return f"{parameters / 1e3:.3g} k" if parameters >= 1000 else f"{parameters:.0f}"


def _error_label(part: pd.DataFrame) -> str:
    unit = part["target_unit"].iloc[0]
    return "Test MAE" if pd.isna(unit) else f"Test MAE ({unit})"


def _caption(points: pd.DataFrame, seeds: str, sentences: list[str]) -> str:
    spread = "one standard deviation" if points["seeds"].max() > 1 else "none, for want of seeds"
    scales = "; ".join(
        f"{label(str(model))} with {' and '.join(map(in_words, sorted(part.unique())))}"
        for (_, model), part in points.groupby(PLACE)["parameters"]
    )
    words = (
        f"Mean over {seeds}; bars: {spread}. Each line joins the scales of a model, by its number"
        f" of parameters ({scales}), under one pruner; the numbers stand at full training, or at"
        " the first pruner without it. Below and left of full training's line a larger, pruned"
        " model is the better use of the same time."
    )
    return " ".join([words, *sentences])


def _alt(points: pd.DataFrame) -> str:
    names = ", ".join(label(name) for name in sorted(points["pruner"].unique()))
    pairs = points[PLACE].drop_duplicates().itertuples(index=False, name=None)
    places = "; ".join(f"{dataset}, {label(model)}" for dataset, model in pairs)
    return (
        f"Test mean absolute error against total training time of models of several sizes under"
        f" {names}; one row of panels each for {places}."
    )
