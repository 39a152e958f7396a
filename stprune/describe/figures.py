"""The description as two figures: what repeats itself, and what the values are like."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from stprune.describe.described import Description, pairs_of
from stprune.paper.figures import Drawing

WIDTH, ROW_HEIGHT, COLUMNS = 7.0, 2.05, 3
PERCENT = StrMethodFormatter("{x:g}%")
# Colours that the colour-blind can tell apart (Okabe and Ito, 2008), and lines that differ too.
STROKES = (
    ("#000000", "-"),
    ("#D55E00", "--"),
    ("#0072B2", "-."),
    ("#009E73", ":"),
    ("#CC79A7", (0, (5, 1))),
)
HOURS = 24
MEASURES = {
    "first_difference": "difference",
    "window_std": "deviation",
    "spectral_flatness": "flatness",
}
# Letters of a label that fit along a panel.
LONGEST = 30


def redundancy_figure(description: Description) -> Drawing:
    """Similarity of nodes, days and windows, effective rank, stationarity, overlap."""
    panels = [
        ("Nodes alike", lambda axes: _similarity(axes, description, "nodes")),
        ("Days alike", lambda axes: _similarity(axes, description, "days")),
        ("Windows alike", lambda axes: _similarity(axes, description, "windows")),
        ("Components", lambda axes: _spectrum(axes, description)),
        ("Uneven movement", lambda axes: _stationarity(axes, description)),
        ("Window overlap", lambda axes: _overlap(axes, description)),
    ]
    looked = description.facts["looked_at"]
    caption = (
        f"{description.title}, {description.quantity}: redundancy. {looked['nodes']} of"
        f" {looked['nodes_of']} nodes, {looked['days']} days, {looked['windows']} of"
        f" {looked['training_windows']} training windows. Above: share of pairs whose correlation"
        " is at most that on the horizontal axis, values standardised by node. Below: variance"
        " that the largest components hold, with the effective rank out of the largest possible;"
        " share of all movement that the calmest windows hold, the diagonal if all moved alike;"
        " share of a window's steps that the next one kept has too."
    )
    return Drawing(_panels(panels), caption, _redundancy_alt(description))


def statistics_figure(description: Description) -> Drawing:
    """Means and spreads, autocorrelation, missing values."""
    panels = [
        ("Day", lambda axes: _day(axes, description)),
        ("Nodes", lambda axes: _nodes(axes, description)),
        ("Memory", lambda axes: _memory(axes, description)),
    ]
    words = "Nothing is missing."
    if description.tables["by_node"]["missing_rate"].max() > 0:
        words = "Missing values by hour and node, and share of gaps at least so long."
        panels += [
            ("Missing by hour", lambda axes: _missing_by_hour(axes, description)),
            ("Missing by node", lambda axes: _missing_by_node(axes, description)),
            ("Length of gaps", lambda axes: _gaps(axes, description)),
        ]
    looked = description.facts["looked_at"]
    caption = (
        f"{description.title}, {description.quantity}: statistics. Mean of the nodes by time of"
        " day with one standard deviation over days; mean and standard deviation of every node;"
        " autocorrelation (median node, and the range of the middle eight tenths of them)."
        f" {words} By hour, memory and gaps: {looked['nodes']} of {looked['nodes_of']} nodes; all"
        f" {looked['steps']} steps."
    )
    return Drawing(_panels(panels), caption, _statistics_alt(description))


def _panels(panels: list[tuple[str, Callable[[Axes], None]]]) -> Figure:
    rows = len(panels) // COLUMNS
    figure = Figure(figsize=(WIDTH, ROW_HEIGHT * rows))
    grid = figure.subplots(rows, COLUMNS).flat
    for letter, axes, (title, draw) in zip("abcdef", grid, panels, strict=False):
        axes.set_title(f"({letter}) {title}")
        draw(axes)
    return figure


def _similarity(axes: Axes, description: Description, of: str) -> None:
    groups = list(pairs_of(description.tables["similarity"], of))
    if not groups:
        _say(axes, "No two to compare")
    for (name, group), (colour, line) in zip(groups, STROKES, strict=False):
        axes.plot(
            group["correlation"], group["percentile"], color=colour, linestyle=line, label=name
        )
    axes.set(xlabel="Correlation", ylabel="Pairs at most so alike", xlim=(-1, 1), ylim=(0, 100))
    _percent(axes)
    _legend(axes)


def _spectrum(axes: Axes, description: Description) -> None:
    ranks = description.tables["effective_rank"].set_index("of").to_dict("index")
    spectra = description.tables["spectrum"].groupby("of", sort=False)
    for (of, part), (colour, line) in zip(spectra, STROKES, strict=False):
        rank = ranks[str(of)]
        label = f"{of!s}: {rank['effective_rank']:.3g} of {rank['largest_possible']}"
        share = 100 * part["variance_share"]
        axes.plot(part["component"], share, color=colour, linestyle=line, label=label)
    axes.set(xlabel="Components", ylabel="Variance held", xscale="log", ylim=(0, 102))
    _percent(axes)
    axes.xaxis.set_major_formatter("{x:g}")
    _legend(axes, title="Effective rank", place="lower right")


def _stationarity(axes: Axes, description: Description) -> None:
    unequal = description.tables["stationarity_tail"].set_index("measure")["gini"].to_dict()
    groups = description.tables["stationarity"].groupby("measure", sort=False)
    axes.plot([0, 100], [0, 100], color="#a0a0a0", linewidth=0.7)
    for (measure, part), (colour, line) in zip(groups, STROKES, strict=False):
        # Between two percentiles the values lie, near enough, on a straight line.
        values = part["value"].to_numpy()
        held = np.concatenate([[0.0], ((values[1:] + values[:-1]) / 2).cumsum()])
        if held[-1] <= 0:
            continue
        label = f"{MEASURES[str(measure)]}: {unequal[measure]:.2f}"
        share = 100 * held / held[-1]
        axes.plot(part["percentile"], share, color=colour, linestyle=line, label=label)
    axes.set(xlabel="Calmest windows", ylabel="Movement they hold", xlim=(0, 100), ylim=(0, 100))
    _percent(axes)
    axes.xaxis.set_major_formatter(PERCENT)
    _legend(axes, title="Gini coefficient", place="upper left")


def _overlap(axes: Axes, description: Description) -> None:
    table = description.tables["overlap"]
    axes.plot(table["stride"], 100 * table["overlap"], color=STROKES[0][0])
    first = table.iloc[0]
    words = f"stride 1: a step is in\n{first['times_seen']:.3g} windows"
    axes.text(0.97, 0.95, words, transform=axes.transAxes, ha="right", va="top", fontsize=7)
    axes.set(xlabel="Every k-th window is kept, k", ylabel="Steps shared")
    axes.set_ylim(0, 100)
    _percent(axes)


def _day(axes: Axes, description: Description) -> None:
    slots = description.tables["by_slot"]
    for (days, part), (colour, line) in zip(
        slots.groupby("days", sort=False), STROKES, strict=False
    ):
        if part["observed"].sum() == 0:
            continue
        axes.plot(part["hour"], part["mean"], color=colour, linestyle=line, label=str(days))
        low, high = (part["mean"] + sign * part["std_over_days"] for sign in (-1, 1))
        axes.fill_between(part["hour"], low, high, color=colour, alpha=0.12, linewidth=0)
    axes.set_xlabel("Hour of day")
    axes.set_ylabel(_with_unit(description.quantity, description), fontsize=7)
    bottom, top = axes.get_ylim()
    # Room for the legend.
    axes.set_ylim(bottom, top + 0.25 * (top - bottom))
    _hours(axes)
    _legend(axes)


def _nodes(axes: Axes, description: Description) -> None:
    nodes = description.tables["by_node"].dropna(subset=["mean"])
    axes.scatter(
        nodes["mean"],
        nodes["std"],
        s=6,
        color=STROKES[2][0],
        alpha=0.5,
        linewidths=0,
        rasterized=len(nodes) > 2000,
    )
    axes.set_xlabel(_with_unit("Mean", description), fontsize=7)
    axes.set_ylabel(_with_unit("Standard deviation", description), fontsize=7)
    # A data set whose nodes are all constant has a top of 0.
    axes.set_ylim(0, 1.07 * nodes["std"].max() or 1)


def _memory(axes: Axes, description: Description) -> None:
    table = description.tables["autocorrelation"]
    days = table["hours"] / HOURS
    axes.axhline(0, color="#a0a0a0", linewidth=0.7)
    axes.fill_between(
        days, table["low"], table["high"], color=STROKES[2][0], alpha=0.2, linewidth=0
    )
    axes.plot(days, table["median"], color=STROKES[2][0])
    axes.set(xlabel="Lag (days)", ylabel="Autocorrelation", xlim=(0, 7))
    lowest = table["low"].min()
    axes.set_ylim(min(0.0, lowest if np.isfinite(lowest) else 0.0) - 0.05, 1.03)
    axes.set_xticks(range(8))


def _missing_by_hour(axes: Axes, description: Description) -> None:
    _rates(axes, description.tables["missing_by_hour"]["missing_rate"], "Hour of day")
    _hours(axes)


def _missing_by_node(axes: Axes, description: Description) -> None:
    rates = description.tables["by_node"]["missing_rate"].sort_values(ascending=False)
    _rates(axes, rates, "Nodes, worst first")


def _rates(axes: Axes, rates: pd.Series, x: str) -> None:
    axes.stairs(100 * rates.fillna(0).to_numpy(), fill=True, color=STROKES[2][0])
    axes.set_ylim(0, 105 * rates.max() or 1)
    axes.set(xlabel=x, ylabel="Missing values")
    _percent(axes)


def _gaps(axes: Axes, description: Description) -> None:
    gaps = description.tables["gaps"]
    axes.set(xlabel="Length (hours)", ylabel="Gaps at least so long")
    _percent(axes)
    if not len(gaps):
        _say(axes, "Nothing is missing\nat the nodes drawn")
        return
    longer = gaps["gaps"][::-1].cumsum()[::-1]
    share = 100 * longer / gaps["gaps"].sum()
    axes.step(gaps["hours"], share, where="pre", color=STROKES[2][0], marker=".", markersize=3)
    # A logarithmic axis of less than a decade has no round number to stand at a tick.
    if gaps["hours"].max() >= 10 * gaps["hours"].min():
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    if share.min() <= 10:
        axes.set_yscale("log")
    _percent(axes)


def _hours(axes: Axes) -> None:
    axes.set_xlim(0, HOURS)
    axes.set_xticks(range(0, HOURS + 1, 6))


def _with_unit(words: str, description: Description) -> str:
    return f"{words}\n{textwrap.fill(f'({description.unit})', LONGEST)}"


def _percent(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(PERCENT)


def _legend(
    axes: Axes, title: str | None = None, place: Literal["upper left", "lower right"] = "upper left"
) -> None:
    """A legend in small type; curves that it must lie over shine through."""
    if axes.get_legend_handles_labels()[0]:
        legend = axes.legend(
            loc=place,
            fontsize=6.5,
            title=title,
            title_fontsize=6.5,
            handlelength=1.6,
            labelspacing=0.25,
            borderaxespad=0.2,
            frameon=True,
            framealpha=0.75,
        )
        legend.get_frame().set_linewidth(0)


def _say(axes: Axes, words: str) -> None:
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", fontsize=7)


def _redundancy_alt(description: Description) -> str:
    numbers = description.facts["key_numbers"]
    known = [f"{name} {value:.2f}" for name, value in numbers.items() if value is not None]
    said = [words for words in known if words.startswith(("median", "effective", "overlap"))]
    return f"Six panels on redundancy in {description.title}: {'; '.join(said)}."


def _statistics_alt(description: Description) -> str:
    numbers = description.facts["key_numbers"]
    known = [f"{name} {value:.2f}" for name, value in numbers.items() if value is not None]
    said = [words for words in known if words.startswith(("autocorrelation", "missing"))]
    return f"Six panels on the values of {description.title}: {'; '.join(said)}."
