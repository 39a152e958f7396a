"""A csv of edges, ``from,to`` and perhaps a third column of numbers, as an (N, N) matrix.

The PeMS benchmarks are published so, with a road distance in the third column (Guo et al. 2021,
Song et al. 2020). What the numbers mean is for the caller to say: here they are only read.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.data.csv_table import csv_rows

ENDS = ("from", "to")


def read_edges(path: Path, node_ids: list[str], separator: str = ",") -> NDArray[np.float64]:
    """The number of each edge, row to column as listed; 1 where the file has no third column.

    An edge may stand twice with the same number, and edges from a node to itself are left out,
    since a canonical graph has no loops. Empty lines count for nothing.

    Args:
        path: The csv; its header begins with ``from,to``.
        node_ids: N ids, which the file may list in any order.
        separator: Between cells.

    Returns:
        (N, N) float64, NaN where there is no edge, else a finite number of at least 0.

    Raises:
        DataError: If the file is no such csv, names a node that is not one of ``node_ids``, or
            gives an edge no number, a wrong one, or two different ones.
    """
    rows = ((line, row) for line, row in enumerate(csv_rows(path, separator), start=1) if row)
    width = _width(path, next(rows, (1, []))[1])
    position = {name: index for index, name in enumerate(node_ids)}
    edges = np.full((len(node_ids), len(node_ids)), np.nan)
    first_line: dict[tuple[int, int], int] = {}
    for line, row in rows:
        if len(row) != width:
            raise DataError(
                f"{path}: line {line} has {len(row)} columns, but the header has {width}"
            )
        ends = _position(path, line, row[0], position), _position(path, line, row[1], position)
        number = _number(path, line, row[2]) if width == 3 else 1.0
        known = first_line.setdefault(ends, line)
        if known != line and edges[ends] != number:
            raise DataError(
                f"{path}: line {line} gives the edge from {row[0].strip()} to {row[1].strip()}"
                f" {number:g}, but line {known} gives it {edges[ends]:g}"
            )
        edges[ends] = number
    if not first_line:
        raise DataError(f"{path} is empty below its header")
    np.fill_diagonal(edges, np.nan)
    return edges


def _width(path: Path, header: list[str]) -> int:
    names = [name.strip().lower() for name in header]
    if tuple(names[:2]) != ENDS or len(names) > 3:
        raise DataError(
            f"{path}: the header must be `from,to` and perhaps one more column,"
            f" not `{','.join(header)[:80]}`"
        )
    return len(names)


def _position(path: Path, line: int, cell: str, position: dict[str, int]) -> int:
    name = cell.strip()
    if name not in position:
        raise DataError(
            f"{path}: line {line} names the node `{name}`, which is not one of the"
            f" {len(position)} nodes of the series"
        )
    return position[name]


def _number(path: Path, line: int, cell: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise DataError(
            f"{path}: line {line}, column 3: `{cell.strip()}` is not a finite number of at least 0"
        )
    return number
