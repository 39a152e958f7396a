"""The description as two figures: what repeats itself, and what the values are like."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from stprune.base.files import write_json
from stprune.describe.description import FACTS, Description, write_tables
from stprune.paper.figures import Drawing, paper_style, write_drawing

WIDTH, ROW_HEIGHT, COLUMNS = 7.0, 2.05, 3
PERCENT = StrMethodFormatter("{x:g}%")
# Colours that the colour-blind can tell apart (Okabe and Ito, 2008), and lines that differ too.
COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
STROKES: list[dict[str, Any]] = [
    {"color": colour, "linestyle": line} for colour, line in zip(COLOURS, LINES, strict=True)
]
BLUE, GREY = "#0072B2", "#a0a0a0"
HOURS = 24
MEASURES = {
    "first_difference": "difference",
    "window_std": "deviation",
    "spectral_flatness": "flatness",
}
# Letters of a label that fit along a panel.
LONGEST = 30

Panel = Callable[[Axes, Description], None]


def dress(axes: Axes, percent: str = "", **properties: Any) -> None:
    """Set properties of axes, then show in % the axes that ``percent`` names: `x`, `y` or `xy`."""
    axes.set(**properties)
    for letter in percent:
        {"x": axes.xaxis, "y": axes.yaxis}[letter].set_major_formatter(PERCENT)


def hour_axis(axes: Axes) -> None:
    """A day along the horizontal axis."""
    axes.set(xlabel="Hour of day", xlim=(0, HOURS))
    axes.set_xticks(range(0, HOURS + 1, 6))


def write_description(
    description: Description, directory: Path, *, figures: bool = True
) -> list[Path]:
    """Write all files of a description into ``directory``, ``description.json`` last.

    Returns:
        The figures as PNG, if they are drawn, and the key numbers: what to look at first.
    """
    write_tables(description.tables, directory)
    shown = []
    drawn = {"redundancy": redundancy_figure, "statistics": statistics_figure} if figures else {}
    for name, draw in drawn.items():
        with paper_style():
            drawing = draw(description)
        paths = {kind: directory / f"{name}.{kind}" for kind in ("pdf", "png")}
        write_drawing(drawing, paths.__getitem__)
        shown.append(paths["png"])
    write_json(directory / FACTS, description.facts)
    return [*shown, directory / FACTS]


def redundancy_figure(description: Description) -> Drawing:
    """Similarity of nodes, days and windows, effective rank, stationarity, overlap."""
    panels: dict[str, Panel] = {
        "Nodes alike": partial(_similarity, of="nodes"),
        "Days alike": partial(_similarity, of="days"),
        "Windows alike": partial(_similarity, of="windows"),
        "Components": _spectrum,
        "Uneven movement": _stationarity,
        "Window overlap": _overlap,
    }
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
    begins = ("median", "effective", "overlap")
    return _drawing(description, panels, caption, "on redundancy in", begins)


def statistics_figure(description: Description) -> Drawing:
    """Means and spreads, autocorrelation, missing values."""
    panels: dict[str, Panel] = {"Day": _day, "Nodes": _nodes, "Memory": _memory}
    words = "Nothing is missing."
    if description.tables["by_node"]["missing_rate"].max() > 0:
        words = "Missing values by hour and node, and share of gaps at least so long."
        panels["Missing by hour"] = _missing_by_hour
        panels["Missing by node"] = _missing_by_node
        panels["Length of gaps"] = _gaps
    looked = description.facts["looked_at"]
    caption = (
        f"{description.title}, {description.quantity}: statistics. Mean of the nodes by time of"
        " day with one standard deviation over days; mean and standard deviation of every node;"
        " autocorrelation (median node, and the range of the middle eight tenths of them)."
        f" {words} By hour, memory and gaps: {looked['nodes']} of {looked['nodes_of']} nodes; all"
        f" {looked['steps']} steps."
    )
    begins = ("autocorrelation", "missing")
    return _drawing(description, panels, caption, "on the values of", begins)


def _drawing(
    description: Description,
    panels: dict[str, Panel],
    caption: str,
    subject: str,
    begins: tuple[str, ...],
) -> Drawing:
    """Panels three in a row; the text for the blind holds the key numbers that begin so."""
    rows = len(panels) // COLUMNS
    figure = Figure(figsize=(WIDTH, ROW_HEIGHT * rows))
    grid = figure.subplots(rows, COLUMNS).flat
    for letter, axes, (title, draw) in zip("abcdef", grid, panels.items(), strict=False):
        axes.set_title(f"({letter}) {title}")
        draw(axes, description)
    numbers = description.facts["key_numbers"].items()
    said = [f"{k} {v:.2f}" for k, v in numbers if v is not None and k.startswith(begins)]
    alt = f"Six panels {subject} {description.title}: {'; '.join(said)}."
    return Drawing(figure, caption, alt)


def _similarity(axes: Axes, description: Description, of: str) -> None:
    table = description.tables["similarity"]
    part = table[(table["of"] == of) & (table["count"] > 0)]
    for (name, group), stroke in zip(part.groupby("pairs", sort=False), STROKES, strict=False):
        axes.plot(group["correlation"], group["percentile"], label=str(name), **stroke)
    if part.empty:
        _say(axes, "No two to compare")
    limits = {"xlim": (-1, 1), "ylim": (0, 100)}
    dress(axes, "y", xlabel="Correlation", ylabel="Pairs at most so alike", **limits)
    _legend(axes)


def _spectrum(axes: Axes, description: Description) -> None:
    ranks = description.tables["effective_rank"].set_index("of").to_dict("index")
    spectra = description.tables["spectrum"].groupby("of", sort=False)
    for (of, part), stroke in zip(spectra, STROKES, strict=False):
        rank = ranks[str(of)]
        label = f"{of!s}: {rank['effective_rank']:.3g} of {rank['largest_possible']}"
        axes.plot(part["component"], 100 * part["variance_share"], label=label, **stroke)
    dress(axes, "y", xlabel="Components", ylabel="Variance held", xscale="log", ylim=(0, 102))
    axes.xaxis.set_major_formatter("{x:g}")
    _legend(axes, title="Effective rank", loc="lower right")


def _stationarity(axes: Axes, description: Description) -> None:
    unequal = description.tables["stationarity_tail"].set_index("measure")["gini"].to_dict()
    groups = description.tables["stationarity"].groupby("measure", sort=False)
    axes.plot([0, 100], [0, 100], color=GREY, linewidth=0.7)
    for (measure, part), stroke in zip(groups, STROKES, strict=False):
        # Between two percentiles the values are taken to be linear.
        values = part["value"].to_numpy()
        held = np.concatenate([[0.0], ((values[1:] + values[:-1]) / 2).cumsum()])
        if held[-1] > 0:
            label = f"{MEASURES[str(measure)]}: {unequal[measure]:.2f}"
            axes.plot(part["percentile"], 100 * held / held[-1], label=label, **stroke)
    limits = {"xlim": (0, 100), "ylim": (0, 100)}
    dress(axes, "xy", xlabel="Calmest windows", ylabel="Movement they hold", **limits)
    _legend(axes, title="Gini coefficient")


def _overlap(axes: Axes, description: Description) -> None:
    table = description.tables["overlap"]
    axes.plot(table["stride"], 100 * table["overlap"], color="#000000")
    words = f"stride 1: a step is in\n{table['times_seen'].iloc[0]:.3g} windows"
    axes.text(0.97, 0.95, words, transform=axes.transAxes, ha="right", va="top", fontsize=7)
    dress(axes, "y", xlabel="Every k-th window is kept, k", ylabel="Steps shared", ylim=(0, 100))


def _day(axes: Axes, description: Description) -> None:
    groups = description.tables["by_slot"].groupby("days", sort=False)
    for (days, part), stroke in zip(groups, STROKES, strict=False):
        if part["observed"].sum() == 0:
            continue
        axes.plot(part["hour"], part["mean"], label=str(days), **stroke)
        low, high = (part["mean"] + sign * part["std_over_days"] for sign in (-1, 1))
        axes.fill_between(part["hour"], low, high, color=stroke["color"], alpha=0.12, linewidth=0)
    axes.set_ylabel(_with_unit(description.quantity, description), fontsize=7)
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top + 0.25 * (top - bottom))  # room for the legend
    hour_axis(axes)
    _legend(axes)


def _nodes(axes: Axes, description: Description) -> None:
    nodes = description.tables["by_node"].dropna(subset=["mean"])
    many = len(nodes) > 2000
    look: dict[str, Any] = {"s": 6, "color": BLUE, "alpha": 0.5, "linewidths": 0}
    axes.scatter(nodes["mean"], nodes["std"], rasterized=many, **look)
    axes.set_xlabel(_with_unit("Mean", description), fontsize=7)
    axes.set_ylabel(_with_unit("Standard deviation", description), fontsize=7)
    # A data set whose nodes are all constant has a top of 0.
    axes.set_ylim(0, 1.07 * nodes["std"].max() or 1)


def _memory(axes: Axes, description: Description) -> None:
    table = description.tables["autocorrelation"]
    days = table["hours"] / HOURS
    axes.axhline(0, color=GREY, linewidth=0.7)
    axes.fill_between(days, table["low"], table["high"], color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(days, table["median"], color=BLUE)
    axes.set(xlabel="Lag (days)", ylabel="Autocorrelation", xlim=(0, 7))
    lowest = table["low"].min()
    axes.set_ylim(min(0.0, lowest if np.isfinite(lowest) else 0.0) - 0.05, 1.03)
    axes.set_xticks(range(8))


def _missing_by_hour(axes: Axes, description: Description) -> None:
    _rates(axes, description.tables["missing_by_hour"]["missing_rate"])
    hour_axis(axes)


def _missing_by_node(axes: Axes, description: Description) -> None:
    rates = description.tables["by_node"]["missing_rate"].sort_values(ascending=False)
    _rates(axes, rates)
    axes.set_xlabel("Nodes, worst first")


def _rates(axes: Axes, rates: pd.Series) -> None:
    axes.stairs(100 * rates.fillna(0).to_numpy(), fill=True, color=BLUE)
    dress(axes, "y", ylim=(0, 105 * rates.max() or 1), ylabel="Missing values")


def _gaps(axes: Axes, description: Description) -> None:
    gaps = description.tables["gaps"]
    dress(axes, "y", xlabel="Length (hours)", ylabel="Gaps at least so long")
    if not len(gaps):
        _say(axes, "Nothing is missing\nat the nodes drawn")
        return
    share = 100 * gaps["gaps"][::-1].cumsum()[::-1] / gaps["gaps"].sum()
    axes.step(gaps["hours"], share, where="pre", color=BLUE, marker=".", markersize=3)
    # A logarithmic axis of less than a decade has no round number for a tick.
    if gaps["hours"].max() >= 10 * gaps["hours"].min():
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    if share.min() <= 10:
        axes.set_yscale("log")
    axes.yaxis.set_major_formatter(PERCENT)


def _with_unit(words: str, description: Description) -> str:
    return f"{words}\n{textwrap.fill(f'({description.unit})', LONGEST)}"


def _legend(axes: Axes, title: str | None = None, loc: str = "upper left") -> None:
    """A legend in small type, half transparent over the curves."""
    if axes.get_legend_handles_labels()[0]:
        look: dict[str, Any] = {"fontsize": 6.5, "title_fontsize": 6.5, "handlelength": 1.6}
        look |= {"labelspacing": 0.25, "borderaxespad": 0.2, "framealpha": 0.75, "loc": loc}
        axes.legend(title=title, frameon=True, **look).get_frame().set_linewidth(0)


def _say(axes: Axes, words: str) -> None:
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", fontsize=7)
