"""Columns of a csv or parquet file: some as they stand, for times and ids, the rest as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.data.csv_table import csv_rows
from stprune.data.table.cells import cell_numbers
from stprune.data.table.header import pick
from stprune.data.table.options import Options
from stprune.data.table.parquet import read_parquet
from stprune.data.table.stamps import Entries

CSV_SUFFIXES = (".csv", ".tsv", ".txt")
PARQUET_SUFFIXES = (".parquet", ".pq")


@dataclass(frozen=True)
class Columns:
    """What was read of a file with named columns.

    Args:
        path: The file.
        texts: By name, columns taken as they stand, R entries each: texts of a csv; of a parquet
            file also numbers or datetime64, or aware `pandas.DatetimeIndex`.
        names: K names of the columns of numbers, in file order.
        numbers: (R, K) float64, NaN where a value is missing.
        first_line: How the first row is counted: 2 for a csv, whose header is line 1.
        row_word: What a row is called in messages.
    """

    path: Path
    texts: dict[str, Entries]
    names: list[str]
    numbers: NDArray[np.float64]
    first_line: int
    row_word: str

    def row(self, row: int) -> str:
        """Words for a row, counted from 0."""
        return f"{self.path}: {self.row_word} {row + self.first_line}"

    def place(self, row: int, column: int) -> str:
        """Words for an entry of ``numbers``."""
        return f"{self.row(row)}, column `{self.names[column]}`"


def read_columns(
    path: Path, options: Options, text_names: list[str], number_names: list[str] | None
) -> Columns:
    """Read a csv or parquet file.

    Args:
        path: The file; its suffix says what it is.
        options: Separator, decimal sign and encoding of a csv.
        text_names: Columns to be taken as they stand.
        number_names: Columns of numbers; None for all others.

    Raises:
        DataError: If the file cannot be read, lacks a column, has two of one name, or a cell that
            is no finite number.
    """
    suffix = path.suffix.lower()
    if suffix in CSV_SUFFIXES:
        return _read_csv(path, options, text_names, number_names)
    if suffix in PARQUET_SUFFIXES:
        texts, names, numbers = read_parquet(path, text_names, number_names)
        return Columns(path, texts, names, numbers, 1, "row")
    known = ", ".join(CSV_SUFFIXES + PARQUET_SUFFIXES)
    raise DataError(f"{path}: a file with named columns ends in one of {known}")


def csv_header(path: Path, options: Options) -> list[str]:
    """The column names of a csv.

    Raises:
        DataError: If the file cannot be read, or its first line is empty.
    """
    header = next(csv_rows(path, options.separator, options.encoding), [])
    if not header:
        raise DataError(f"{path} is empty, or its first line is")
    return [name.strip() for name in header]


def _read_csv(
    path: Path, options: Options, text_names: list[str], number_names: list[str] | None
) -> Columns:
    header = csv_header(path, options)
    if len(header) == 1 and any(sign in header[0] for sign in ",;\t|"):
        raise DataError(
            f"{path}: line 1 has one column, `{header[0][:60]}`; say which sign is between columns"
            " with `separator`"
        )
    texts, numbers = pick(path, header, text_names, number_names)
    rows = csv_rows(path, options.separator, options.encoding)
    next(rows)
    kept: list[list[str]] = [[] for _ in texts]
    parsed: list[NDArray[np.float64]] = []
    names = [header[column] for column in numbers]
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise DataError(f"{path}: line {line} has {len(row)} columns, the header {len(header)}")
        for column, cells in zip(texts, kept, strict=True):
            cells.append(row[column].strip())
        cells = [row[column] for column in numbers]
        values = np.array(cell_numbers(cells, options.decimal))
        if np.isinf(values).any():
            column = int(np.argmax(np.isinf(values)))
            raise DataError(
                f"{path}: line {line}, column `{names[column]}`: `{cells[column].strip()}` is not"
                f" a finite number with the decimal sign `{options.decimal}`"
            )
        parsed.append(values)
    if not parsed:
        raise DataError(f"{path} is empty below its header")
    by_name = dict(zip(text_names, kept, strict=True))
    return Columns(path, dict(by_name), names, np.stack(parsed), 2, "line")
