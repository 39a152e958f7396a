"""Writes the fixed layout of ``DataFrame.to_hdf`` with h5py: names, dtypes and attributes alike.

Taken down from files that pandas 3.1 wrote through PyTables 3.11; older pandas calls the index
``datetime64`` and stores nanoseconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

PICKLED_NONE = b"N."
ARRAY: dict[str, bytes | int] = {
    "CLASS": b"ARRAY",
    "VERSION": b"2.4",
    "TITLE": b"",
    "FLAVOR": b"numpy",
    "transposed": 1,
}


def write_frame(
    path: Path,
    key: str,
    names: list[str] | NDArray[np.int64],
    times: NDArray[np.datetime64],
    values: NDArray[Any],
    kind: str = "datetime64",
) -> None:
    """Write one table.

    Args:
        path: File to make, with its folder.
        key: Name of the table.
        names: Columns; text of the same length or whole numbers.
        times: (T,) datetime64 of any unit.
        values: (T, N).
        kind: ``datetime64`` for nanoseconds as before pandas 3, else with a unit.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unit = kind[len("datetime64[") : -1] or "ns"
    whole = isinstance(names, np.ndarray)
    columns = names if whole else np.array([str(name).encode() for name in names])
    with h5py.File(path, "w") as file:
        attributes(file, CLASS=b"GROUP", PYTABLES_FORMAT_VERSION=b"2.1", TITLE=b"", VERSION=b"1.0")
        group = file.create_group(key)
        varieties = dict.fromkeys(
            ("axis0_variety", "axis1_variety", "block0_items_variety"), b"regular"
        )
        attributes(group, CLASS=b"GROUP", TITLE=b"", VERSION=b"1.0", pandas_type=b"frame")
        attributes(group, encoding=b"UTF-8", errors=b"strict", ndim=2, nblocks=1, **varieties)
        index = times.astype(f"datetime64[{unit}]").astype(np.int64)
        for axis in ("axis0", "block0_items"):
            array = group.create_dataset(axis, data=columns)
            attributes(array, kind=b"integer" if whole else b"string", name=PICKLED_NONE, **ARRAY)
        array = group.create_dataset("axis1", data=index)
        attributes(array, kind=kind.encode(), name=PICKLED_NONE, index_class=b"datetime", **ARRAY)
        attributes(group.create_dataset("block0_values", data=values), **ARRAY)


def attributes(place: Any, **values: bytes | int) -> None:
    """Set attributes as PyTables types them: UTF-8 of fixed length, and 64-bit numbers."""
    for name, value in values.items():
        if value == PICKLED_NONE:
            place.attrs[name] = np.bytes_(PICKLED_NONE)
        elif not isinstance(value, bytes):
            place.attrs[name] = np.int64(value)
        elif value:
            place.attrs.create(name, value, dtype=h5py.string_dtype("utf-8", len(value)))
        else:
            place.attrs[name] = h5py.Empty("S1")
