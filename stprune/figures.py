"""Finds the figures of the paper, and keeps what they have in common: one look, one file form."""

from __future__ import annotations

import hashlib
import io
import logging
import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import paper_figures
from stprune import atomic
from stprune.layout import ExperimentLayout
from stprune.registry import Registry
from stprune.summary import REFERENCE, Results, load_results
from stprune.tables import label

FIGURES: Registry[Any] = Registry(
    kind="figure", packages=("paper_figures",), contract="builtins:object", prefix="fig_"
)
STYLE_SHEET = Path(paper_figures.__path__[0]) / "style.mplstyle"

# Colours that the colour-blind can tell apart (Okabe and Ito, 2008); their yellow is left out,
# being too light for lines on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")


@dataclass(frozen=True)
class Look:
    """How one pruner is drawn, in every figure.

    Args:
        colour: Any matplotlib colour.
        marker: Matplotlib marker.
        line: Matplotlib line style.
    """

    colour: str
    marker: str
    line: Literal["-", "--", "-.", ":"] = "-"


LOOKS = {
    "full": Look("#000000", "o"),
    "full_fewer_epochs": Look("#6e6e6e", "s", "--"),
    "random_dynamic": Look("#56B4E9", "D", "--"),
    "random_static": Look("#CC79A7", "v", ":"),
    "infobatch": Look("#0072B2", "^"),
    "st_prune": Look("#D55E00", "o"),
    "el2n": Look("#009E73", "P"),
    "grand": Look("#E69F00", "X"),
    "forgetting": Look("#E69F00", "v", ":"),
    "herding": Look("#009E73", "D", ":"),
    "k_center": Look("#CC79A7", "s", ":"),
    "craig": Look("#CC79A7", "P", "-."),
    "gradmatch": Look("#0072B2", "s", "-."),
    "glister": Look("#009E73", "v", "-."),
    "ucb": Look("#56B4E9", "^", "-"),
    "epsilon_greedy": Look("#56B4E9", "X", "-"),
}


@dataclass(frozen=True)
class Drawing:
    """A finished figure and the words that belong to it.

    Args:
        figure: Not registered with pyplot, so nothing global keeps it.
        caption: What is shown, with the number of seeds.
        alt: For those who cannot see it.
    """

    figure: Figure
    caption: str
    alt: str


def looks(pruners: Iterable[str]) -> dict[str, Look]:
    """The look of each pruner, distinct within one figure.

    Pruners without a look of their own get colour and marker from their name, so that they stay
    the same from figure to figure; only two that clash are moved apart, in sorted order.
    """
    names = sorted(set(pruners))
    chosen = {name: LOOKS[name] for name in names if name in LOOKS}
    taken = {(look.colour, look.marker) for look in chosen.values()}
    pairs = [(colour, marker) for marker in MARKERS for colour in PALETTE]
    for name in names:
        if name in chosen:
            continue
        start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % len(pairs)
        free = [pair for pair in pairs[start:] + pairs[:start] if pair not in taken]
        # With more pruners than pairs some must look alike.
        colour, marker = (free or pairs[start:])[0]
        taken.add((colour, marker))
        chosen[name] = Look(colour, marker, "-.")
    return chosen


def build(name: str, results: Results) -> Drawing:
    """Draw figure ``name`` in the paper's style, in memory.

    Raises:
        UnknownNameError: If there is no ``paper_figures/fig_<name>.py``.
    """
    function: Callable[[Results], Drawing] = FIGURES.module(name).build
    with paper_style():
        return function(results)


def draw(name: str, layout: ExperimentLayout, results: Results | None = None) -> None:
    """Write ``figures/<name>`` of an experiment as PDF and PNG, the same bytes every time.

    Args:
        name: Part of ``paper_figures/fig_<name>.py`` after the prefix.
        layout: The experiment.
        results: Its results, where they have been loaded already.

    Raises:
        UnknownNameError: If there is no such figure.
        RecordError: If the experiment has no summary yet.
    """
    drawing = build(name, results or load_results(layout))
    with paper_style():
        _add_note(drawing)
    for kind in ("pdf", "png"):
        content = rendered(drawing.figure, kind)
        with atomic.atomic_path(layout.figure(name, kind)) as path:
            path.write_bytes(content)


def rendered(figure: Figure, kind: Literal["pdf", "png"]) -> bytes:
    """The file content of a figure, without dates or versions in it."""
    nameless: dict[str, Any] = {"png": {"Software": None}}
    metadata = nameless.get(kind, {"CreationDate": None, "Creator": None, "Producer": None})
    buffer = io.BytesIO()
    with paper_style(), _quiet_fonts():
        figure.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()


@contextmanager
def paper_style() -> Iterator[None]:
    """Draw in the paper's style, whatever the user's own settings; they return afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(mpl.rc_params_from_file(STYLE_SHEET, use_default_template=False))
        yield


def places(aggregate: pd.DataFrame) -> list[tuple[str, str]]:
    """The (data set, backbone) pairs of an experiment, sorted."""
    pairs = (
        aggregate[["dataset", "backbone"]].drop_duplicates().sort_values(["dataset", "backbone"])
    )
    return list(pairs.itertuples(index=False, name=None))


def draw_reference(axes: Axes, full: pd.DataFrame, metric: str = "test_mae") -> None:
    """Full training as a horizontal line, with a band of one standard deviation if known."""
    for _, row in full.iterrows():
        axes.axhline(row[metric], color=LOOKS[REFERENCE].colour, linewidth=0.9)
        if pd.notna(row[f"{metric}_sd"]):
            low, high = (row[metric] + sign * row[f"{metric}_sd"] for sign in (-1, 1))
            axes.axhspan(low, high, color=LOOKS[REFERENCE].colour, alpha=0.10, linewidth=0)


def add_legend(figure: Figure, shown: Mapping[str, Look]) -> None:
    """One legend above all panels, full training first."""
    names = sorted(shown, key=lambda name: (name != REFERENCE, label(name).lower()))
    handles = [
        Line2D(
            [],
            [],
            color=shown[name].colour,
            marker=shown[name].marker,
            linestyle=shown[name].line,
            label=label(name),
        )
        for name in names
    ]
    # As many rows as four columns need, filled evenly.
    columns = math.ceil(len(handles) / math.ceil(len(handles) / 4))
    figure.legend(handles=handles, loc="outside upper center", ncols=columns)


def seeds_in_words(aggregate: pd.DataFrame) -> str:
    """How many seeds stand behind the points, such as ``2 seeds`` or ``2 to 5 seeds``."""
    few, many = int(aggregate["seeds"].min()), int(aggregate["seeds"].max())
    if few == many:
        return "1 seed" if many == 1 else f"{many} seeds"
    return f"{few} to {many} seeds"


@contextmanager
def _quiet_fonts() -> Iterator[None]:
    """Embedding fonts in a PDF logs dozens of lines that tell a user nothing."""
    fonts = logging.getLogger("fontTools")
    level = fonts.level
    fonts.setLevel(logging.WARNING)
    try:
        yield
    finally:
        fonts.setLevel(level)


def _add_note(drawing: Drawing) -> None:
    """The caption in small type under the panels, so that the file can stand alone."""
    letters = int(20 * drawing.figure.get_figwidth())
    note = "\n".join(textwrap.wrap(drawing.caption, letters))
    # The place of a common axis label, for which the layout reserves room.
    drawing.figure.supxlabel(note, fontsize=7, x=0.01, ha="left")
