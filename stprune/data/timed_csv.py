"""A csv whose first column is the time and whose other columns are numbers under a name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.data.csv_table import csv_rows, number_table, place, sensor_names

TIME_FORMATS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
)


@dataclass(frozen=True)
class TimedTable:
    """What such a file holds.

    Args:
        path: The file, to name in messages.
        names: Name of each column.
        values: (rows, columns) float64, NaN where a cell is empty.
    """

    path: Path
    names: list[str]
    values: NDArray[np.float64]

    def place(self, row: int, column: int) -> str:
        """Words for where an entry of ``values`` stands; the header is line 1."""
        return f"{self.path}: {place(row + 2, column, self.names, first_column=1)}"


def read_timed_csv(path: Path, times: NDArray[np.datetime64]) -> TimedTable:
    """Read a file whose rows are known to be of ``times``.

    A time is written like ``2022-09-01 00:00:00`` or ``2022/9/1 0:00``, with or without seconds.

    Args:
        path: The csv; the name of its first column does not matter.
        times: (rows,) datetime64[s].

    Raises:
        DataError: If it is no such csv, a cell is no finite number, or a row is of another time.
    """
    rows = csv_rows(path)
    names = sensor_names(path, next(rows, [])[1:])
    found: list[str] = []
    table = number_table(path, _without_times(rows, found), 2, names, first_column=1)
    for row, (text, time) in enumerate(zip(found, times, strict=False)):
        if _time(path, row + 2, text) != time:
            raise DataError(
                f"{path}: line {row + 2} is of `{text}`, but {_words(time)} comes next by the card"
            )
    if len(found) != len(times):
        raise DataError(f"{path} has {len(found)} rows, but the card says {len(times)} steps")
    return TimedTable(path, names, table)


def _without_times(rows: Iterator[list[str]], found: list[str]) -> Iterator[list[str]]:
    """The rows without their first cell, which is put into ``found``."""
    for row in rows:
        found.append(row[0].strip() if row else "")
        yield row[1:]


def _time(path: Path, line: int, text: str) -> np.datetime64:
    for form in TIME_FORMATS:
        try:
            return np.datetime64(datetime.strptime(text, form), "s")
        except ValueError:
            continue
    raise DataError(
        f"{path}: line {line}: `{text}` is no time such as 2022-09-01 00:00:00 or 2022/9/1 0:00"
    )


def _words(time: np.datetime64) -> str:
    return str(time).replace("T", " ")
