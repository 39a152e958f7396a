"""A square csv of numbers between sensors: a header of their ids, and no column of ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.data.csv_table import csv_rows, number_table, place, sensor_names


def read_matrix(path: Path, node_ids: list[str]) -> NDArray[np.float64]:
    """The numbers, row to column, with sensors in the order of ``node_ids``.

    Args:
        path: The csv; its header may list the sensors in any order, its rows are in that order.
        node_ids: N ids.

    Returns:
        (N, N) float64, finite and not negative.

    Raises:
        DataError: If it is no such csv, or is not of exactly these sensors.
    """
    rows = csv_rows(path)
    names = sensor_names(path, next(rows, []))
    table = number_table(path, rows, first_line=2, names=names)
    if len(table) != len(names):
        raise DataError(
            f"{path}: there are {len(table)} rows below a header of {len(names)} sensors, but the"
            " table must be square"
        )
    wrong = ~(table >= 0)
    if wrong.any():
        row, column = (int(index) for index in np.argwhere(wrong)[0])
        problem = "nothing" if np.isnan(table[row, column]) else f"{table[row, column]:g}"
        raise DataError(
            f"{path}: {place(row + 2, column, names)}: {problem}, but must be at least 0"
        )
    order = positions(path, names, node_ids)
    return table[np.ix_(order, order)]


def positions(path: Path, names: list[str], node_ids: list[str]) -> list[int]:
    """Where each of ``node_ids`` stands among ``names``, which a file lists.

    Raises:
        DataError: If the two are not the same ids.
    """
    at = {name: column for column, name in enumerate(names)}
    for node in node_ids:
        if node not in at:
            raise DataError(f"{path} has no column of sensor `{node}`, which the series has")
    for name in names:
        if name not in set(node_ids):
            raise DataError(f"{path} has a column of sensor `{name}`, which the series has not")
    return [at[node] for node in node_ids]
