"""A matrix of weights or distances between sensors, in the order of the series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.data.csv_table import csv_rows
from stprune.data.table.alignment import aligned
from stprune.data.table.arrays import numbers_of, open_arrays, pick_array
from stprune.data.table.cells import cell_numbers
from stprune.data.table.columns import CSV_SUFFIXES
from stprune.data.table.options import Options

SPARSE_KEYS = {"data", "indices", "indptr", "shape"}
INFINITE_WORDS = frozenset({"inf", "+inf", "infinity"})


def read_matrix(path: Path, nodes: list[str], options: Options) -> NDArray[np.float64]:
    """Read an (N, N) matrix, row to column; NaN where a cell is empty, infinity where it says so.

    A csv may hold sensor ids, by which it is then put in the order of the series. An npy, npz
    (also as scipy stores a sparse matrix) or HDF file holds none, and is in that order.

    Args:
        path: The file.
        nodes: N ids, in the order of the series.
        options: Their section `graph` says where ids are, and the key of the array.

    Raises:
        DataError: If it is not square, of other sensors, or a cell holds no number.
    """
    if path.suffix.lower() in CSV_SUFFIXES:
        return _read_csv(path, nodes, options)
    with open_arrays(path) as file:
        if options.graph.array is None and set(file.keys()) >= SPARSE_KEYS:
            matrix = _dense(path, {key: file.read(key) for key in file.keys()}, len(nodes))  # noqa: SIM118
        else:
            key = options.graph.array
            matrix = numbers_of(path, key or "matrix", pick_array(path, file, key, "graph.array"))
    if matrix.shape != (len(nodes), len(nodes)):
        raise DataError(
            f"{path}: the matrix has shape {matrix.shape}, but must be square with a row and a"
            f" column for each of the {len(nodes)} sensors"
        )
    return matrix


def _dense(path: Path, arrays: dict[str, NDArray[np.generic]], nodes: int) -> NDArray[np.float64]:
    """A matrix of compressed rows or columns, as scipy's ``save_npz`` writes it."""
    from scipy.sparse import csc_array, csr_array

    kind = arrays.get("format", np.array(b"csr")).item()
    kinds = {b"csr": csr_array, "csr": csr_array, b"csc": csc_array, "csc": csc_array}
    if kind not in kinds:
        raise DataError(f"{path}: a sparse matrix must be stored as csr or csc, not {kind!r}")
    try:
        parts = tuple(arrays[key] for key in ("data", "indices", "indptr"))
        shape = tuple(int(length) for length in arrays["shape"])
        if shape != (nodes, nodes):
            raise ValueError(f"its shape is {shape} for {nodes} sensors")
        sparse = kinds[kind](parts, shape=shape)
        sparse.check_format(full_check=True)
        return numbers_of(path, "data", sparse.toarray())
    except (ValueError, TypeError, IndexError, MemoryError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} holds no sparse matrix of the sensors: {reason}") from None


def _read_csv(path: Path, nodes: list[str], options: Options) -> NDArray[np.float64]:
    rows = [
        [cell.strip() for cell in row]
        for row in csv_rows(path, options.separator, options.encoding)
    ]
    if not rows or not rows[0]:
        raise DataError(f"{path} is empty, or its first line is")
    for line, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise DataError(
                f"{path}: line {line} has {len(row)} columns, the first line {len(rows[0])}"
            )
    where = _place_of_ids(path, rows, nodes, options)
    top, left = (0 if where == "none" else 1), (1 if where == "both" else 0)
    ids = nodes if where == "none" else rows[0][left:]
    if len(rows) - top != len(ids) or len(rows[0]) - left != len(ids):
        raise DataError(
            f"{path}: the matrix has {len(rows) - top} rows and {len(rows[0]) - left} columns, but"
            f" must be square with a row and a column for each of the {len(nodes)} sensors"
        )
    order = aligned(path, ids, nodes)
    if left and [row[0] for row in rows[1:]] != ids:
        line = next(line for line, row in enumerate(rows[1:], start=2) if row[0] != ids[line - 2])
        raise DataError(
            f"{path}: line {line} is of `{rows[line - 1][0]}`, but column {line} of"
            f" `{ids[line - 2]}`; rows and columns must be in the same order"
        )
    numbers = [
        _row(path, line, row, left, options) for line, row in enumerate(rows[top:], start=top + 1)
    ]
    return np.array(numbers)[np.ix_(order, order)]


def _row(path: Path, line: int, row: list[str], left: int, options: Options) -> list[float]:
    numbers = cell_numbers(row[left:], options.decimal)
    for column, number in enumerate(numbers):
        if np.isinf(number) and row[left + column].lower() not in INFINITE_WORDS:
            raise DataError(
                f"{path}: line {line}, column {left + column + 1}: `{row[left + column]}` is no"
                f" number with the decimal sign `{options.decimal}`"
            )
    return numbers


def _place_of_ids(path: Path, rows: list[list[str]], nodes: list[str], options: Options) -> str:
    """Where the sensor ids are: `none`, `header` or `both`."""
    if options.graph.ids != "auto":
        return options.graph.ids
    height, width = len(rows), len(rows[0])
    if height == width + 1:
        return "header"
    if height == len(nodes) + 1:
        return "both"
    frame, known = rows[0][1:], set(nodes)
    framed = frame == [row[0] for row in rows[1:]] and len(set(frame)) == len(frame) > 0
    if not framed or not (set(frame) <= known or set(frame) >= known):
        return "none"
    if height != len(nodes) or not np.isfinite(cell_numbers(frame)).all():
        return "both"
    if len(frame) > 1:
        raise DataError(
            f"{path}: the first row and column might be sensor ids or numbers; say which with"
            " `graph.ids: both` or `none`"
        )
    return "none"
