"""How much the data repeat themselves: nodes, days and windows alike, and how few would do."""

from collections.abc import Sequence

from paper_figures.data.strokes import GREY, dress, looks, panels, rows, shift
from stprune.describe.description import Description
from stprune.paper.draw import Drawing

KINDS = ("nodes", "days", "windows")
APART = {
    "one step apart": "step",
    "a window apart": "window",
    "a day apart": "day",
    "a week apart": "week",
    "all pairs": "any",
}


def build(described: Sequence[Description]) -> Drawing:
    """Above: how alike nodes, days and windows are; below: components, rank, overlap."""
    shown = looks(described)
    figure, (near, days, apart, components, ranks, overlap) = panels(2, shown)
    for one, line, mark, beside in shown:
        similarity = one.tables["similarity"]
        for axes, of, pairs in ((near, "nodes", "joined by an edge"), (days, "days", "all pairs")):
            part = rows(similarity, of=of, pairs=pairs)
            axes.plot(part["correlation"], part["percentile"], **line)
        middle = rows(similarity, of="windows", percentile=50).set_index("pairs")["correlation"]
        apart.plot(shift(len(APART), beside), middle.reindex(list(APART)), **mark)
        part = rows(one.tables["spectrum"], of="windows")
        components.plot(part["component"], 100 * part["variance_share"], **line)
        rank = one.tables["effective_rank"].set_index("of").reindex(list(KINDS))
        share = 100 * rank["effective_rank"] / rank["largest_possible"]
        ranks.plot(shift(len(KINDS), beside), share, **mark)
        part = one.tables["overlap"]
        overlap.plot(part["stride"], 100 * part["overlap"], **line)
    for axes, title in ((near, "(a) Neighbours alike"), (days, "(b) Days alike")):
        labels = {"title": title, "xlabel": "Correlation", "ylabel": "Pairs at most so alike"}
        dress(axes, "y", **labels, xlim=(-0.5, 1), ylim=(0, 100))
    apart.set_xticks(range(len(APART)), list(APART.values()))
    apart.axhline(0, **GREY)
    labels = {"title": "(c) Windows alike", "xlabel": "Begin so much later"}
    apart.set(**labels, ylabel="Median correlation", ylim=(-0.25, 1.03))
    labels = {"title": "(d) Components of windows", "xlabel": "Components"}
    dress(components, "y", **labels, ylabel="Variance held", xscale="log", ylim=(0, 102))
    components.xaxis.set_major_formatter("{x:g}")
    ranks.set_xticks(range(len(KINDS)), KINDS)
    labels = {"title": "(e) Effective rank", "ylabel": "Of the largest possible"}
    dress(ranks, "y", **labels, ylim=(0, 103), xlabel="Rows compared")
    labels = {"title": "(f) Overlap of windows", "xlabel": "Every k-th window is kept, k"}
    dress(overlap, "y", **labels, ylabel="Steps shared", ylim=(0, 100))
    options = [one.facts["options"] for one in described]
    lengths = sorted({option["history"] + option["horizon"] for option in options})
    looked = "; ".join(
        "{}: {nodes} nodes, {days} days, {windows} windows".format(
            one.title, **one.facts["looked_at"]
        )
        for one in described
    )
    caption = (
        "(a, b) Share of pairs whose correlation is at most that on the horizontal axis: nodes"
        " that the graph joins, and whole days. (c) Median correlation of a window"
        f" ({' or '.join(map(str, lengths))} steps) with a later one, and of any two. (d) Variance"
        " of training windows that the largest components hold. (e) Effective rank in % of the"
        " largest possible, which depends on how many were compared. (f) Share of a window's steps"
        f" that the next one kept has too. Compared were {looked}."
    )
    return Drawing(figure, caption)
