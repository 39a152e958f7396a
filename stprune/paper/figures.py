"""Finds the figures of the paper, and keeps what they have in common: one look, one file form."""

from __future__ import annotations

import io
import logging
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

import paper_figures
from stprune.base import atomic
from stprune.base.layout import ExperimentLayout
from stprune.base.registry import Registry
from stprune.paper.looks import LOOKS
from stprune.results.labels import label
from stprune.results.summary import REFERENCE, Results, load_results
from stprune.statistics.significance import CONTROLS

FIGURES: Registry[Any] = Registry(
    kind="figure", packages=("paper_figures",), contract="builtins:object", prefix="fig_"
)
# Every figure fits a page, upright or sideways, with its note; in inches.
PAGE_HEIGHT = 9.5
PAGE_WIDTH_SIDEWAYS = 10.5
# What rows of panels may take of it, where legend and note need the rest.
ROWS_HEIGHT = 7.8
# Rows of panels that a reader can still take in.
MOST_PLACES = 10
# Height of a line of the note under a figure, in inches.
NOTE_LINE = 0.12
STYLE_SHEET = Path(paper_figures.__path__[0]) / "style.mplstyle"


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


class FigureFiles(NamedTuple):
    """The contents of a figure's files.

    Args:
        pdf: With the caption below.
        png: The same.
        note: Share of the height, from below, that the caption takes.
    """

    pdf: bytes
    png: bytes
    note: float


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
    drawing = build(name, results or load_results(layout.store))
    write_drawing(drawing, lambda kind: layout.figure(name, kind))


def write_drawing(drawing: Drawing, place: Callable[[str], Path]) -> FigureFiles:
    """Write a figure with its caption below as PDF and PNG, the same bytes every time.

    Args:
        drawing: The figure; it gets its note.
        place: The path of the file of a kind, ``pdf`` or ``png``.

    Returns:
        What was written.
    """
    files = figure_files(drawing)
    for kind, content in (("pdf", files.pdf), ("png", files.png)):
        with atomic.atomic_path(place(kind)) as path:
            path.write_bytes(content)
    return files


def figure_files(drawing: Drawing) -> FigureFiles:
    """The files of a figure with its caption below; the drawing gets its note."""
    figure = drawing.figure
    with paper_style():
        note = _add_note(drawing)
    pdf = rendered(figure, "pdf")
    # The places that were found for the first file serve the second.
    figure.set_layout_engine("none")
    png = rendered(figure, "png")
    return FigureFiles(pdf, png, _share_of_note(figure, note))


def size_with_note(drawing: Drawing) -> tuple[float, float]:
    """Width and height in inches that a drawing's files have, its caption below included."""
    width, height = drawing.figure.get_size_inches()
    return float(width), float(height) + NOTE_LINE * len(_note_lines(drawing))


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


def most_varied_first(summary: pd.DataFrame) -> list[str]:
    """Names of the data sets, so that the first few hold as many different data as they can.

    Entries of a configuration may share their data and differ in training only.
    """
    names = summary[["dataset", "data_checksum"]].drop_duplicates().sort_values("dataset")
    names["repeat"] = names.groupby("data_checksum").cumcount()
    return names.sort_values(["repeat", "dataset"])["dataset"].tolist()


def that_fit(results: Results) -> tuple[list[tuple[str, str]], list[str]]:
    """The (data set, backbone) pairs that there is room for, and a sentence that names the others.

    Returns:
        At most ``MOST_PLACES`` pairs, sorted; and the sentence, or nothing.
    """
    order = most_varied_first(results.summary)
    every = sorted(places(results.aggregate), key=lambda place: order.index(place[0]))
    shown, hidden = sorted(every[:MOST_PLACES]), every[MOST_PLACES:]
    names = ", ".join(f"{dataset} with {label(backbone)}" for dataset, backbone in sorted(hidden))
    return shown, [f"Not shown, for want of room: {names}."] if hidden else []


def row_height(rows: int, tallest: float) -> float:
    """Inches of each of so many rows of panels: less than ``tallest`` where a page would not do."""
    return min(tallest, ROWS_HEIGHT / rows)


def row_name(dataset: str, backbone: str) -> str:
    """A data set and backbone beside a row of panels, in lines that a low row has room for."""
    parts = textwrap.wrap(dataset.replace("_", "_ "), 15)
    lines = [*(part.replace("_ ", "_") for part in parts), *textwrap.wrap(label(backbone), 15)]
    return "\n".join(lines)


def draw_reference(axes: Axes, full: pd.DataFrame, metric: str = "test_mae") -> None:
    """Full training as a horizontal line, with a band of one standard deviation if known."""
    for _, row in full.iterrows():
        axes.axhline(row[metric], color=LOOKS[REFERENCE].colour, linewidth=0.9)
        if pd.notna(row[f"{metric}_sd"]):
            low, high = (row[metric] + sign * row[f"{metric}_sd"] for sign in (-1, 1))
            axes.axhspan(low, high, color=LOOKS[REFERENCE].colour, alpha=0.10, linewidth=0)


def seeds_in_words(aggregate: pd.DataFrame) -> str:
    """How many seeds stand behind the points, such as ``2 seeds`` or ``2 to 5 seeds``."""
    few, many = int(aggregate["seeds"].min()), int(aggregate["seeds"].max())
    if few == many:
        return "1 seed" if many == 1 else f"{many} seeds"
    return f"{few} to {many} seeds"


def absent_controls(pruners: Iterable[str]) -> list[str]:
    """A sentence for the caption for each control that was not run."""
    present = set(pruners)
    return [f"{label(name)} was not run here." for name in CONTROLS if name not in present]


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


def _share_of_note(figure: Figure, note: Text) -> float:
    """Share of the PNG's height up to the top of the note."""
    with paper_style():
        # That of the last drawing, which the extent of a text goes by.
        dpi = float(mpl.rcParams["savefig.dpi"])
    top: float = note.get_window_extent(dpi=dpi).y1 / dpi
    return top / figure.get_figheight()


def _note_lines(drawing: Drawing) -> list[str]:
    return textwrap.wrap(drawing.caption, int(19 * drawing.figure.get_figwidth()))


def _add_note(drawing: Drawing) -> Text:
    """The caption in small type under the panels, so that the file can stand alone."""
    figure = drawing.figure
    lines = _note_lines(drawing)
    # Room of its own, or a long caption would take it from the panels.
    figure.set_figheight(size_with_note(drawing)[1])
    # The place of a common axis label, for which the layout reserves room.
    return figure.supxlabel("\n".join(lines), fontsize=7, x=0.01, ha="left")
