"""Does a mean over nodes mask local errors? Large node errors inside windows of low mean error."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd

from paper_figures.data.strokes import add_legend, curves, names, panels
from stprune.describe.description import Description
from stprune.describe.figures import dress
from stprune.paper.figures import Drawing

TITLE = "Averaging masking"

QUANTILE = 0.95
GREY = "#8a8a8a"
NOTHING = "No trained run was analysed: `stprune data describe ID --run METRICS` does."
PANELS = (
    ("large_share", "(a) Large errors inside", "Of the node errors"),
    ("windows_with_any", "(b) Windows with any", "Of the windows"),
    ("share_of_large", "(c) Where large errors are", "Of all large errors"),
)


def build(described: Sequence[Description]) -> Drawing:
    """Share of large node errors by quarter, windows that hold any, and where they lie."""
    figure, grid = panels(1)
    for axes, (column, title, y) in zip(grid, PANELS, strict=True):
        curves(axes, described, partial(_points, column), marked=True)
        axes.set_xticks([1, 2, 3, 4])
        dress(axes, "y", title=title, xlabel="Quarter by mean error", ylabel=y, ylim=(0, None))
    grid[0].axhline(100 * (1 - QUANTILE), color=GREY, linewidth=0.9)
    grid[1].set_ylim(0, 103)
    grid[2].axhline(25, color=GREY, linewidth=0.9)
    shown = [one for one in described if "masking" in one.facts]
    if not shown:
        grid[0].text(0.5, 0.5, "No run analysed", transform=grid[0].transAxes, ha="center")
        return Drawing(figure, NOTHING, f"Three empty panels. {NOTHING}")
    add_legend(figure, described, "masking")
    runs = "; ".join(
        "{}: run {run} of {epochs} epochs, {windows} windows at {nodes} nodes".format(
            one.title, **one.facts["masking"]
        )
        for one in shown
    )
    caption = (
        "Training windows in quarters by their mean error over nodes, 1 the lowest. A node error,"
        " the mean over the horizon, is large if it is above the 95 % quantile of the errors of the"
        " same node; grey, what there would be if the mean said nothing. (b) With many nodes a"
        f" window without any large error is rare whatever the model. {runs}."
    )
    absent = [one for one in described if "masking" not in one.facts]
    if absent:
        caption += f" No run was analysed of {names(absent)}."
    calm = [(one.title, _own(one).iloc[0]) for one in shown]
    said = "; ".join(
        f"{title}: {100 * row['large_share']:.2g} % of the node errors in the calm quarter"
        f" are large, and {100 * row['windows_with_any']:.3g} % of its windows hold one"
        for title, row in calm
    )
    return Drawing(figure, caption, f"Three panels by quarter of the windows. {said}.")


def _own(one: Description) -> pd.DataFrame:
    table = one.tables["masking"]
    return table[(table["of"] == "own node") & (table["quantile"] == QUANTILE)]


def _points(column: str, one: Description) -> tuple[pd.Series, pd.Series] | None:
    if "masking" not in one.facts:
        return None
    return _own(one)["quarter"], 100 * _own(one)[column]
