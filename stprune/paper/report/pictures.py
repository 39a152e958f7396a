"""The paper's figures as the page holds them: inside it, in few bytes."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass

from PIL import Image

from stprune.paper.figures import Drawing, FigureFiles

# A palette of so many colours shows plots as they are in a third of the bytes.
COLOURS = 256


@dataclass(frozen=True)
class Picture:
    """A figure as the page holds it; ``source`` is a data URI."""

    title: str
    caption: str
    alt: str
    source: str


def picture_of(title: str, drawing: Drawing, files: FigureFiles) -> Picture:
    """A figure whose files were made; its caption stands in the page, not in the picture."""
    content = small_png(files.png, files.note)
    source = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
    return Picture(title, drawing.caption, drawing.alt, source)


def small_png(content: bytes, left_out: float = 0.0) -> bytes:
    """The same picture with at most ``COLOURS`` colours, the same bytes every time.

    Args:
        content: A PNG file.
        left_out: Share of its height, from below, that is cut off.
    """
    with Image.open(io.BytesIO(content)) as image:
        shown = image.crop((0, 0, image.width, math.floor(image.height * (1 - left_out))))
        palette = shown.convert("RGB").quantize(
            COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
        )
    buffer = io.BytesIO()
    # A smaller file by 7 % would take five times as long.
    palette.save(buffer, "png", compress_level=6)
    return buffer.getvalue()
