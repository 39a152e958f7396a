"""A table in the fixed layout that ``DataFrame.to_hdf`` writes, read without pandas or pickle.

``pandas.read_hdf`` unpickles attributes of the file, so a user's file from elsewhere could run
code. The layout itself is plain arrays: ``axis0`` (column names), ``axis1`` (index) and, for each
type of column, ``block<i>_items`` (names) and ``block<i>_values`` (rows, columns).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.base.files import refuse_bomb
from stprune.data.formats.base import reading

CHUNK_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class StoredFrame:
    """A table in an open HDF file, whose values are read on demand."""

    path: Path
    index: h5py.Dataset
    names: list[str]  # of the columns, in order; whole numbers become text
    blocks: list[tuple[h5py.Dataset, list[int]]]  # values of each type, and the columns they are of

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.index), len(self.names)

    def times(self) -> NDArray[np.datetime64]:
        """The index as (rows,) datetime64[s]; a DataError if it is none in whole local seconds."""
        kind = _text(self.index, "kind")
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
        table = np.empty((last - first, len(self.names)))
        for block, columns in self.blocks:
            table[:, columns] = block[first:last]
        return table

    def chunks(self, multiple: int) -> Iterator[NDArray[np.float64]]:
        """All rows, about 64 MB at a time, in chunks of a ``multiple`` of rows but for the last."""
        rows, columns = self.shape
        step = max(1, CHUNK_BYTES // (8 * columns * multiple)) * multiple
        for first in range(0, rows, step):
            yield self.rows(first, min(first + step, rows))


@contextmanager
def open_frame(path: Path, key: str | None = None) -> Iterator[StoredFrame]:
    """Open the table ``key`` of an HDF file, or the only one; a DataError if it has none."""
    with reading(path, "a table in HDF"), h5py.File(path, "r") as file:
        # A link could lead to another file of the machine.
        keys = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
        keys = [name for name in keys if isinstance(file[name], h5py.Group)]
        wanted = [name for name in keys if key is None or name == key.strip("/")]
        if len(wanted) != 1:
            tables = ", ".join(keys) or "it has none"
            raise DataError(f"{path}: choose one of its tables by `array`: {tables}")
        group = file[wanted[0]]
        if (kind := _text(group, "pandas_type")) != "frame":
            wanted_form = "write it with DataFrame.to_hdf(..., format='fixed')"
            raise DataError(f"{path}: {group.name} is of the type `{kind}`; {wanted_form}")
        index, names = plain_array(path, group, "axis1"), _names(path, group, "axis0")
        at = {name: column for column, name in enumerate(names)}
        blocks = []
        for number in range(int(group.attrs["nblocks"])):
            values = plain_array(path, group, f"block{number}_values")
            columns = [at[name] for name in _names(path, group, f"block{number}_items")]
            if values.dtype.kind not in "fiu" or values.shape != (len(index), len(columns)):
                raise DataError(f"{path}: {values.name} holds no number for each row and name")
            blocks.append((values, columns))
        held = sorted(place for _, each in blocks for place in each)
        if not names or held != list(range(len(names))):
            raise DataError(f"{path}: the blocks do not hold each column of {group.name} once")
        yield StoredFrame(path, index, names, blocks)


def plain_array(path: Path, group: h5py.Group, name: str) -> h5py.Dataset:
    """An array whose numbers are in this very file; others could show any file of the machine."""
    own = isinstance(group.get(name, getlink=True), h5py.HardLink)
    array = group[name] if own else None
    if not isinstance(array, h5py.Dataset) or array.is_virtual or array.external:
        raise DataError(f"{path}: {group.name} has no array {name} in this very file")
    refuse_bomb(path, array.nbytes)
    return array


def _text(item: h5py.Group | h5py.Dataset, attribute: str) -> str:
    return np.bytes_(item.attrs.get(attribute, b"")).decode(errors="replace")


def _names(path: Path, group: h5py.Group, axis: str) -> list[str]:
    array = plain_array(path, group, axis)
    if array.dtype.kind not in "Siu":
        raise DataError(f"{path}: the column names in {array.name} are not text or whole numbers")
    return [name.decode() if isinstance(name, bytes) else str(name) for name in array[:].tolist()]
