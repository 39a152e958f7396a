"""A table in the fixed layout that ``DataFrame.to_hdf`` writes, read without pandas or pickle.

``pandas.read_hdf`` unpickles attributes of the file, so a file from elsewhere could run code. The
layout itself is plain arrays: ``axis0`` (column names), ``axis1`` (index) and, for each type of
column, ``block<i>_items`` (names) and ``block<i>_values`` (rows, columns); only these are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.base.files import refuse_bomb

if TYPE_CHECKING:
    import h5py

CHUNK_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class StoredFrame:
    """A table that lies in an open HDF file; its values are read when they are asked for.

    Args:
        path: The file, to name in messages.
        shape: Rows and columns.
        names: Column names, in order; whole numbers became text.
        group: The HDF group that holds the arrays.
        places: For each block of values, the columns that it holds.
    """

    path: Path
    shape: tuple[int, int]
    names: list[str]
    group: Any
    places: list[list[int]]

    def times(self) -> NDArray[np.datetime64]:
        """The index as (rows,) datetime64[s].

        Raises:
            DataError: If it is no index of times, or has a time zone or parts of a second.
        """
        axis = _array(self.path, self.group, "axis1")
        kind = _text(axis.attrs.get("kind", b""))
        if not kind.startswith("datetime64") or axis.dtype.kind != "i":
            raise DataError(f"{self.path}: the index of {self.group.name} is `{kind}`, not times")
        if "tz" in axis.attrs:
            raise DataError(
                f"{self.path}: the index of {self.group.name} has a time zone; store local times"
                " without one"
            )
        # Before pandas 3 the unit went without saying: nanoseconds.
        unit = kind[len("datetime64[") : -1] or "ns"
        if unit not in ("s", "ms", "us", "ns"):
            raise DataError(f"{self.path}: the index of {self.group.name} has the unit `{unit}`")
        exact = _read(self.path, axis).astype(f"datetime64[{unit}]")
        times: NDArray[np.datetime64] = exact.astype("datetime64[s]")
        wrong = np.isnat(exact) | (times != exact)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(f"{self.path}: the time of row {row} is {exact[row]}, no whole second")
        return times

    def rows(self, first: int, last: int) -> NDArray[np.float64]:
        """Rows ``first`` to ``last`` (exclusive) of all columns: (last - first, columns) float64.

        Raises:
            DataError: If they cannot be read.
        """
        wanted = slice(first, last)
        blocks = _blocks(self.path, self.group)
        if self.places == [list(range(self.shape[1]))]:
            return _read(self.path, blocks[0], wanted).astype(np.float64, copy=False)
        # Columns of several types lie apart.
        table = np.empty((last - first, self.shape[1]))
        for block, columns in zip(blocks, self.places, strict=True):
            table[:, columns] = _read(self.path, block, wanted)
        return table

    def chunks(self, multiple: int = 1) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """All rows, about 64 MB at a time: the number of the first row, and the rows.

        Args:
            multiple: The number of rows of each chunk but the last is a multiple of this.

        Raises:
            DataError: If a chunk cannot be read.
        """
        rows, columns = self.shape
        step = max(1, CHUNK_BYTES // (8 * columns * multiple)) * multiple
        for first in range(0, rows, step):
            yield first, self.rows(first, min(first + step, rows))


@contextmanager
def open_frame(path: Path, key: str | None = None) -> Iterator[StoredFrame]:
    """Open the table ``key`` of an HDF file; None takes the only one.

    Raises:
        DataError: If the file is no HDF, has no such table, or not in the fixed layout.
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path} cannot be read as HDF: {_reason(error)}") from None
    with file:
        yield _frame(path, _group(path, file, key))


def _frame(path: Path, group: h5py.Group) -> StoredFrame:
    """Check names and shapes, without reading values."""
    names = _names(path, group, "axis0")
    at = {name: column for column, name in enumerate(names)}
    if len(at) != len(names):
        twice = next(name for column, name in enumerate(names) if at[name] != column)
        raise DataError(f"{path}: column `{twice}` stands twice in {group.name}")
    rows = _array(path, group, "axis1").shape
    places = []
    for number, block in enumerate(_blocks(path, group)):
        items = _names(path, group, f"block{number}_items")
        if block.dtype.kind not in "fiu" or block.shape != (*rows, len(items)):
            raise DataError(
                f"{path}: {block.name} is {block.dtype} {block.shape}, but must be numbers in"
                f" (rows, columns) = {(*rows, len(items))}"
            )
        places.append([at[item] for item in items if item in at])
    held = sorted(column for columns in places for column in columns)
    if not names or held != list(range(len(names))):
        raise DataError(f"{path}: the blocks of {group.name} do not hold each of its columns once")
    return StoredFrame(path, (int(rows[0]), len(names)), names, group, places)


def _group(path: Path, file: h5py.File, key: str | None) -> h5py.Group:
    keys = [name for name in file if _is_plain(file, name, "Group")]
    wanted = keys if key is None else [name for name in keys if name == key.strip("/")]
    if len(wanted) != 1:
        problem = "does not have exactly one table" if key is None else f"has no table `{key}`"
        raise DataError(f"{path} {problem}; its tables are {', '.join(keys) or 'none'}")
    group = file[wanted[0]]
    kind = _text(group.attrs.get("pandas_type", b""))
    if kind != "frame":
        raise DataError(
            f"{path}: {group.name} is not in the fixed layout of pandas but of type"
            f" `{kind or 'unknown'}`; write it with DataFrame.to_hdf(..., format='fixed')"
        )
    return group


def _blocks(path: Path, group: h5py.Group) -> list[h5py.Dataset]:
    count = int(group.attrs.get("nblocks", 0))
    return [_array(path, group, f"block{number}_values") for number in range(count)]


def _names(path: Path, group: h5py.Group, axis: str) -> list[str]:
    array = _array(path, group, axis)
    if array.ndim != 1 or array.dtype.kind not in "Siu":
        raise DataError(
            f"{path}: the column names in {array.name} are {array.dtype}, not text or whole"
            " numbers (pandas pickles others, and pickles are not read)"
        )
    try:
        names = _read(path, array).tolist()
        return [name.decode() if isinstance(name, bytes) else str(name) for name in names]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: a column name in {array.name} is not UTF-8: {error}") from None


def _array(path: Path, group: h5py.Group, name: str) -> h5py.Dataset:
    """An array whose numbers lie in this very file."""
    if not _is_plain(group, name, "Dataset"):
        raise DataError(f"{path}: {group.name} has no array {name}, so it is no table of pandas")
    array = group[name]
    # Such an array would show the content of other files on this machine.
    if array.is_virtual or array.external:
        raise DataError(f"{path}: the numbers of {array.name} lie in another file: refused")
    refuse_bomb(path, array.nbytes)
    return array


def _is_plain(group: h5py.Group, name: str, kind: str) -> bool:
    """Whether ``name`` is of ``kind`` and no link to somewhere else, perhaps another file."""
    import h5py

    link = group.get(name, getlink=True)
    return isinstance(link, h5py.HardLink) and group.get(name, getclass=True).__name__ == kind


def _read(path: Path, array: h5py.Dataset, rows: slice = slice(None)) -> NDArray[Any]:
    try:
        content: NDArray[Any] = array[rows]
    except OSError as error:
        raise DataError(f"{path}: {array.name} cannot be read: {_reason(error)}") from None
    return content


def _reason(error: OSError) -> str:
    # The path, which may be long, stands in front of the reason.
    return " ".join(str(error).split())[:1000]


def _text(value: Any) -> str:
    """An attribute as text, and one that is no text as nothing."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""
