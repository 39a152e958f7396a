"""Numbers of a csv file whose columns are sensors, with mistakes named by line and column."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError


def csv_rows(path: Path, separator: str = ",", encoding: str = "utf-8") -> Iterator[list[str]]:
    """The rows of a csv, without empty lines at its end.

    Args:
        path: The file.
        separator: Between cells.
        encoding: Of the text.

    Raises:
        DataError: If the file cannot be read as csv.
    """
    try:
        # A spreadsheet may put a byte order mark before the first sensor id.
        text = path.read_text(encoding="utf-8-sig" if encoding == "utf-8" else encoding)
        # Not `splitlines`, for which many signs within a text end a line too.
        lines = io.StringIO(text.rstrip(" \r\n"), newline=None)
        yield from csv.reader(lines, delimiter=separator)
    except (OSError, UnicodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as csv: {error}") from None


def sensor_names(path: Path, header: list[str]) -> list[str]:
    """The ids that stand in a header.

    Raises:
        DataError: If there is none, or one is empty or stands twice.
    """
    names = [name.strip() for name in header]
    if not names:
        raise DataError(f"{path} is empty, or its first line is")
    for column, name in enumerate(names):
        if not name or name in names[:column]:
            problem = f"repeats the sensor id `{name}`" if name else "has no sensor id"
            raise DataError(f"{path}: column {column + 1} of the header {problem}")
    return names


def number_table(
    path: Path,
    rows: Iterator[list[str]],
    first_line: int,
    names: list[str],
    first_column: int = 0,
) -> NDArray[np.float64]:
    """All cells as (rows, columns) float64, NaN where a cell is empty.

    Args:
        path: File to name in messages.
        rows: Cells of each row.
        first_line: Number of the first row's line in the file.
        names: Sensor of each column.
        first_column: How many columns of the file stand before those of the rows.

    Raises:
        DataError: If a row has another length, a cell no finite number, or there is no row.
    """
    parsed: list[NDArray[np.float64]] = []
    for line, row in enumerate(rows, start=first_line):
        if len(row) != len(names):
            raise DataError(
                f"{path}: line {line} has {len(row)} columns,"
                f" but the series has {len(names)} sensors"
            )
        numbers = np.array([_number(cell) for cell in row])
        # An infinite number is as little a measurement as a word is.
        if np.isinf(numbers).any():
            column = int(np.argmax(np.isinf(numbers)))
            where = place(line, column, names, first_column)
            raise DataError(f"{path}: {where}: `{row[column]}` is not a finite number")
        parsed.append(numbers)
    if not parsed:
        raise DataError(f"{path} is empty" + (" below its header" if first_line > 1 else ""))
    return np.stack(parsed)


def place(line: int, column: int, names: list[str], first_column: int = 0) -> str:
    """Words for a cell: line counted from 1, column from 0 after ``first_column`` others."""
    return f"line {line}, column {column + 1 + first_column} (sensor {names[column]})"


def _number(cell: str) -> float:
    """The number in a cell, NaN for an empty one, infinity for what is no number."""
    try:
        return float(cell)
    except ValueError:
        return math.inf if cell.strip() else math.nan
