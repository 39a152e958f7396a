"""A table in the fixed layout that ``DataFrame.to_hdf`` writes, read without pandas or pickle.

``pandas.read_hdf`` unpickles attributes of the file, so a user's file from elsewhere could run
code. The layout itself is plain arrays: ``axis0`` (column names), ``axis1`` (index) and, for each
type of column, ``block<i>_items`` (names) and ``block<i>_values`` (rows, columns).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError, StpruneError
from stprune.base.files import refuse_bomb

CHUNK_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class StoredFrame:
    """A table in an open HDF file, whose values are read on demand.

    Args:
        path: The file.
        index: Its index.
        names: Column names, in order; whole numbers become text.
        blocks: Values, with the columns that they are of: one block for each type of column.
    """

    path: Path
    index: h5py.Dataset
    names: list[str]
    blocks: list[tuple[h5py.Dataset, list[int]]]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.index), len(self.names)

    def times(self) -> NDArray[np.datetime64]:
        """The index as (rows,) datetime64[s].

        Raises:
            DataError: If it is no index of times, or has a time zone or parts of a second.
        """
        kind = _text(self.index.attrs.get("kind", b""))
        # Before pandas 3 the unit went without saying: nanoseconds.
        unit = kind.removeprefix("datetime64")[1:-1] or "ns"
        known = kind.startswith("datetime64") and unit in ("s", "ms", "us", "ns")
        if not known or "tz" in self.index.attrs:
            raise DataError(f"{self.path}: the index is `{kind}`, not times without a time zone")
        exact = self.index[:].astype(f"datetime64[{unit}]")
        times: NDArray[np.datetime64] = exact.astype("datetime64[s]")
        wrong = np.isnat(exact) | (times != exact)
        if wrong.any():
            raise DataError(f"{self.path} has the time {exact[wrong][0]}, no whole second")
        return times

    def rows(self, first: int, last: int) -> NDArray[np.float64]:
        """Rows ``first`` up to ``last`` of all columns: (last - first, columns) float64."""
        if len(self.blocks) == 1 and self.blocks[0][1] == list(range(len(self.names))):
            whole: NDArray[np.float64] = self.blocks[0][0][first:last]
            return whole.astype(np.float64, copy=False)
        # Columns of several types are stored apart.
        table = np.empty((last - first, len(self.names)))
        for block, columns in self.blocks:
            table[:, columns] = block[first:last]
        return table

    def chunks(self, multiple: int = 1) -> Iterator[NDArray[np.float64]]:
        """All rows, about 64 MB at a time, in chunks of a ``multiple`` of rows but for the last."""
        rows, columns = self.shape
        step = max(1, CHUNK_BYTES // (8 * columns * multiple)) * multiple
        for first in range(0, rows, step):
            yield self.rows(first, min(first + step, rows))


@contextmanager
def open_frame(path: Path, key: str | None = None) -> Iterator[StoredFrame]:
    """Open the table ``key`` of an HDF file; None takes the only one.

    Raises:
        DataError: If the file is no HDF or damaged, or has no such table in the fixed layout.
    """
    try:
        with h5py.File(path, "r") as file:
            yield _frame(path, file, key)
    except StpruneError:
        raise
    # h5py raises many kinds of errors over a damaged file.
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read as a table in HDF: {reason}") from None


def _frame(path: Path, file: h5py.File, key: str | None) -> StoredFrame:
    """Check names and shapes, without reading values."""
    keys = [name for name in file if _is_own(file, name, h5py.Group)]
    wanted = keys if key is None else [name for name in keys if name == key.strip("/")]
    if len(wanted) != 1:
        problem = "does not have exactly one table" if key is None else f"has no table `{key}`"
        raise DataError(f"{path} {problem}; its tables are {', '.join(keys) or 'none'}")
    group = file[wanted[0]]
    kind = _text(group.attrs.get("pandas_type", b""))
    if kind != "frame":
        raise DataError(
            f"{path}: {group.name} is of the type `{kind}`, not in the fixed layout of pandas;"
            " write it with DataFrame.to_hdf(..., format='fixed')"
        )
    index, names = _array(path, group, "axis1"), _names(path, group, "axis0")
    at = {name: column for column, name in enumerate(names)}
    blocks = []
    for number in range(int(group.attrs.get("nblocks", 0))):
        values = _array(path, group, f"block{number}_values")
        columns = [at[name] for name in _names(path, group, f"block{number}_items") if name in at]
        if values.dtype.kind not in "fiu" or values.shape != (*index.shape, len(columns)):
            raise DataError(f"{path}: {values.name} is no table of numbers, a column for each name")
        blocks.append((values, columns))
    if not names or sorted(at for _, columns in blocks for at in columns) != [*range(len(names))]:
        raise DataError(f"{path}: the blocks of {group.name} do not hold each of its columns once")
    return StoredFrame(path, index, names, blocks)


def _names(path: Path, group: h5py.Group, axis: str) -> list[str]:
    array = _array(path, group, axis)
    if array.dtype.kind not in "Siu":
        raise DataError(
            f"{path}: the column names in {array.name} are not text or whole numbers (pandas"
            " pickles others, and pickles are not read)"
        )
    return [name.decode() if isinstance(name, bytes) else str(name) for name in array[:].tolist()]


def _array(path: Path, group: h5py.Group, name: str) -> h5py.Dataset:
    """An array whose numbers are in this very file; others could show any file of the machine."""
    if not _is_own(group, name, h5py.Dataset):
        raise DataError(f"{path}: {group.name} has no array {name}, so it is no table of pandas")
    array = group[name]
    if array.is_virtual or array.external:
        raise DataError(f"{path}: the numbers of {array.name} are in another file: refused")
    refuse_bomb(path, array.nbytes)
    return array


def _is_own(group: h5py.Group, name: str, kind: type) -> bool:
    """Whether ``name`` is of ``kind`` and no link to elsewhere, perhaps another file."""
    link = group.get(name, getlink=True)
    return isinstance(link, h5py.HardLink) and group.get(name, getclass=True) is kind


def _text(value: Any) -> str:
    """An attribute as text; empty if it is no text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""
