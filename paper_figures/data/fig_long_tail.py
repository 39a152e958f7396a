"""Is stationarity long-tailed? How much more than the median some windows move."""

from collections.abc import Sequence

import numpy as np

from paper_figures.data.strokes import GREY, dress, looks, panels, rows, shift
from stprune.describe.description import Description
from stprune.paper.draw import Drawing

MEASURES = {
    "first_difference": "difference",
    "window_std": "deviation",
    "spectral_flatness": "flatness",
}
# Of what decays as an exponential: the top tenth's share of the sum, 0.1 (1 - ln 0.1).
EXPONENTIAL_SHARE = 100 * 0.1 * (1 - np.log(0.1))


def build(described: Sequence[Description]) -> Drawing:
    """Above: means over nodes, as the pruner takes them; below: single nodes."""
    shown = looks(described)
    figure, axes = panels(2, shown)
    times = np.linspace(0, 10, 50)
    for kind, (name, where, least, most) in enumerate(
        (("stationarity", "windows", 1.0, 6), ("node_stationarity", "nodes", 0.1, 10))
    ):
        difference, deviation, top = axes[3 * kind : 3 * kind + 3]
        for panel, measure in ((difference, "first_difference"), (deviation, "window_std")):
            for one, line, _, _ in shown:
                part = rows(one.tables[name], measure=measure).set_index("percentile")["value"]
                # Of a constant series nothing is a multiple of the median.
                if part.get(50, 0.0) > 0:
                    share = part[part.index < 100] / part[50]
                    panel.plot(share, 100 - share.index, **line)
            panel.plot(times, 100 * 0.5**times, zorder=1, **GREY)
            dress(panel, "y", yscale="log", ylim=(least, 110), xlim=(0, most))
            panel.set(xlabel="Times the median", ylabel="Windows at least")
        for one, _, mark, beside in shown:
            tail = one.tables[f"{name}_tail"].set_index("measure")["share_of_top_tenth"]
            top.plot(shift(len(MEASURES), beside), 100 * tail.reindex(list(MEASURES)), **mark)
        top.set_xticks(range(len(MEASURES)), list(MEASURES.values()))
        top.axhline(10, linestyle=":", **GREY)
        top.axhline(EXPONENTIAL_SHARE, **GREY)
        dress(top, "y", ylabel="Of all movement", xlabel="Measure", ylim=(0, None))
        for at, title in enumerate(("Difference", "Deviation", "Top tenth"), 3 * kind):
            axes[at].set_title(f"({'abcdef'[at]}) {title}, {where}")
    caption = (
        "Stationarity of training windows by three measures: large means that a window moves."
        " (a, b, d, e) Share of windows that move at least so many times the median; grey, an"
        " exponential distribution: a tail is long if it lies above. (c, f) Share of all movement"
        " that the most moving tenth holds; 10 % if all moved alike, 33 % (grey) of an exponential."
        " Above: means over nodes, by which windows are chosen. Below: single nodes (at most 32)."
    )
    return Drawing(figure, caption)
