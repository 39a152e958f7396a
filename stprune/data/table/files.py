"""Columns of a csv or parquet file, arrays of a numpy or HDF file; no pickle is ever read.

A table of columns is a pandas frame whose index counts the rows as a user does: its name is `line`
for a csv, whose header is line 1, and `row` for a parquet file.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pandas.api.types import is_bool_dtype, is_numeric_dtype
from pyarrow import csv as arrow_csv

from stprune.base.errors import DataError
from stprune.base.files import refuse_bomb
from stprune.data.formats.base import reading
from stprune.data.pandas_hdf import plain_array
from stprune.data.table.options import Options

CSV_SUFFIXES = (".csv", ".tsv", ".txt")
PARQUET_SUFFIXES = (".parquet", ".pq")
HDF_SUFFIXES = (".h5", ".hdf5", ".hdf")
MISSING_WORDS = ("", "na", "n/a", "nan", "null", "none")
UNNAMED = re.compile(r"(Unnamed: \d+)?")  # as pandas calls a column without a name


def csv_cells(path: Path, separator: str, encoding: str) -> pd.DataFrame:
    """All cells of a csv as text without outer blanks, the header's too; the index counts lines."""
    with reading(path, "csv"):
        # A spreadsheet may put a byte order mark before the first name.
        text = path.read_text(encoding=encoding.replace("utf-8", "utf-8-sig")).rstrip(" \n")
        header = next(csv.reader(io.StringIO(text), delimiter=separator), [])
        if len(header) == 1 and any(sign in header[0] for sign in ",;\t|"):
            raise DataError(
                f"{path}: line 1 has one column, `{header[0][:60]}`; say which sign is between"
                " columns with `separator`"
            )
        names = [str(number) for number in range(len(header))]
        table = arrow_csv.read_csv(
            io.BytesIO(text.encode()),
            arrow_csv.ReadOptions(column_names=names, use_threads=False, block_size=2**26),
            arrow_csv.ParseOptions(delimiter=separator, ignore_empty_lines=False),
            arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    cells: pd.DataFrame = table.to_pandas().apply(lambda column: column.str.strip())
    cells.index = pd.RangeIndex(1, len(cells) + 1, name="line")
    blank = (cells == "").all(axis=1)
    if blank.any():
        raise DataError(f"{path}: line {blank.idxmax()} is blank")
    return cells


def read_columns(path: Path, options: Options) -> pd.DataFrame:
    """All columns of a csv, as text, or of a parquet file, as they are stored; never empty."""
    if path.suffix.lower() in CSV_SUFFIXES:
        cells = csv_cells(path, options.separator, options.encoding)
        frame = cells.iloc[1:].set_axis(cells.iloc[0].to_list(), axis=1)
    else:
        with reading(path, f"one of {', '.join(CSV_SUFFIXES + PARQUET_SUFFIXES)}"):
            file = pq.ParquetFile(path)
            refuse_bomb(path, 8 * file.metadata.num_rows * file.metadata.num_columns)
            table = file.read()
            table.validate(full=True)  # else text that is not UTF-8 would fail much later
            frame = table.to_pandas(ignore_metadata=True, date_as_object=False)
        frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    if frame.empty:
        raise DataError(f"{path} is empty below its header")
    return frame


def column_of(path: Path, frame: pd.DataFrame, name: str) -> pd.Series:
    """The one column called ``name``, else a DataError."""
    names = list(frame.columns)
    if names.count(name) != 1:
        listed = "`, `".join(names[:12])
        raise DataError(f"{path} has {names.count(name)} columns `{name}`; they are `{listed}`")
    return frame[name]


def numbers_of(
    path: Path,
    frame: pd.DataFrame,
    names: Sequence[str],
    decimal: str = ".",
    *,
    infinite: bool = False,
) -> NDArray[np.float64]:
    """Columns as numbers: (R, K) float64, NaN where a value is missing.

    A DataError names a column or a cell that is wrong; a sign between thousands makes no number.
    """
    result = np.empty((len(frame), len(names)))
    for number, name in enumerate(names):
        if UNNAMED.fullmatch(name):
            raise DataError(f"{path}: column `{name}` has no name; name or delete it")
        column = column_of(path, frame, name)
        if is_numeric_dtype(column) and not is_bool_dtype(column):
            result[:, number] = column.to_numpy(np.float64, na_value=np.nan)
            wrong = np.isinf(result[:, number])
        else:
            text = column.astype("str").fillna("").str.strip()
            if decimal == ",":
                text = text.str.replace(".", "?").str.replace(",", ".")
            result[:, number] = pd.to_numeric(text, errors="coerce")
            wrong = ~np.isfinite(result[:, number])
            wrong[wrong] = ~text[wrong].str.lower().isin(MISSING_WORDS)
        if infinite:
            wrong &= ~np.isinf(result[:, number])
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(
                f"{path}: {frame.index.name} {frame.index[row]}, column `{name}`:"
                f" `{column.iloc[row]}` is not a finite number with the decimal sign `{decimal}`;"
                " if the column holds times, name it with `time`"
            )
    return result


def read_array(path: Path, key: str | None, option: str) -> NDArray[Any]:
    """The array ``key`` of an npz, npy or HDF file, None for the only one; texts as numpy text.

    ``option`` is what a message calls the option that says ``key``.
    """
    with reading(path, f"npz, npy or one of {', '.join(HDF_SUFFIXES)}"):
        if path.suffix.lower() in HDF_SUFFIXES:
            with h5py.File(path, "r") as file:
                items: list[str] = []
                file.visit(items.append)
                keys = [name for name in items if isinstance(file[name], h5py.Dataset)]
                dataset = plain_array(path, file, _key(path, keys, key, option))
                if h5py.check_string_dtype(dataset.dtype) is None:
                    return np.asarray(dataset[...])
                return np.array(dataset.asstr()[...], dtype=np.str_)
        with path.open("rb") as stream:  # numpy itself would leave a damaged file open
            array = np.load(stream, allow_pickle=False)
            if not isinstance(array, np.ndarray):
                name = _key(path, list(array.files), key, option)
                refuse_bomb(path, array.zip.getinfo(f"{name}.npy").file_size)
                array = np.asarray(array[name])
        return np.strings.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array


def _key(path: Path, keys: list[str], key: str | None, option: str) -> str:
    if key is None and len(keys) == 1:
        return keys[0]
    if key is None or key not in keys:
        listed = ", ".join(f"`{name}`" for name in keys[:12]) or "none"
        raise DataError(f"{path}: name one of its arrays with `{option}`: {listed}")
    return key
