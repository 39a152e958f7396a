"""One array of numbers out of a MATLAB file, read without trusting any of it.

SciPy's reader looks up the type that a file says in a table without a bound: a damaged file ends
the process instead of raising an error. Plain arrays of numbers need no more than this. Source:
"MAT-File Format" (MathWorks), Level 5, which MATLAB writes as ``-v6`` and, compressed, ``-v7``.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.base.files import LARGE_BYTES, MOST_RATIO

HEADER_BYTES = 128
ORDERS = {b"IM": "<", b"MI": ">"}
MATRIX, COMPRESSED = 14, 15
# What numbers are stored as, and what an array of numbers is of.
STORED = {
    **{1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4"},
    **{7: "f4", 9: "f8", 12: "i8", 13: "u8"},
}
CLASSES = {
    **{6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2"},
    **{12: "i4", 13: "u4", 14: "i8", 15: "u8"},
}
COMPLEX = 0x0800
MOST_AXES = 32


def read_mat_array(path: Path, key: str) -> NDArray[Any]:
    """The array ``key`` of a MATLAB file.

    Args:
        path: The file, Level 5, compressed or not.
        key: Name of the array.

    Returns:
        The array, of the type that MATLAB had it in.

    Raises:
        DataError: If the file is no such file, is damaged, unpacks to far more than its size, or
            has no such array of real numbers.
    """
    try:
        content = path.read_bytes()
        order = ORDERS.get(content[126:128])
        if order is None:
            raise _DamageError("it does not begin as one of Level 5 (MATLAB's -v6 or -v7) does")
        names = []
        for element in _elements(content[HEADER_BYTES:], order, at_top=True):
            matrix = _unpacked(element, order, len(content))
            if matrix is None:
                continue
            parts = list(_elements(matrix.data, order, at_top=False))
            names.append(_name(parts))
            if names[-1] == key:
                return _numbers(path, key, parts, order)
    except (_DamageError, OSError, zlib.error, struct.error) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read as a MATLAB file: {reason}") from None
    raise DataError(f"{path} has no array `{key}`, only {', '.join(sorted(names)) or 'nothing'}")


class _DamageError(Exception):
    """What is wrong with the bytes of a file."""


@dataclass(frozen=True)
class _Element:
    """A piece of the file: the code of its kind, and its bytes."""

    kind: int
    data: bytes


def _elements(content: bytes, order: str, *, at_top: bool) -> Iterator[_Element]:
    """The pieces that follow each other; those inside of others are padded to eight bytes."""
    at = 0
    while at < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        if kind >> 16:
            # Up to four bytes, in place of their number.
            kind, size = kind & 0xFFFF, kind >> 16
            start, end, room = at + 4, at + 8, 4
        else:
            start = at + 8
            end = start + size + (0 if at_top else -size % 8)
            room = len(content) - start
        if size > room:
            raise _DamageError(f"a piece of {size} bytes at byte {at} goes beyond its end")
        yield _Element(kind, content[start : start + size])
        at = end


def _unpacked(element: _Element, order: str, packed: int) -> _Element | None:
    """The array that a piece holds; None if it holds something else."""
    if element.kind == MATRIX:
        return element
    if element.kind != COMPRESSED:
        return None
    most = max(LARGE_BYTES, MOST_RATIO * packed)
    unpacking = zlib.decompressobj()
    data = unpacking.decompress(element.data, most)
    if unpacking.unconsumed_tail:
        raise _DamageError(f"it would unpack to more than {most} bytes: refused")
    if not unpacking.eof:
        raise _DamageError("a compressed piece is cut off")
    inner = next(_elements(data, order, at_top=True), None)
    return inner if inner is not None and inner.kind == MATRIX else None


def _name(parts: list[_Element]) -> str:
    if len(parts) < 4 or parts[2].kind != 1:
        raise _DamageError("an array lacks its name or its numbers")
    return parts[2].data.decode("ascii", "replace")


def _numbers(path: Path, key: str, parts: list[_Element], order: str) -> NDArray[Any]:
    flags, sizes, _, stored = parts[:4]
    (word, _) = struct.unpack(f"{order}II", flags.data)
    kind = CLASSES.get(word & 0xFF)
    if kind is None or word & COMPLEX or stored.kind not in STORED:
        raise DataError(f"{path}: `{key}` is no array of real numbers")
    if sizes.kind != 5 or len(sizes.data) % 4 or not 2 <= len(sizes.data) // 4 <= MOST_AXES:
        raise _DamageError(f"`{key}` has no sizes")
    shape = struct.unpack(f"{order}{len(sizes.data) // 4}i", sizes.data)
    found = np.dtype(f"{order}{STORED[stored.kind]}")
    if min(shape) < 0 or math.prod(shape) * found.itemsize != len(stored.data):
        raise _DamageError(f"`{key}` has {len(stored.data)} bytes for the sizes {shape}")
    numbers = np.frombuffer(stored.data, found)
    # Whole numbers are stored as small as they go, whatever they are of.
    wanted = numbers.astype(kind)
    if not np.array_equal(wanted, numbers, equal_nan=found.kind == "f"):
        raise _DamageError(f"`{key}` holds numbers that do not fit its type")
    return wanted.reshape(shape, order="F")
