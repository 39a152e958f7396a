"""Finds the figures of the paper, draws them in one style, and writes them as PDF and PNG."""

import io
import logging
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from fontTools.subset import Options

from stprune.base.files import atomic_path
from stprune.paper import FIGURES, STYLE_SHEET
from stprune.paper.content import without_error
from stprune.paper.draw import Drawing
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics.paired import CONTROLS

# Embedding fonts in a PDF logs dozens of lines that mean nothing to a user, and takes most of its
# time over ligatures and kerning, which a PDF has no use for.
logging.getLogger("fontTools").setLevel(logging.WARNING)
Options._drop_tables_default += ["GDEF", "GPOS", "GSUB"]
# Height of a line of the caption below a figure, in inches.
NOTE_LINE = 0.12


def build(name: str, results: Results) -> Drawing:
    """Draw figure ``name`` in the paper's style; its caption names what is missing."""
    with paper_style():
        drawing: Drawing = FIGURES.module(name).build(results)
    present = set(results.aggregate["pruner"])
    absent = [f"{label(name)} was not run here." for name in CONTROLS if name not in present]
    words = [drawing.caption, *absent, *without_error(results.summary)]
    return Drawing(drawing.figure, " ".join(words))


def write_drawing(drawing: Drawing, path_of: Callable[[str], Path]) -> tuple[bytes, float]:
    """Write a figure with its caption below to ``path_of("pdf")`` and ``path_of("png")``.

    The caption is added to the figure. The bytes are the same every time. Returns those of the PNG,
    and the share of its height that the caption takes.
    """
    figure, contents = drawing.figure, {}
    # What a file says of its making; without it the bytes are the same every time.
    made = {"pdf": ("CreationDate", "Creator", "Producer"), "png": ("Software",)}
    with paper_style():
        words = "\n".join(_caption_lines(drawing))
        figure.set_figheight(size_with_note(drawing)[1])
        # The layout reserves room for a common axis label, so the caption is one.
        note = figure.supxlabel(words, fontsize=7, x=0.01, ha="left")
        for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
            if not axis.get_label_text():
                # Else it is kept clear of all tick labels of its row, though there is nothing.
                axis.set_label_coords(0.0, 0.0)
        # Place everything once: with a layout engine, each file would be laid out and drawn twice.
        if (engine := figure.get_layout_engine()) is not None:
            engine.execute(figure)
        mpl.rcParams["figure.constrained_layout.use"] = False
        figure.set_layout_engine(None)
        for kind, keys in made.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, metadata=dict.fromkeys(keys))
            contents[kind] = buffer.getvalue()
    top = float(note.get_window_extent().y1) / figure.dpi
    for kind, content in contents.items():
        with atomic_path(path_of(kind)) as path:
            path.write_bytes(content)
    return contents["png"], top / figure.get_figheight()


def size_with_note(drawing: Drawing) -> tuple[float, float]:
    """Width and height of a drawing's files in inches, caption included."""
    width, height = drawing.figure.get_size_inches()
    return float(width), float(height) + NOTE_LINE * len(_caption_lines(drawing))


def _caption_lines(drawing: Drawing) -> list[str]:
    return textwrap.wrap(drawing.caption, int(19 * drawing.figure.get_figwidth()))


@contextmanager
def paper_style() -> Iterator[None]:
    """Draw in the paper's style, whatever the user's own settings; they return afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(mpl.rc_params_from_file(STYLE_SHEET, use_default_template=False))
        yield
