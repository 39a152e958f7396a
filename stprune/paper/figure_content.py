"""What a figure shows, as a hash that does not depend on fonts, layout or the picture's format.

Two figures with the same hash have the same panels with the same lines, marks, bars, cells, axes
and words. Where things stand on the page, colours and sizes are left out: they follow from
libraries, and a picture with the same content may differ by a pixel between two of their versions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from numpy.typing import ArrayLike

# Processors may round the last digits of a sum differently.
DIGITS = 9
# What is left of a difference of equals is nothing but such digits.
LEAST = 1e-12


def content_hash(figure: Figure, *words: str) -> str:
    """SHA-256 of what a figure shows, in hexadecimal digits.

    Of every panel, in order: its scales and limits, its titles and axis labels, and of each thing
    drawn in it the numbers in data coordinates (lines: x and y; collections: offsets, values and
    paths; patches: vertices; images: values) to nine significant digits, where what is less than
    a billionth of the largest beside it counts as 0, and all texts. Of legends only the words.

    Args:
        figure: Not drawn yet, or drawn: it makes no difference.
        words: What belongs to it, such as its caption.
    """
    digest = hashlib.sha256()
    for line in [*words, *_figure_lines(figure)]:
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def _figure_lines(figure: Figure) -> Iterator[str]:
    yield from (f"figure text {text.get_text()}" for text in figure.texts)
    for legend in figure.legends:
        yield from _legend_lines(legend)
    for position, axes in enumerate(figure.axes):
        yield f"panel {position}"
        yield from _axes_lines(axes)


def _axes_lines(axes: Axes) -> Iterator[str]:
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        yield f"axis {axis.get_scale()} {axis.get_label_text()} {_numbers(limits)}"
    yield from (f"title {axes.get_title(loc=side)}" for side in ("left", "center", "right"))
    # Not in drawing order, which rests on the order of panels alone where nothing overlaps.
    for child in axes.get_children():
        if child is not axes.patch and child not in axes.spines.values():
            yield from _artist_lines(child)


def _artist_lines(artist: Artist) -> Iterator[str]:
    if isinstance(artist, Line2D):
        yield f"line {_numbers(artist.get_xdata())} {_numbers(artist.get_ydata())}"
    elif isinstance(artist, Collection):
        values = artist.get_array()
        yield f"collection {_numbers(artist.get_offsets())}"
        yield f"values {'' if values is None else _numbers(values)}"
        yield from (f"path {_numbers(path.vertices)}" for path in artist.get_paths())
    elif isinstance(artist, Patch):
        vertices = artist.get_patch_transform().transform(artist.get_path().vertices)
        yield f"patch {_numbers(vertices)}"
    elif isinstance(artist, AxesImage):
        yield f"image {_numbers(artist.get_array())} {_numbers(artist.get_extent())}"
    elif isinstance(artist, Text):
        yield f"text {artist.get_text()}"
    elif isinstance(artist, Legend):
        yield from _legend_lines(artist)


def _legend_lines(legend: Legend) -> Iterator[str]:
    yield from (f"legend {text.get_text()}" for text in legend.get_texts())


def _numbers(values: ArrayLike | None) -> str:
    """Shape and numbers of an array in text; a mask or a hole is a dash."""
    if values is None:
        return "none"
    array: np.ma.MaskedArray[Any, Any] = np.ma.asarray(values)
    if array.dtype.kind not in "fiub":
        return f"{array.shape} {' '.join(map(str, np.ma.filled(array, '-').ravel()))}"
    numbers = np.ma.filled(array.astype(np.float64), np.nan).ravel()
    finite = np.abs(numbers[np.isfinite(numbers)])
    nothing = max(LEAST, 10.0**-DIGITS * float(finite.max(initial=0.0)))
    numbers[np.abs(numbers) < nothing] = 0.0
    # Adding nothing turns a negative zero into zero.
    texts = ("-" if np.isnan(number) else f"{number + 0.0:.{DIGITS}g}" for number in numbers)
    return f"{array.shape} {' '.join(texts)}"
