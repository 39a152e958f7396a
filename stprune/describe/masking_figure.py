"""The averaging-masking analysis of a run as files: a figure, csv tables and the facts."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stprune.base.files import write_json
from stprune.data.canonical import CanonicalDataset
from stprune.describe.averaging_masking import (
    QUARTERS,
    error_percentiles,
    in_quarters,
    masking_by_node,
    masking_table,
)
from stprune.describe.write import MASKING_FACTS, figure_path, write_tables
from stprune.paper.figures import Drawing, paper_style, write_drawing
from stprune.training.recorded_model import RecordedModel, SplitName

WIDTH, HEIGHT = 7.0, 2.2
# Light to dark for quarters, which have an order (a single hue); three that the colour-blind can
# tell apart for quantiles (Okabe and Ito, 2008).
QUARTER_COLOURS = ("#9ecae1", "#6baed6", "#2171b5", "#08306b")
QUARTER_LINES = ("-", "--", "-.", ":")
QUANTILE_STYLES = (("#000000", "o", "-"), ("#D55E00", "s", "--"), ("#0072B2", "^", ":"))


def write_masking(
    model: RecordedModel,
    dataset: CanonicalDataset,
    split: SplitName,
    directory: Path,
    *,
    figure: bool = True,
) -> Path:
    """Write ``masking.*`` of a run into ``directory``.

    Returns:
        The figure as PNG; without one, what was looked at.

    Raises:
        DataError: If too few windows of the split have any target.
    """
    errors, stride = model.node_errors(split)
    found = in_quarters(errors)
    ids = dataset.node_ids[:: model.spec.subset.node_stride]
    tables = {
        "masking": masking_table(found),
        "masking_errors": error_percentiles(found),
        "masking_by_node": masking_by_node(found, ids),
    }
    facts = {
        "run": model.spec.key.path,
        "experiment": model.spec.experiment,
        "fingerprint": model.spec.fingerprint,
        "epochs": model.spec.training.epochs,
        "split": split,
        "windows": len(found.means),
        "every_so_many_th_window": stride,
        "nodes": found.errors.shape[1],
        "unit": model.data.description["target_unit"],
    }
    write_tables(tables, directory)
    said = directory / MASKING_FACTS
    write_json(said, facts)
    if not figure:
        return said
    with paper_style():
        drawing = masking_drawing(tables, facts)
    write_drawing(drawing, partial(figure_path, directory, "masking"))
    return figure_path(directory, "masking", "png")


def masking_drawing(tables: dict[str, pd.DataFrame], facts: dict[str, Any]) -> Drawing:
    """Node errors inside windows of low and of high mean error."""
    figure = Figure(figsize=(WIDTH, HEIGHT))
    left, middle, right = figure.subplots(1, 3)
    _distributions(left, tables["masking_errors"], facts["unit"])
    table = tables["masking"]
    own = table[table["of"] == "own node"]
    _by_quarter(middle, own, "large_share", "(b) Large errors inside", "Of the node errors")
    _by_quarter(right, own, "windows_with_any", "(c) Hidden by the mean", "Windows with any")
    middle.legend(title="Large: above", fontsize=6.5, title_fontsize=6.5, loc="upper left")
    calm = own[(own["quarter"] == 1) & (own["quantile"] == 0.95)].iloc[0]
    stride = facts["every_so_many_th_window"]
    taken = "" if stride == 1 else f" (every {stride}th)"
    split = "training" if facts["split"] == "train" else facts["split"]
    caption = (
        f"Run {facts['run']}: errors of {facts['nodes']} nodes in {facts['windows']}"
        f" {split} windows{taken}, in quarters by mean error, 1 the lowest. A node error"
        " is large if it is above the quantile of the errors of that node. Inside quarter 1,"
        f" {100 * calm['large_share']:.2g} % of the node errors are above their 95 % quantile, and"
        f" {100 * calm['windows_with_any']:.3g} % of the windows hold at least one."
    )
    alt = f"Three panels on node errors inside windows of low mean error, run {facts['run']}."
    return Drawing(figure, caption, alt)


def _distributions(axes: Axes, table: pd.DataFrame, unit: str) -> None:
    styles = zip(QUARTER_COLOURS, QUARTER_LINES, strict=True)
    for (quarter, part), (colour, line) in zip(table.groupby("quarter"), styles, strict=True):
        # Errors of 0 have no place on a logarithmic axis.
        shown = part[part["error"] > 0]
        axes.plot(
            shown["error"], shown["percentile"], color=colour, linestyle=line, label=f"{quarter!s}"
        )
    axes.set_title("(a) Node errors")
    axes.set(xlabel=f"Error ({unit})", ylabel="Node errors at most", xscale="log", ylim=(0, 100))
    axes.yaxis.set_major_formatter("{x:g}%")
    axes.legend(title="Quarter", fontsize=6.5, title_fontsize=6.5, loc="upper left")


def _by_quarter(axes: Axes, table: pd.DataFrame, column: str, title: str, y: str) -> None:
    styles = QUANTILE_STYLES
    for (quantile, part), (colour, marker, line) in zip(
        table.groupby("quantile"), styles, strict=True
    ):
        axes.plot(
            part["quarter"],
            100 * part[column],
            color=colour,
            marker=marker,
            linestyle=line,
            label=f"{100 * float(str(quantile)):g}%",
        )
    axes.set_title(title)
    axes.set(xlabel="Quarter by mean error", ylabel=y)
    axes.set_xticks(range(1, QUARTERS + 1))
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:g}%")
