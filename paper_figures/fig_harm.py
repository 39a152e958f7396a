"""Harm: how much worse than full training, by step ahead and in the windows that a mean hides."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from paper_figures.difference_axis import difference_axis
from paper_figures.foremost import foremost
from paper_figures.harm import EVERYTHING, harm_by_group, harm_by_step
from stprune.base.layout import format_ratio
from stprune.paper.figures import Drawing, absent_controls, seeds_in_words
from stprune.paper.heat_map import empty_figure
from stprune.paper.looks import Look, add_legend, legend_height, looks
from stprune.paper.tables import MINUS
from stprune.results.labels import label
from stprune.results.summary import REFERENCE, Results

TITLE = "Harm by step ahead and by part of the test set"

WIDTH = 7.0
ROW_HEIGHT = 1.6
# In the order of the axis.
PARTS = {
    EVERYTHING: "all",
    "incident": "incident",
    "least_stationary": "least\nstationary",
    "worst_node": "worst\nnode",
}
# Of more panels beside each other, names of parts have to stand upright.
WIDE_ENOUGH = 3
# How far the pruners of a part lie apart, as a share of the room between two parts.
SPREAD = 0.6
# Where an axis may turn from linear to logarithmic, in percent, and how its ticks go on.
THRESHOLDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
X, Y = "Step ahead", "Harm (%)"


class Row(NamedTuple):
    """A row of panels: one budget, by step or by part.

    Args:
        budget: What was held equal to full training.
        by_step: Else by part.
        cells: Rows of `harm`.
    """

    budget: str
    by_step: bool
    cells: pd.DataFrame


def applies(results: Results) -> bool:
    """Whether there is full training, and something to compare with it."""
    names = set(results.summary["pruner"])
    return REFERENCE in names and len(names) > 1


def build(results: Results) -> Drawing:
    """By budget two rows of panels, by step ahead and by part; one column per prune ratio.

    Args:
        results: The experiment; differences in test MAE are in percent of full training's.
    """
    chosen, left_out = foremost(results)
    names = [name for name in chosen if name != REFERENCE]
    absent = absent_controls(results.aggregate["pruner"])
    seeds = seeds_in_words(results.aggregate)
    by_step, by_group = harm_by_step(results), harm_by_group(results)
    if by_group.empty:
        reason = "No pruned run with full training of the same seed to compare with."
        caption = " ".join([f"{reason} Experiment of {seeds}.", *absent])
        alt = f"An empty panel. {reason} Pruners: {', '.join(map(label, chosen))}."
        return Drawing(empty_figure(WIDTH, reason, X, Y), caption, alt)
    rows = [
        Row(budget, frame is by_step, part[part["pruner"].isin(names)])
        for budget in sorted(by_group["budget"].unique())
        for frame in (by_step, by_group)
        if not (part := frame[frame["budget"] == budget]).empty
    ]
    figure = _draw(rows, looks(names))
    words = [_caption(rows, seeds), *left_out, *absent]
    return Drawing(figure, " ".join(words), _alt(rows, names))


def _draw(rows: list[Row], shown: dict[str, Look]) -> Figure:
    ratios = sorted({ratio for row in rows for ratio in row.cells["prune_ratio"]})
    upright = 0.5 * sum(not row.by_step for row in rows) if len(ratios) > WIDE_ENOUGH else 0.0
    height = ROW_HEIGHT * len(rows) + upright + 0.4 + legend_height(len(shown))
    figure = Figure(figsize=(WIDTH, height))
    grid = figure.subplots(len(rows), len(ratios), sharex="row", sharey="row", squeeze=False)
    several = len({row.budget for row in rows}) > 1
    for row, panels in zip(rows, grid, strict=True):
        for axes, ratio in zip(panels, ratios, strict=True):
            cells = row.cells[row.cells["prune_ratio"] == ratio]
            _panel(axes, cells, row, shown, len(ratios) > WIDE_ENOUGH)
            axes.tick_params(labelsize=6)
            if panels[0] is grid[0][0]:
                axes.set_title(f"Prune ratio {format_ratio(ratio)}")
        where = f"\nequal {label(row.budget).lower()}" if several else ""
        panels[0].set_ylabel(f"{Y}{where}", fontsize=7)
        _limit(panels[0], row)
    add_legend(figure, shown)
    return figure


def _panel(axes: Axes, cells: pd.DataFrame, row: Row, shown: dict[str, Look], narrow: bool) -> None:
    axes.axhline(0, color="black", linewidth=0.7, zorder=1)
    parts = [part for part in PARTS if part in set(row.cells["part"])]
    for rank, (pruner, look) in enumerate(shown.items()):
        points = cells[cells["pruner"] == pruner]
        if row.by_step:
            _curve(axes, points.sort_values("part"), look)
            continue
        aside = SPREAD * (rank - (len(shown) - 1) / 2) / max(1, len(shown) - 1)
        axes.errorbar(
            [parts.index(part) + aside for part in points["part"]],
            points["mean"],
            yerr=None if points["sd"].isna().all() else points["sd"].to_numpy(dtype=np.float64),
            color=look.colour,
            marker=look.marker,
            markersize=3,
            linestyle="",
            elinewidth=0.8,
        )
    if row.by_step:
        axes.set_xlabel(X, fontsize=7, labelpad=1)
        return
    words = [PARTS[part].replace("\n", " ") if narrow else PARTS[part] for part in parts]
    axes.set_xticks(range(len(parts)), words, rotation=90 if narrow else 0)
    axes.set_xlim(-0.5, len(parts) - 0.5)
    axes.set_xlabel("Part of the test set", fontsize=7, labelpad=1)


def _curve(axes: Axes, points: pd.DataFrame, look: Look) -> None:
    steps = points["part"].to_numpy(dtype=np.float64)
    mean, spread = (points[name].to_numpy(dtype=np.float64) for name in ("mean", "sd"))
    axes.plot(
        steps,
        mean,
        color=look.colour,
        linestyle=look.line,
        marker=look.marker,
        markevery=[-1],
        markersize=2.8,
        linewidth=0.9,
    )
    axes.fill_between(
        steps, mean - spread, mean + spread, color=look.colour, alpha=0.12, linewidth=0
    )


def _threshold(row: Row) -> float | None:
    """Up to where the axis is linear; None for all of it."""
    ends = row.cells.assign(
        low=row.cells["mean"] - row.cells["sd"], high=row.cells["mean"] + row.cells["sd"]
    )
    axis = difference_axis(ends)
    if not axis.beyond:
        return None
    return next((end for end in THRESHOLDS if end >= axis.high / 2), THRESHOLDS[-1])


def _limit(axes: Axes, row: Row) -> None:
    end = _threshold(row)
    if end is None:
        return
    axes.set_yscale("symlog", linthresh=end, linscale=1.5)
    beyond = [sign * end * factor for factor in (2, 10, 50) for sign in (-1, 1)]
    axes.yaxis.set_major_locator(FixedLocator([-end, -end / 2, 0, end / 2, end, *beyond]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", MINUS)))
    axes.yaxis.set_minor_locator(NullLocator())
    spread = row.cells["sd"].fillna(0)
    lowest, highest = (row.cells["mean"] - spread).min(), (row.cells["mean"] + spread).max()
    # Room for a marker at either end, which the scale's own margin is too small for.
    axes.set_ylim(min(1.3 * lowest, -0.1 * end), 1.3 * highest)


def _caption(rows: list[Row], seeds: str) -> str:
    places = max(int(row.cells["places"].max()) for row in rows)
    parts = [
        "Difference in test MAE from full training of the same data set, backbone and seed, in % of"
        f" its own; above 0 is worse. Mean over up to {places}"
        f" place{'s' if places > 1 else ''} (data sets with backbones) that have such steps or"
        f" parts, then over {seeds}; bands and bars: one standard deviation over the seeds.",
        "Incident: windows with a simulated incident; least stationary: the tenth of the windows"
        " with the largest mean change from step to step; worst node: that of each run.",
    ]
    ladders = [row.cells.groupby("part")["places"].max() for row in rows if row.by_step]
    last = sorted({step for places in ladders for step in _last_steps(places)})
    if last:
        parts.append(
            f"After step {', '.join(map(str, last))} fewer places have steps, so lines may jump"
            " there without any change at one of them."
        )
    ends = [end for row in rows if (end := _threshold(row)) is not None]
    if ends:
        words = " and ".join(f"{end:g}" for end in sorted(set(ends)))
        parts.append(f"Vertical axes are linear up to {words} % and logarithmic beyond.")
    return " ".join(parts)


def _last_steps(places: pd.Series[int]) -> list[int]:
    """Steps, which index the counts of places in order, after which fewer places have one."""
    return places.index[:-1][places.diff().iloc[1:] < 0].tolist()


def _alt(rows: list[Row], names: list[str]) -> str:
    parts = [part for part in PARTS if any(part in set(row.cells["part"]) for row in rows)]
    return (
        "Difference in test error from full training by step ahead, and by part of the test set"
        f" ({', '.join(part.replace('_', ' ') for part in parts)}), one panel per prune ratio, of"
        f" {', '.join(label(name) for name in names)}. The errors of the parts are in the table of"
        " hidden errors."
    )
