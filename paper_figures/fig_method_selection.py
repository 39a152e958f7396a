"""Candidates for ST-Prune's default against the better control: every place, and their mean."""

import numpy as np

from paper_figures import tab_method_selection
from paper_figures.tab_method_selection import REGIMES, by_place, decisive
from stprune.paper import draw
from stprune.results.labels import label
from stprune.results.summary import Results

TITLE = tab_method_selection.TITLE
applies = tab_method_selection.applies


def build(results: Results) -> draw.Drawing:
    """One column of panels per regime that was run, one row per backbone; a row is an entry."""
    places, table = by_place(results.summary), decisive(results.summary)
    regimes = [name for name in REGIMES if name in set(places["regime"])]
    backbones = sorted(set(places["backbone"]))
    shown = draw.looks(places["dataset"])
    legend = [
        draw.handle(name.replace("_", " "), color=look.colour, marker=look.marker, ls="")
        for name, look in shown.items()
    ]
    legend.append(draw.handle("mean", color="black", marker="|", ls="", markersize=9))
    height = 0.17 * table.groupby("backbone").size().max() + 0.5
    figure, grid = draw.panels(
        [label(name) for name in backbones],
        [f"{name.capitalize()} training" for name in regimes],
        height,
        xlabel="Difference from the better control (%)",
        legend=legend,
        sharex="col",
        sharey="row",
    )
    for backbone, panels in zip(backbones, grid, strict=True):
        names = table.loc[table["backbone"] == backbone, "pruner"].tolist()
        for axes, regime in zip(panels, regimes, strict=True):
            axes.axvline(0, color="black", linewidth=0.7, zorder=1)
            draw.named_rows(axes, names)
            part = places[(places["backbone"] == backbone) & (places["regime"] == regime)]
            for dataset, rows in part.groupby("dataset"):
                look = shown[str(dataset)]
                at = [names.index(name) for name in rows["pruner"]]
                style = {"color": look.colour, "marker": look.marker, "markersize": 3.4}
                axes.plot(rows["difference"], at, linestyle="", zorder=3, **style)
            means = part.groupby("pruner")["difference"].mean().reindex(names)
            axes.plot(means, np.arange(len(names)), "|", color="black", markersize=9, zorder=2)
    caption = (
        "Difference in test MAE from the better of the two controls (of a data set, regime and"
        " prune ratio the one with the lower mean over seeds), in % of it; left of 0 is better than"
        " both. A point is a data set, averaged over seeds and prune ratios; entries from best to"
        " worst by their mean over all places."
    )
    return draw.Drawing(figure, caption)
