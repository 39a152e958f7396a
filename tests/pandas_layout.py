"""Writes what is read of the fixed layout of ``DataFrame.to_hdf``, with h5py.

Taken down from files that pandas 3.1 wrote through PyTables 3.11; older pandas calls the index
``datetime64`` and stores nanoseconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray


def write_frame(
    path: Path,
    key: str,
    names: list[str] | NDArray[np.int64],
    times: NDArray[np.datetime64],
    values: NDArray[Any],
    kind: str = "datetime64",
) -> None:
    """Write one table (T, N) of a type; names are text of the same length or whole numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unit = kind[len("datetime64[") : -1] or "ns"
    columns = names if isinstance(names, np.ndarray) else np.array([str(n).encode() for n in names])
    with h5py.File(path, "w") as file:
        group = file.create_group(key)
        attributes(group, pandas_type=b"frame", encoding=b"UTF-8", errors=b"strict", nblocks=1)
        group["axis0"] = group["block0_items"] = columns
        group["axis1"] = times.astype(f"datetime64[{unit}]").astype(np.int64)
        attributes(group["axis1"], kind=kind.encode(), index_class=b"datetime")
        group["block0_values"] = values


def attributes(place: Any, **values: bytes | int) -> None:
    """Set attributes as PyTables types them: UTF-8 of fixed length, and 64-bit numbers."""
    for name, value in values.items():
        if isinstance(value, bytes):
            place.attrs.create(name, value, dtype=h5py.string_dtype("utf-8", len(value)))
        else:
            place.attrs[name] = np.int64(value)
