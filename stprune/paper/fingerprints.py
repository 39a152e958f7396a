"""Hashes of figures and tables, to tell whether they are what they were.

The hash of a figure covers the panels with their lines, marks, bars, cells, axes and words. It does
not cover layout, colours and sizes, which differ by pixels between versions of the libraries.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

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
from pydantic import TypeAdapter

from stprune.base.errors import RecordError
from stprune.base.layout import kept_hashes
from stprune.paper.tables import Table

# Hashes in hexadecimal digits, by kind and name.
Kind = Literal["tables", "figures"]
Hashes = dict[Kind, dict[str, str]]
KINDS: tuple[Kind, ...] = ("tables", "figures")
_HASHES = TypeAdapter(Hashes)
# Processors may round the last digits of a sum differently.
DIGITS = 9
# The difference of two equal sums may be as large as this instead of 0.
LEAST = 1e-12


def content_hash(figure: Figure, *words: str) -> str:
    """SHA-256 of what a figure shows and of ``words`` that belong to it.

    Of every panel in order: scales, limits, titles and axis labels; the numbers of each artist in
    data coordinates, to nine significant digits, where anything below a billionth of the largest
    counts as 0; and all texts. Of legends it covers the words only.
    """
    lines = [*words, *(f"figure text {text.get_text()}" for text in figure.texts)]
    for legend in figure.legends:
        lines += _artist_lines(legend)
    for position, axes in enumerate(figure.axes):
        lines += [f"panel {position}", *_axes_lines(axes)]
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def _axes_lines(axes: Axes) -> Iterator[str]:
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        yield f"axis {axis.get_scale()} {axis.get_label_text()} {_numbers(limits)}"
    yield from (f"title {axes.get_title(loc=side)}" for side in ("left", "center", "right"))
    for child in axes.get_children():
        if child is not axes.patch and child not in axes.spines.values():
            yield from _artist_lines(child)


def _artist_lines(artist: Artist) -> Iterator[str]:
    match artist:
        case Line2D():
            yield f"line {_numbers(artist.get_xdata())} {_numbers(artist.get_ydata())}"
        case Collection():
            values = artist.get_array()
            yield f"collection {_numbers(artist.get_offsets())}"
            yield f"values {'' if values is None else _numbers(values)}"
            yield from (f"path {_numbers(path.vertices)}" for path in artist.get_paths())
        case Patch():
            vertices = artist.get_patch_transform().transform(artist.get_path().vertices)
            yield f"patch {_numbers(vertices)}"
        case AxesImage():
            yield f"image {_numbers(artist.get_array())} {_numbers(artist.get_extent())}"
        case Text():
            yield f"text {artist.get_text()}"
        case Legend():
            yield from (f"legend {text.get_text()}" for text in artist.get_texts())


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


def table_hash(table: Table) -> str:
    """SHA-256 of the table's CSV file."""
    return hashlib.sha256(table.frame.to_csv(index=False).encode()).hexdigest()


class Made(NamedTuple):
    """Hashes of what was made of an experiment, and what is not as its ``hashes.json`` says."""

    hashes: Hashes
    differences: list[str] | None  # None if there is no such file.

    @property
    def in_words(self) -> str:
        """How much was made, and whether it is as expected."""
        tables, figures = (len(self.hashes[kind]) for kind in KINDS)
        verdict = "; ".join(self.differences or []) or "all as hashes.json says"
        if self.differences is None:
            verdict = "no hashes.json to compare with"
        return f"{tables} tables, {figures} figures; {verdict}"


def compared(hashes: Hashes, folder: Path) -> Made:
    """Compare what was made with the ``hashes.json`` of ``folder``."""
    expected = read_hashes(folder)
    return Made(hashes, None if expected is None else differences(hashes, expected))


def differences(made: Hashes, expected: Hashes) -> list[str]:
    """What is not as expected, such as ``table main differs`` or ``figure harm is new``."""
    found = []
    for kind in KINDS:
        ours, theirs = made[kind], expected[kind]
        for name in sorted({name for name, _ in ours.items() ^ theirs.items()}):
            verdict = "is new" if name not in theirs else "differs"
            verdict = verdict if name in ours else "was not made"
            found.append(f"{kind.removesuffix('s')} {name} {verdict}")
    return found


def read_hashes(folder: Path) -> Hashes | None:
    """Read the ``hashes.json`` of a folder of kept records; None where there is no such file.

    Raises:
        RecordError: If the file does not hold texts by kind and name.
    """
    path = kept_hashes(folder)
    if not path.exists():
        return None
    try:
        hashes = _HASHES.validate_json(path.read_bytes(), strict=True)
        return {kind: hashes.get(kind, {}) for kind in KINDS}
    except ValueError as error:
        raise RecordError(f"{path} does not hold hashes by kind and name: {error}") from None
