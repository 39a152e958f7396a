"""The paper's figures as the page holds them: inside it, in few bytes."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

from PIL import Image

from stprune.figures import FIGURES, build, rendered
from stprune.summary import Results

# A palette of so many colours shows plots as they are in a third of the bytes.
COLOURS = 256


@dataclass(frozen=True)
class Picture:
    """A figure as the page holds it; ``source`` is a data URI."""

    title: str
    caption: str
    alt: str
    source: str


def picture(name: str, results: Results) -> Picture:
    """Draw figure ``name`` for the page.

    Raises:
        UnknownNameError: If there is no ``paper_figures/fig_<name>.py``.
    """
    drawing = build(name, results)
    encoded = base64.b64encode(small_png(rendered(drawing.figure, "png"))).decode("ascii")
    source = f"data:image/png;base64,{encoded}"
    return Picture(FIGURES.module(name).TITLE, drawing.caption, drawing.alt, source)


def small_png(content: bytes) -> bytes:
    """The same picture with at most ``COLOURS`` colours, the same bytes every time."""
    with Image.open(io.BytesIO(content)) as image:
        palette = image.convert("RGB").quantize(
            COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
        )
    buffer = io.BytesIO()
    palette.save(buffer, "png", optimize=True)
    return buffer.getvalue()
