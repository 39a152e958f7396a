"""A csv with one column a sensor and one row a step, and a dense csv of edge weights.

Roles of the files: ``series`` (the header holds the sensor ids; there is no column of times,
so start and step come from the card) and ``adjacency`` (no header, rows and columns in the
order of the sensors). An empty cell is a NaN. Los-loop is published so (Zhao et al. 2020).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.errors import ConfigError, DataError
from stprune.schema import StrictModel, validate

ROLES = ("series", "adjacency")


class Options(StrictModel):
    """This format has nothing to choose."""


def load(card: DatasetCard, files: dict[str, Path]) -> RawSeries:
    """Read the series and its graph.

    Args:
        card: Card of a data set with one channel.
        files: Paths of the roles ``series`` and ``adjacency``.

    Returns:
        Values and mask of shape (T, N, 1). The adjacency has a zero diagonal, whatever the file
        says: a canonical graph has no loops, and backbones that want them add their own.

    Raises:
        ConfigError: If the card does not fit the format.
        DataError: If a file is not in the format, or has a NaN where the mask policy allows none.
    """
    validate(Options, card.options, f"options of {card.title}")
    if sorted(files) != sorted(ROLES) or len(card.channels) != 1:
        raise ConfigError(
            f"{card.title}: the format wide_csv takes one channel and the files {', '.join(ROLES)},"
            f" not {len(card.channels)} and {', '.join(sorted(files)) or 'none'}"
        )
    node_ids, table = _read_series(files["series"])
    mask = _observed(table, node_ids, card, files["series"])
    values = np.where(mask, table, 0.0).astype(np.float32)
    step = np.timedelta64(card.step_minutes * 60, "s")
    return RawSeries(
        values=values[:, :, None],
        mask=mask[:, :, None],
        timestamps=np.datetime64(card.start, "s") + np.arange(len(table)) * step,
        adjacency=_read_adjacency(files["adjacency"], node_ids),
        node_ids=node_ids,
    )


def _read_series(path: Path) -> tuple[list[str], NDArray[np.float64]]:
    rows = _rows(path)
    node_ids = [name.strip() for name in next(rows, [])]
    if not node_ids:
        raise DataError(f"{path} is empty, or its first line is")
    for column, name in enumerate(node_ids):
        if not name or name in node_ids[:column]:
            problem = f"repeats the sensor id `{name}`" if name else "has no sensor id"
            raise DataError(f"{path}: column {column + 1} of the header {problem}")
    return node_ids, _table(path, rows, first_line=2, names=node_ids)


def _read_adjacency(path: Path, node_ids: list[str]) -> NDArray[np.float32]:
    weights = _table(path, _rows(path), first_line=1, names=node_ids)
    nodes = len(node_ids)
    if len(weights) != nodes:
        raise DataError(
            f"{path}: the adjacency has {len(weights)} rows and {nodes} columns, but must be"
            " square, with a row and a column for each sensor"
        )
    if np.isnan(weights).any():
        row, column = np.argwhere(np.isnan(weights))[0]
        raise DataError(f"{path}: {_place(row + 1, column, node_ids)}: an edge without weight")
    np.fill_diagonal(weights, 0.0)
    return weights.astype(np.float32)


def _rows(path: Path) -> Iterator[list[str]]:
    """The rows of a csv, without empty lines at its end."""
    try:
        # A spreadsheet may put a byte order mark before the first sensor id.
        text = path.read_text(encoding="utf-8-sig").rstrip()
        yield from csv.reader(text.splitlines())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as csv: {error}") from None


def _table(
    path: Path, rows: Iterator[list[str]], first_line: int, names: list[str]
) -> NDArray[np.float64]:
    """All cells as (rows, columns) float64, NaN where a cell is empty."""
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
            where = _place(line, column, names)
            raise DataError(f"{path}: {where}: `{row[column]}` is not a finite number")
        parsed.append(numbers)
    if not parsed:
        raise DataError(f"{path} is empty" + (" below its header" if first_line > 1 else ""))
    return np.stack(parsed)


def _number(cell: str) -> float:
    """The number in a cell, NaN for an empty one, infinity for what is no number."""
    try:
        return float(cell)
    except ValueError:
        return math.inf if cell.strip() else math.nan


def _place(line: int, column: int, names: list[str]) -> str:
    return f"line {line}, column {column + 1} (sensor {names[column]})"


def _observed(
    table: NDArray[np.float64], node_ids: list[str], card: DatasetCard, path: Path
) -> NDArray[np.bool_]:
    """(T, N), True where the card's mask policy calls a value observed."""
    missing = np.isnan(table)
    if card.mask_policy != "nan" and missing.any():
        row, column = np.argwhere(missing)[0]
        raise DataError(
            f"{path}: {_place(row + 2, column, node_ids)} is NaN,"
            f" but the mask policy of {card.title} is `{card.mask_policy}`, not `nan`"
        )
    return table != 0 if card.mask_policy == "zero" else ~missing
