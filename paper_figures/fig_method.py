"""The workflow of ST-Prune, drawn: what happens from one epoch to the next, as we read it."""

from __future__ import annotations

from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from stprune.paper import content, draw
from stprune.paper.figures import Drawing
from stprune.results.summary import Results

TITLE = "ST-Prune, as we read it"

HEIGHT = 3.5
# The page in hundredths of its width and height.
PAGE = 100.0
# The fill says what a step works on (light shades of Okabe and Ito's colours, 2008).
DATA, ERRORS, CHOICE, TRAINING = "#e3f1fa", "#fbe3d3", "#fdf6cf", "#dcefe7"
EDGE = "#444444"
# What the bar of the third step shows: an example, not a measurement.
HARD_COLOUR, EASY_COLOUR, HARD_SHARE = "#D55E00", "#0072B2", 0.2


class Box(NamedTuple):
    """A step of the method; corner, width and height in hundredths of the page."""

    left: float
    bottom: float
    width: float
    height: float
    fill: str
    heading: str

    @property
    def right(self) -> tuple[float, float]:
        """The middle of the right edge."""
        return self.left + self.width, self.bottom + self.height / 2

    @property
    def start(self) -> tuple[float, float]:
        """The middle of the left edge."""
        return self.left, self.bottom + self.height / 2

    @property
    def top(self) -> tuple[float, float]:
        """The middle of the upper edge."""
        return self.left + self.width / 2, self.bottom + self.height

    @property
    def foot(self) -> tuple[float, float]:
        """The middle of the lower edge."""
        return self.left + self.width / 2, self.bottom


WORDS = {
    "1  Score": "error and its structure:\n$c_i = m_i + \\lambda_s S_i + \\lambda_t T_i$\n"
    "$S_i$ over nodes,\n$T_i$ over the horizon",
    "2  Strata": "stationarity $\\psi_i$ from\nthe data, once:\nB quantiles",
    "3  Keep or prune": "of n windows, exactly\n$K = \\mathrm{round}((1-p)\\,n)$\n\n\n\n",
    "4  Rescale the gradient": "kept easy window of stratum b:\n"
    "$w_i = n_b\\,/\\,k_b$;  hard: $w_i = 1$",
    "5  Train an epoch": "batches of the K windows,\nloss: mean of $w_i\\,\\ell_i$;\n"
    "the forward pass gives\nthe errors of step 1 free",
    "6  Anneal back": "the first epoch and the last\n"
    "$\\lceil(1-\\delta)\\,E\\rceil$ of $E$ are full,\nevery weight 1",
}
SCORE = Box(1, 55, 25, 34, ERRORS, "1  Score")
STRATA = Box(1, 14, 25, 28, DATA, "2  Strata")
SELECT = Box(32, 44, 33, 45, CHOICE, "3  Keep or prune")
RESCALE = Box(32, 14, 33, 22, ERRORS, "4  Rescale the gradient")
TRAIN = Box(71, 49, 28, 40, TRAINING, "5  Train an epoch")
ANNEAL = Box(71, 14, 28, 27, TRAINING, "6  Anneal back")
BOXES = (SCORE, STRATA, SELECT, RESCALE, TRAIN, ANNEAL)


def applies(results: Results) -> bool:
    """Whether the method was run: its drawing says nothing of other pruners."""
    return content.METHOD in set(results.summary["pruner"])


def build(results: Results) -> Drawing:
    """Boxes and arrows; nothing of it is measured.

    Args:
        results: The experiment beside which it is drawn.
    """
    figure = Figure(figsize=(draw.WIDTH, HEIGHT))
    axes = figure.subplots()
    axes.set(xlim=(0, PAGE), ylim=(0, PAGE), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_ylabel("Before and during every epoch", fontsize=7)
    for box in BOXES:
        _box(axes, box)
    _kept_bar(axes)
    _arrow(axes, SCORE.right, (SELECT.left, SCORE.right[1]))
    _arrow(axes, STRATA.right, (SELECT.left, SELECT.bottom + 6))
    _arrow(axes, SELECT.foot, RESCALE.top)
    _arrow(axes, RESCALE.right, (TRAIN.left, TRAIN.bottom + 6))
    _arrow(axes, TRAIN.foot, ANNEAL.top)
    # The way back, over the top of the page.
    way = [TRAIN.top[0], TRAIN.top[0], SCORE.top[0]], [TRAIN.top[1], 95, 95]
    axes.plot(*way, color=EDGE, linewidth=0.9)
    _arrow(axes, (SCORE.top[0], 95), SCORE.top)
    axes.text(50, 96, "scores for the next epoch", ha="center", va="bottom", fontsize=6.5)
    axes.text(
        0,
        1,
        "$i$: window; $p$: prune ratio; $m_i$: mean error; $n_b$, $k_b$: easy windows of stratum"
        r" $b$ and those kept; $\alpha$, $\delta$, $\lambda$: options",
        fontsize=6.5,
        va="bottom",
    )
    caption = (
        "The paper's ideas in our reading; each choice is an option (docs/method.md). Drawn, not"
        " measured: the shares in step 3 are examples."
    )
    alt = (
        "Workflow of ST-Prune: windows are scored by their error and its structure; of a fixed"
        " number, the hardest and a uniform draw from each stationarity stratum of the rest are"
        " kept and weighted; the kept windows are trained on; the last epochs are full again."
    )
    return Drawing(figure, caption, alt)


def _box(axes: Axes, box: Box) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (box.left, box.bottom),
            box.width,
            box.height,
            boxstyle="round,pad=0,rounding_size=1.6",
            # Corners as round one way as the other, on a page wider than high.
            mutation_aspect=draw.WIDTH / HEIGHT,
            facecolor=box.fill,
            edgecolor=EDGE,
            linewidth=0.8,
        )
    )
    middle, top = box.left + box.width / 2, box.bottom + box.height
    axes.text(middle, top - 3, box.heading, ha="center", va="top", fontsize=8, fontweight="bold")
    words = WORDS[box.heading]
    axes.text(middle, top - 11, words, ha="center", va="top", fontsize=7, linespacing=1.35)


def _kept_bar(axes: Axes) -> None:
    """All windows in one bar: kept by rank, then the strata of the rest, each with a few kept."""
    left, bottom, width, height = SELECT.left + 2, SELECT.bottom + 11, SELECT.width - 4, 9
    hard, strata = HARD_SHARE * width, 4
    easy = (width - hard) / strata

    def bar(corner: float, width: float, colour: str, edge: str) -> None:
        part = Rectangle((corner, bottom), width, height, fc=colour, ec=edge, linewidth=0.6)
        axes.add_patch(part)

    bar(left, hard, HARD_COLOUR, EDGE)
    for stratum in range(strata):
        corner = left + hard + stratum * easy
        bar(corner, easy, "#f0f0f0", EDGE)
        for lot in (0.15, 0.45) if stratum % 2 else (0.3, 0.7):
            bar(corner + lot * easy, 0.1 * easy, EASY_COLOUR, "none")
    words = (
        (left, bottom - 1.5, r"hardest $\alpha K$", "left", "top", "#a84500"),
        (left + width, bottom - 1.5, "rest: uniform in a stratum", "right", "top", "#005a8c"),
        (left, bottom + height + 1, "hardest first, then by stratum", "left", "bottom", "black"),
    )
    for x, y, text, side, edge, colour in words:
        axes.text(x, y, text, fontsize=6, ha=side, va=edge, color=colour)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style: dict[str, Any] = {
        "arrowstyle": "-|>",
        "mutation_scale": 8,
        "color": EDGE,
        "linewidth": 0.9,
    }
    axes.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **style))
