"""Finds the figures of the paper, draws them in one style, and writes them as PDF and PNG."""

from __future__ import annotations

import io
import logging
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

from stprune.base.files import atomic_path
from stprune.base.registry import Registry
from stprune.paper.content import absent_controls
from stprune.results.summary import Results

FIGURES: Registry[Any] = Registry(
    kind="figure", packages=("paper_figures",), contract="builtins:object", prefix="fig_"
)
STYLE_SHEET = Path(__file__).with_name("paper.mplstyle")
# Height of a line of the caption below a figure, in inches.
NOTE_LINE = 0.12


@dataclass(frozen=True)
class Drawing:
    """A finished figure and the words that belong to it.

    Args:
        figure: Not registered with pyplot, so nothing global keeps it.
        caption: What is shown, with the number of seeds.
        alt: For readers who cannot see it.
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
    """Draw figure ``name`` in the paper's style; its caption names the controls that are missing.

    Raises:
        UnknownNameError: If there is no ``paper_figures/fig_<name>.py``.
    """
    function: Callable[[Results], Drawing] = FIGURES.module(name).build
    with paper_style():
        drawing = function(results)
    absent = absent_controls(results.aggregate["pruner"])
    return Drawing(drawing.figure, " ".join([drawing.caption, *absent]), drawing.alt)


def write_drawing(drawing: Drawing, path_of: Callable[[str], Path]) -> FigureFiles:
    """Write a figure with its caption below as PDF and PNG, the same bytes every time.

    Args:
        drawing: The figure; its caption is added to it.
        path_of: The path of the file of a kind, ``pdf`` or ``png``.

    Returns:
        What was written.
    """
    figure = drawing.figure
    with paper_style():
        lines = _caption_lines(drawing)
        figure.set_figheight(size_with_note(drawing)[1])
        # The layout reserves room for a common axis label, so the caption is one.
        note = figure.supxlabel("\n".join(lines), fontsize=7, x=0.01, ha="left")
    pdf = rendered(figure, "pdf")
    # The PNG reuses the layout that was computed for the PDF.
    figure.set_layout_engine("none")
    png = rendered(figure, "png")
    with paper_style():
        # Use the PNG's resolution, at which the text was last drawn.
        dpi = float(mpl.rcParams["savefig.dpi"])
    top = float(note.get_window_extent(dpi=dpi).y1) / dpi
    for kind, content in (("pdf", pdf), ("png", png)):
        with atomic_path(path_of(kind)) as path:
            path.write_bytes(content)
    return FigureFiles(pdf, png, top / figure.get_figheight())


def size_with_note(drawing: Drawing) -> tuple[float, float]:
    """Width and height of a drawing's files in inches, caption included."""
    width, height = drawing.figure.get_size_inches()
    return float(width), float(height) + NOTE_LINE * len(_caption_lines(drawing))


def _caption_lines(drawing: Drawing) -> list[str]:
    return textwrap.wrap(drawing.caption, int(19 * drawing.figure.get_figwidth()))


def rendered(figure: Figure, kind: Literal["pdf", "png"]) -> bytes:
    """The file content of a figure, without dates or versions in it."""
    metadata: dict[str, Any] = dict.fromkeys(
        ("Software",) if kind == "png" else ("CreationDate", "Creator", "Producer")
    )
    # Embedding fonts in a PDF logs dozens of lines that mean nothing to a user.
    fonts = logging.getLogger("fontTools")
    level = fonts.level
    fonts.setLevel(logging.WARNING)
    buffer = io.BytesIO()
    try:
        with paper_style():
            figure.savefig(buffer, format=kind, metadata=metadata)
    finally:
        fonts.setLevel(level)
    return buffer.getvalue()


@contextmanager
def paper_style() -> Iterator[None]:
    """Draw in the paper's style, whatever the user's own settings; they return afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(mpl.rc_params_from_file(STYLE_SHEET, use_default_template=False))
        yield
