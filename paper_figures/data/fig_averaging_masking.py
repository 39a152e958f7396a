"""Does a mean over nodes mask local errors? Large node errors inside windows of low mean error."""

from collections.abc import Sequence

from paper_figures.data.strokes import GREY, dress, looks, panels
from stprune.describe.description import Description
from stprune.paper.draw import Drawing

# In %: of the node errors that are large, as `masking_table` has it.
LARGE = 5
PANELS = (
    ("large_share", "(a) Large errors inside", "Of the node errors"),
    ("windows_with_any", "(b) Windows with any", "Of the windows"),
    ("share_of_large", "(c) Where large errors are", "Of all large errors"),
)


def applies(described: Sequence[Description]) -> bool:
    """Whether a trained run was analysed (`stprune data describe ID --run METRICS`)."""
    return any("masking" in one.facts for one in described)


def build(described: Sequence[Description]) -> Drawing:
    """Share of large node errors by quarter, windows that hold any, and where they lie."""
    shown = [look for look in looks(described) if "masking" in look.one.facts]
    figure, grid = panels(1, shown)
    for axes, (column, title, y) in zip(grid, PANELS, strict=True):
        for one, line, mark, _ in shown:
            table = one.tables["masking"]
            axes.plot(table["quarter"], 100 * table[column], **mark | line)
        axes.set_xticks([1, 2, 3, 4])
        dress(axes, "y", title=title, xlabel="Quarter by mean error", ylabel=y, ylim=(0, None))
    grid[0].axhline(LARGE, **GREY)
    grid[1].set_ylim(0, 103)
    grid[2].axhline(25, **GREY)
    runs = "; ".join(
        "{}: run {run} of {epochs} epochs, {windows} windows at {nodes} nodes".format(
            look.one.title, **look.one.facts["masking"]
        )
        for look in shown
    )
    caption = (
        "Training windows in quarters by their mean error over nodes, 1 the lowest. A node error is"
        " large if it is above the 95 % quantile of the errors of the same node; grey, what there"
        f" would be if the mean said nothing. {runs}."
    )
    return Drawing(figure, caption)
