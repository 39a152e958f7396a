"""A sparse matrix that SciPy saved as npz, as a dense graph; nothing of it is unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from stprune.base.errors import DataError

LAYOUTS = ("csc", "csr", "coo")
# A number and two places for each entry, and what describes them.
ENTRY_BYTES, DESCRIPTION_BYTES = 32, 2**20


def read_sparse_graph(path: Path, nodes: int) -> NDArray[np.float32]:
    """The edge weights of a graph.

    Args:
        path: What ``scipy.sparse.save_npz`` wrote, as csc, csr or coo.
        nodes: N, which the matrix must have in both directions.

    Returns:
        (N, N) float32, row to column, with a zero diagonal, since a canonical graph has no loops.

    Raises:
        DataError: If the file is no such matrix, has another size, or a weight that is negative or
            not finite.
    """
    matrix = _load(path, nodes)
    if matrix.shape != (nodes, nodes):
        raise DataError(
            f"{path}: the matrix has the shape {matrix.shape}, but the series has {nodes} sensors"
        )
    if matrix.dtype.kind not in "fiub":
        raise DataError(f"{path}: the matrix holds {matrix.dtype}, not numbers")
    weights: NDArray[np.float64] = matrix.toarray().astype(np.float64)
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise DataError(
            f"{path}: row {row}, column {column} is {weights[row, column]:g}, but a weight must be"
            " finite and at least 0"
        )
    np.fill_diagonal(weights, 0.0)
    return weights.astype(np.float32)


def _load(path: Path, nodes: int) -> Any:
    """The matrix, its entries all within its shape."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > ENTRY_BYTES * nodes**2 + DESCRIPTION_BYTES:
            raise DataError(f"{path} unpacks to {size} bytes, too many for {nodes} x {nodes}")
        _check_places(path)
        matrix = sparse.load_npz(path)
        if matrix.format not in LAYOUTS:
            raise DataError(
                f"{path} has the layout {matrix.format}; save it as {', '.join(LAYOUTS)}"
            )
        if matrix.format != "coo":
            # Else the places in the file are trusted, and what they say is written there.
            matrix.check_format(full_check=True)
    except DataError:
        raise
    # SciPy and zipfile raise many kinds of errors over a damaged file.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path} cannot be read as a sparse matrix of SciPy: {reason}") from None
    return matrix


def _check_places(path: Path) -> None:
    """Refuse places that are no whole numbers, which SciPy would round."""
    with np.load(path, allow_pickle=False) as stored:
        for name in ("indices", "indptr", "row", "col", "coords"):
            if name in stored and stored[name].dtype.kind not in "iu":
                raise DataError(
                    f"{path} cannot be read as a sparse matrix of SciPy: `{name}` holds"
                    f" {stored[name].dtype}, not whole numbers"
                )
