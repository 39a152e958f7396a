"""One array of numbers out of an npz file, never unpickled, its shape known before it is read."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.base.files import refuse_bomb


def read_npz_array(path: Path, key: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """The array ``key`` of an npz.

    Its header is read first, so that a small file cannot ask for more memory than the shape says.

    Args:
        path: The npz.
        key: Name of the array.
        shape: Shape that it must have; None allows any length.

    Returns:
        The array, of integers or floating-point numbers as stored.

    Raises:
        DataError: If the file is no npz, has no such array, or one of another shape or kind.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if f"{key}.npy" not in archive.namelist():
                names = [f"`{name.removesuffix('.npy')}`" for name in archive.namelist()]
                known = ", ".join(names)[:200] or "nothing"
                raise DataError(f"{path} has no array `{key}`, only {known}")
            with archive.open(f"{key}.npy") as member:
                found, dtype = _header(member)
            _check(path, key, found, dtype, shape)
            refuse_bomb(path, math.prod(found) * dtype.itemsize)
            with archive.open(f"{key}.npy") as member:
                array: NDArray[Any] = npy.read_array(member, allow_pickle=False)
    except DataError:
        raise
    # NumPy and zipfile raise many kinds of errors over a damaged file.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path} cannot be read as npz: {reason}") from None
    return array


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype that the beginning of an npy file states."""
    read = npy.read_array_header_1_0
    if npy.read_magic(member) != (1, 0):
        read = npy.read_array_header_2_0
    shape, _, dtype = read(member)
    return shape, dtype


def _check(
    path: Path,
    key: str,
    found: tuple[int, ...],
    dtype: np.dtype[Any],
    shape: tuple[int | None, ...],
) -> None:
    if dtype.kind not in "uif":
        what = "Python objects, which are not read" if dtype.hasobject else f"{dtype}, not numbers"
        raise DataError(f"{path}: `{key}` holds {what}")
    fits = len(found) == len(shape) and all(
        wanted is None or wanted == length for wanted, length in zip(shape, found, strict=True)
    )
    if not fits:
        expected = ", ".join("any" if length is None else str(length) for length in shape)
        raise DataError(f"{path}: `{key}` has the shape {found}, but the card says ({expected})")
