"""Columns of a parquet file as numpy arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.base.unpacked_size import refuse_bomb
from stprune.data.table.cells import cell_numbers
from stprune.data.table.header import pick
from stprune.data.table.stamps import Entries

NUMBER_BYTES = 8


def parquet_names(path: Path) -> list[str]:
    """The names of all columns, without reading them.

    Raises:
        DataError: If the file is no parquet.
    """
    import pyarrow.parquet as pq

    try:
        return list(pq.read_schema(path).names)
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from None


def read_parquet(
    path: Path, text_names: list[str], number_names: list[str] | None
) -> tuple[dict[str, Entries], list[str], NDArray[np.float64]]:
    """Columns as they stand by name; names of the columns of numbers, and (R, K) of them.

    Args:
        path: The file.
        text_names: Columns to be taken as they stand.
        number_names: Columns of numbers; None for all others.

    Raises:
        DataError: If the file cannot be read, lacks a column, or a column holds no numbers.
    """
    import pyarrow.parquet as pq

    header = parquet_names(path)
    _, numbers = pick(path, header, text_names, number_names)
    names = [header[column] for column in numbers]
    try:
        file = pq.ParquetFile(path)
        refuse_bomb(path, NUMBER_BYTES * file.metadata.num_rows * len([*text_names, *names]))
        table = file.read(columns=[*text_names, *names])
        # Else a text that is no UTF-8 shows only where it is looked at.
        table.validate(full=True)
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from None
    if not table.num_rows:
        raise DataError(f"{path} has no row")
    by_name = {name: _entries(path, name, table.column(name)) for name in text_names}
    matrix = np.empty((table.num_rows, len(names)))
    for column, name in enumerate(names):
        matrix[:, column] = _numbers(path, name, table.column(name))
    return by_name, names, matrix


def _entries(path: Path, name: str, column: Any) -> Entries:
    """Times or ids as they are stored; an entry without value is an empty text."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        if column.null_count:
            row = int(np.argmax(np.asarray(column.is_null())))
            raise DataError(f"{path}: row {row + 1}, column `{name}` has no value")
        if pa.types.is_date(kind):
            return list(column.cast(pa.timestamp("s")).to_numpy())
        if kind.tz is not None:
            return pd.DatetimeIndex(column.to_pandas())
        return list(column.to_numpy())
    return ["" if entry is None else _text(entry) for entry in column.to_pylist()]


def _text(entry: Any) -> str:
    """An id as text; a whole number that pandas stored as 3.0 is 3."""
    whole = isinstance(entry, float) and entry.is_integer()
    return str(int(entry)) if whole else str(entry).strip()


def _numbers(path: Path, name: str, column: Any) -> NDArray[np.float64]:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = ["" if entry is None else entry for entry in column.to_pylist()]
        values = np.array(cell_numbers(texts))
        if np.isinf(values).any():
            row = int(np.argmax(np.isinf(values)))
            raise DataError(
                f"{path}: row {row + 1}, column `{name}`: `{texts[row]}` is not a finite number"
            )
        return values
    if not (
        pa.types.is_floating(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
    ):
        raise DataError(f"{path}: column `{name}` holds {kind}, not numbers")
    numbers: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy()
    if np.isinf(numbers).any():
        row = int(np.argmax(np.isinf(numbers)))
        raise DataError(f"{path}: row {row + 1}, column `{name}` is infinite")
    return numbers


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:200]
    return DataError(f"{path} cannot be read as parquet: {reason}")
