"""A ``.npy`` file written block by block, so that an array need not fit into memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray


class NpyStream:
    """Writes an array in blocks of its first axis, byte for byte the file of ``np.save``.

    Args:
        path: The file.
        shape: Of the whole array.
        dtype: Of the whole array; blocks are cast to it.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self._digest = hashlib.sha256()
        self._file = path.open("w+b")
        header = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(self._file, header)
        self._file.seek(0)
        self._digest.update(self._file.read())

    def append(self, block: NDArray[Any]) -> None:
        """Write the next entries along the first axis."""
        values = np.ascontiguousarray(block, dtype=self.dtype).reshape(-1).view(np.uint8)
        self._file.write(values.data)
        self._digest.update(values.data)

    def sha256(self) -> str:
        """SHA-256 of what was written so far, in hexadecimal."""
        return self._digest.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
