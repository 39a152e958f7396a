"""Harm: how much worse than full training, by step ahead and in the windows that a mean hides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from stprune.base.layout import format_ratio
from stprune.paper import content, draw
from stprune.paper.figures import Drawing
from stprune.paper.tables import MINUS
from stprune.records.store import GROUPS, KEYS, REFERENCE
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import differences_from

TITLE = "Harm by step ahead and by part of the test set"
ROW_HEIGHT = 1.6
EVERYTHING = "all"
# In the order of the axis.
PARTS = {
    EVERYTHING: "all",
    "incident": "incident",
    "least_stationary": "least\nstationary",
    "worst_node": "worst\nnode",
}
# With more panels beside each other, the names of parts are written upright.
WIDE_ENOUGH = 3
# How far the pruners of a part lie apart, as a share of the room between two parts.
SPREAD = 0.6
# Where an axis may turn from linear to logarithmic, in percent.
THRESHOLDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
CELL = ["budget", "pruner", "prune_ratio", "part"]


class Row(NamedTuple):
    """A row of panels: the cells of `harm` under one budget, by step ahead or by part."""

    budget: str
    by_step: bool
    cells: pd.DataFrame

    @property
    def linear_to(self) -> float | None:
        """Where the axis turns logarithmic, in percent; None for a linear one."""
        mean, sd = self.cells["mean"], self.cells["sd"]
        axis = draw.difference_axis(self.cells.assign(low=mean - sd, high=mean + sd))
        if not axis.beyond:
            return None
        return next((end for end in THRESHOLDS if end >= axis.high / 2), THRESHOLDS[-1])


def applies(results: Results) -> bool:
    """Whether there is full training, and a pruned run of the same seed to compare with it."""
    return not differences_from(results.summary, REFERENCE).empty


def build(results: Results) -> Drawing:
    """By budget two rows of panels, by step ahead and by part; one column per prune ratio.

    Args:
        results: The experiment; differences in test MAE are in percent of full training's.
    """
    chosen, left_out = content.shown_pruners(results)
    names = [name for name in chosen if name != REFERENCE]
    by_step, by_group = harm_by_step(results), harm_by_group(results)
    rows = [
        Row(budget, frame is by_step, part[part["pruner"].isin(names)])
        for budget in sorted(by_group["budget"].unique())
        for frame in (by_step, by_group)
        if not (part := frame[frame["budget"] == budget]).empty
    ]
    figure = _draw(rows, draw.looks(names))
    places = max(int(row.cells["places"].max()) for row in rows)
    caption = (
        "Difference in test MAE from full training of the same seed, in % of its own; above 0 is"
        f" worse. Mean over up to {places} place{'s' if places > 1 else ''} (data sets with"
        f" backbones), then over {content.seed_count(results.aggregate)}, with one standard"
        " deviation over seeds. Incident: windows with a simulated incident; least stationary: the"
        " tenth of the windows with the largest mean change from step to step."
    )
    ladders = [row.cells.groupby("part")["places"].max() for row in rows if row.by_step]
    last = sorted({step for places in ladders for step in _last_steps(places)})
    if last:
        caption += f" After step {', '.join(map(str, last))} the means are over fewer places."
    ends = sorted({row.linear_to for row in rows if row.linear_to is not None})
    if ends:
        words = " and ".join(f"{end:g}" for end in ends)
        caption += f" Vertical axes are linear up to {words} % and logarithmic beyond."
    alt = (
        "Difference in test error from full training by step ahead and by part of the test set,"
        f" one panel per prune ratio, of {content.labels(names)}."
    )
    return Drawing(figure, " ".join([caption, *left_out]), alt)


def harm_by_step(results: Results) -> pd.DataFrame:
    """As `harm`, of each step ahead; ``part`` is the step, 1 for the first."""
    steps = results.horizons.pivot_table(index=KEYS, columns="step", values="mae")
    columns = {step: f"test_mae_step_{step}" for step in steps.columns}
    return harm(
        results.summary.merge(steps.rename(columns=columns).reset_index(), on=KEYS), columns
    )


def harm_by_group(results: Results) -> pd.DataFrame:
    """As `harm`, over all test windows and in each group with observations."""
    columns = {EVERYTHING: "test_mae", **{group: f"test_mae_{group}" for group in GROUPS}}
    return harm(results.summary, columns)


def harm(summary: pd.DataFrame, columns: Mapping[Any, str]) -> pd.DataFrame:
    """Paired differences from full training, averaged over places first, then over seeds.

    Args:
        summary: One row a run, with the columns.
        columns: By name of the part, the column with its test MAE.

    Returns:
        One row per budget, pruner, prune ratio and ``part``: ``mean`` in % of full training's,
        over the seeds' means over data sets and backbones; ``sd`` over the seeds (ddof = 1, NaN
        for one); ``seeds`` and ``places``, how many.
    """
    parts = {column: part for part, column in columns.items()}
    pairs = differences_from(summary, REFERENCE, list(parts))
    pairs["part"] = pairs["metric"].map(parts)
    pairs["place"] = pairs["dataset"] + "/" + pairs["backbone"]
    by_seed = pairs.groupby([*CELL, "seed"])
    means = by_seed.agg(difference=("difference", "mean"), places=("place", "nunique"))
    cells = means.reset_index().groupby(CELL)
    found = {"mean": cells["difference"].mean(), "sd": cells["difference"].std(ddof=1)}
    counts = {"seeds": cells.size(), "places": cells["places"].max()}
    return pd.DataFrame({**found, **counts}).reset_index()


def _draw(rows: list[Row], shown: dict[str, draw.Look]) -> Figure:
    ratios = sorted({ratio for row in rows for ratio in row.cells["prune_ratio"]})
    narrow = len(ratios) > WIDE_ENOUGH
    upright = 0.5 * sum(not row.by_step for row in rows) if narrow else 0.0
    height = ROW_HEIGHT * len(rows) + upright + 0.4 + draw.legend_height(len(shown))
    figure, grid = draw.grid(len(rows), len(ratios), sharex="row", sharey="row", height=height)
    several = len({row.budget for row in rows}) > 1
    for row, panels in zip(rows, grid, strict=True):
        for axes, ratio in zip(panels, ratios, strict=True):
            cells = row.cells[row.cells["prune_ratio"] == ratio]
            axes.axhline(0, color="black", linewidth=0.7, zorder=1)
            if row.by_step:
                _curves(axes, cells, shown)
            else:
                parts = [part for part in PARTS if part in set(row.cells["part"])]
                _points(axes, cells, shown, parts, narrow)
            axes.tick_params(labelsize=6)
        where = f"\nequal {label(row.budget).lower()}" if several else ""
        panels[0].set_ylabel(f"Harm (%){where}", fontsize=7)
        _limit(panels[0], row)
    for axes, ratio in zip(grid[0], ratios, strict=True):
        axes.set_title(f"Prune ratio {format_ratio(ratio)}")
    draw.legend(figure, shown)
    return figure


def _curves(axes: Axes, cells: pd.DataFrame, shown: dict[str, draw.Look]) -> None:
    for pruner, look in shown.items():
        points = cells[cells["pruner"] == pruner].sort_values("part")
        steps, mean, spread = (points[c].to_numpy(np.float64) for c in ("part", "mean", "sd"))
        style: dict[str, Any] = {
            "marker": look.marker,
            "markevery": [-1],
            "markersize": 2.8,
            "linewidth": 0.9,
        }
        axes.plot(steps, mean, color=look.colour, linestyle=look.line, **style)
        axes.fill_between(
            steps, mean - spread, mean + spread, color=look.colour, alpha=0.12, linewidth=0
        )
    axes.set_xlabel("Step ahead", fontsize=7, labelpad=1)


def _points(
    axes: Axes, cells: pd.DataFrame, shown: dict[str, draw.Look], parts: list[str], narrow: bool
) -> None:
    for rank, (pruner, look) in enumerate(shown.items()):
        points = cells[cells["pruner"] == pruner]
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
    words = [PARTS[part].replace("\n", " ") if narrow else PARTS[part] for part in parts]
    axes.set_xticks(range(len(parts)), words, rotation=90 if narrow else 0)
    axes.set_xlim(-0.5, len(parts) - 0.5)
    axes.set_xlabel("Part of the test set", fontsize=7, labelpad=1)


def _limit(axes: Axes, row: Row) -> None:
    end = row.linear_to
    if end is None:
        return
    axes.set_yscale("symlog", linthresh=end, linscale=1.5)
    beyond = [sign * end * factor for factor in (2, 10, 50) for sign in (-1, 1)]
    axes.yaxis.set_major_locator(FixedLocator([-end, -end / 2, 0, end / 2, end, *beyond]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", MINUS)))
    axes.yaxis.set_minor_locator(NullLocator())
    spread = row.cells["sd"].fillna(0)
    lowest, highest = (row.cells["mean"] - spread).min(), (row.cells["mean"] + spread).max()
    # The default margin of this scale would cut a marker at either end.
    axes.set_ylim(min(1.3 * lowest, -0.1 * end), 1.3 * highest)


def _last_steps(places: pd.Series[int]) -> list[int]:
    """Steps, the index of the counts of places in order, after which fewer places have one."""
    return places.index[:-1][places.diff().iloc[1:] < 0].tolist()
