"""The workflow of ST-Prune, drawn: what happens from one epoch to the next, as we read it."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from stprune.paper import content, draw
from stprune.results.summary import Results

TITLE = "ST-Prune, as we read it"

# Places are in hundredths of the page's width and height.
EDGE = "#444444"
# The fill says what a step works on (light shades of Okabe and Ito's colours, 2008).
DATA, ERRORS, CHOICE, TRAINING = "#e3f1fa", "#fbe3d3", "#fdf6cf", "#dcefe7"
# Left, bottom, width and height of each step, and its fill.
BOXES = (
    (1, 55, 25, 34, ERRORS),
    (1, 14, 25, 28, DATA),
    (32, 44, 33, 45, CHOICE),
    (32, 14, 33, 22, ERRORS),
    (71, 49, 28, 40, TRAINING),
    (71, 14, 28, 27, TRAINING),
)
# The steps' words, each with its heading above.
WORDS = r"""1  Score
error and its structure:
$c_i = m_i + \lambda_s S_i + \lambda_t T_i$
$S_i$ over nodes,
$T_i$ over the horizon

2  Strata
stationarity $\psi_i$ from
the data, once:
B quantiles

3  Keep or prune
of n windows, exactly
$K = \mathrm{round}((1-p)\,n)$

4  Rescale the gradient
kept easy window of stratum b:
$w_i = n_b\,/\,k_b$;  hard: $w_i = 1$

5  Train an epoch
batches of the K windows,
loss: mean of $w_i\,\ell_i$;
the forward pass gives
the errors of step 1 free

6  Anneal back
the first epoch and the last
$\lceil(1-\delta)\,E\rceil$ of $E$ are full,
every weight 1"""
# From one place to another; the last arrow ends the way back over the top of the page.
ARROWS = (
    ((26, 72), (32, 72)),
    ((26, 28), (32, 50)),
    ((48.5, 44), (48.5, 36)),
    ((65, 25), (71, 55)),
    ((85, 49), (85, 41)),
    ((13.5, 95), (13.5, 89)),
)
SYMBOLS = (
    "$i$: window; $p$: prune ratio; $m_i$: mean error; $n_b$, $k_b$: easy windows of stratum $b$"
    r" and those kept; $\alpha$, $\delta$, $\lambda$: options"
)


def applies(results: Results) -> bool:
    """Whether the method was run: its drawing says nothing of other pruners."""
    return content.METHOD in set(results.summary["pruner"])


def build(results: Results) -> draw.Drawing:
    """Boxes and arrows; nothing of it is measured."""
    figure = Figure(figsize=(draw.WIDTH, 3.5))
    axes = figure.subplots()
    axes.set(xlim=(0, 100), ylim=(0, 100), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_ylabel("Before and during every epoch")
    for (left, bottom, width, height, fill), words in zip(BOXES, WORDS.split("\n\n"), strict=True):
        # Corners as round one way as the other, on a page wider than high.
        style: dict[str, Any] = {"boxstyle": "round,pad=0,rounding_size=1.6", "mutation_aspect": 2}
        axes.add_patch(FancyBboxPatch((left, bottom), width, height, fc=fill, ec=EDGE, **style))
        heading, text = words.split("\n", 1)
        x, y = left + width / 2, bottom + height
        axes.text(x, y - 3, heading, fontsize=8, fontweight="bold", ha="center", va="top")
        axes.text(x, y - 11, text, fontsize=7, linespacing=1.35, ha="center", va="top")
    _kept_bar(axes)
    axes.plot([85, 85, 13.5], [89, 95, 95], color=EDGE, linewidth=0.9)
    arrow = {"arrowstyle": "-|>", "color": EDGE, "shrinkA": 0, "shrinkB": 0}
    for start, end in ARROWS:
        axes.annotate("", end, start, arrowprops=arrow)
    axes.text(50, 96, "scores for the next epoch", ha="center", va="bottom", fontsize=6.5)
    axes.text(0, 1, SYMBOLS, fontsize=6.5, va="bottom")
    caption = (
        "The paper's ideas in our reading; each choice is an option (docs/method.md). Drawn, not"
        " measured: the shares in step 3 are examples."
    )
    return draw.Drawing(figure, caption)


def _kept_bar(axes: Axes) -> None:
    """All windows in one bar: kept by rank, then the strata of the rest, each with a few kept."""
    left, right, bottom, height, easy = 34, 63, 55, 9, 5.8
    strata = [left + easy * number for number in range(1, 5)]
    kept = [stratum + easy * lot for stratum in strata for lot in (0.2, 0.6)]
    for lefts, width, colour, edge in (
        ([left], easy, "#D55E00", EDGE),
        (strata, easy, "#f0f0f0", EDGE),
        (kept, 0.1 * easy, "#0072B2", "none"),
    ):
        axes.bar(lefts, height, width, bottom, align="edge", color=colour, ec=edge, linewidth=0.6)
    for x, y, text, side, edge, colour in (
        (left, bottom - 1.5, r"hardest $\alpha K$", "left", "top", "#a84500"),
        (right, bottom - 1.5, "rest: uniform in a stratum", "right", "top", "#005a8c"),
        (left, bottom + height + 1, "hardest first, then by stratum", "left", "bottom", "black"),
    ):
        axes.text(x, y, text, fontsize=6, ha=side, va=edge, color=colour)
