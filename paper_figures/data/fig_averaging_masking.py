"""Does a mean over nodes mask local errors? Large node errors inside windows of low mean error."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from paper_figures.data.strokes import PERCENT, add_legend, names, panels, strokes
from stprune.describe.description import Description
from stprune.paper.figures import Drawing

TITLE = "Averaging masking"

QUANTILE = 0.95
GREY = "#8a8a8a"
NOTHING = "No trained run was analysed: `stprune data describe ID --run METRICS` does."


def build(described: Sequence[Description]) -> Drawing:
    """Share of large node errors by quarter, windows that hold any, and where they lie.

    Args:
        described: The data sets; those with an analysed run are shown.
    """
    figure, axes = panels(1)
    shown = [one for one in described if "masking" in one.facts]
    _by_quarter(axes[0], described, "large_share")
    axes[0].set_title("(a) Large errors inside")
    axes[0].set_ylabel("Of the node errors")
    axes[0].axhline(100 * (1 - QUANTILE), color=GREY, linewidth=0.9)
    _by_quarter(axes[1], described, "windows_with_any")
    axes[1].set_title("(b) Windows with any")
    axes[1].set_ylabel("Of the windows")
    axes[1].set_ylim(0, 103)
    _by_quarter(axes[2], described, "share_of_large")
    axes[2].set_title("(c) Where large errors are")
    axes[2].set_ylabel("Of all large errors")
    axes[2].axhline(25, color=GREY, linewidth=0.9)
    if not shown:
        axes[0].text(0.5, 0.5, "No run analysed", transform=axes[0].transAxes, ha="center")
        return Drawing(figure, NOTHING, f"Three empty panels. {NOTHING}")
    add_legend(figure, described, "masking")
    runs = "; ".join(
        f"{one.title}: run {one.facts['masking']['run']} of {one.facts['masking']['epochs']}"
        f" epochs, {one.facts['masking']['windows']} windows at"
        f" {one.facts['masking']['nodes']} nodes"
        for one in shown
    )
    absent = [one for one in described if "masking" not in one.facts]
    caption = (
        "Training windows in quarters by their mean error over nodes, 1 the lowest. A node error,"
        " the mean over the horizon, is large if it is above the 95 % quantile of the errors of the"
        " same node; grey, what there would be if the mean said nothing. (b) With many nodes a"
        f" window without any large error is rare whatever the model. {runs}."
    )
    if absent:
        caption += f" No run was analysed of {names(absent)}."
    return Drawing(figure, caption, _alt(shown))


def _by_quarter(axes: Axes, described: Sequence[Description], column: str) -> None:
    for one, stroke in zip(described, strokes(described), strict=True):
        if "masking" not in one.facts:
            continue
        part = _own(one)
        axes.plot(
            part["quarter"],
            100 * part[column],
            color=stroke.colour,
            linestyle=stroke.line,
            marker=stroke.marker,
        )
    axes.set(xlabel="Quarter by mean error", ylim=(0, None))
    axes.set_xticks([1, 2, 3, 4])
    axes.yaxis.set_major_formatter(PERCENT)


def _own(one: Description) -> pd.DataFrame:
    table = one.tables["masking"]
    return table[(table["of"] == "own node") & (table["quantile"] == QUANTILE)]


def _alt(shown: Sequence[Description]) -> str:
    said = []
    for one in shown:
        calm = _own(one).iloc[0]
        said.append(
            f"{one.title}: {100 * calm['large_share']:.2g} % of the node errors in the calm quarter"
            f" are large, and {100 * calm['windows_with_any']:.3g} % of its windows hold one"
        )
    return f"Three panels by quarter of the windows. {'; '.join(said)}."
