"""What a file tells of itself: its layout, its columns, and the start and step of its times.

Guesses are only made where the file is plain, and `stprune data add` shows them all: they become
options on the card, where they can be read and changed.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.data.csv_table import csv_rows
from stprune.data.pandas_hdf import open_frame
from stprune.data.table.arrays import HDF_SUFFIXES, NUMPY_SUFFIXES
from stprune.data.table.columns import CSV_SUFFIXES, PARQUET_SUFFIXES
from stprune.data.table.options import ISO, MILLISECONDS, SECONDS
from stprune.data.table.parquet import parquet_names

TIME_NAMES = ("time", "timestamp", "datetime", "date_time", "date", "index", "__index_level_0__")
PLACES = ("node", "sensor", "station", "detector", "zone")
NODE_NAMES = (*PLACES, *(f"{place}_id" for place in PLACES), "id")
UNIT = re.compile(r"^(?P<name>.*\S)\s*[(\[](?P<unit>[^()\[\]]+)[)\]]$")


def found_options(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Options of the format `table` that the file suggests, where ``given`` does not say them.

    Args:
        path: A file of the series.
        given: Options that the user gave.

    Raises:
        DataError: If the file is of no known kind, or cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in NUMPY_SUFFIXES:
        return {"layout": "array"} | given
    if suffix in HDF_SUFFIXES:
        return _of_hdf(path, given) | given
    if suffix in PARQUET_SUFFIXES:
        return _of_columns(parquet_names(path), {}, given) | given
    if suffix in CSV_SUFFIXES:
        return _of_csv(path, given) | given
    known = ", ".join((*CSV_SUFFIXES, *PARQUET_SUFFIXES, *NUMPY_SUFFIXES, *HDF_SUFFIXES))
    raise DataError(f"{path}: a file of a series ends in one of {known}")


def named_with_unit(column: str) -> tuple[str, str] | None:
    """Name and unit of a column that is called as `speed (km/h)` or `speed [km/h]`."""
    match = UNIT.match(column)
    return (match["name"], match["unit"].strip()) if match else None


def column_names(path: Path, options: dict[str, Any]) -> list[str]:
    """The names of all columns of a csv or parquet file."""
    if path.suffix.lower() in PARQUET_SUFFIXES:
        return parquet_names(path)
    rows = csv_rows(path, options.get("separator", ","), options.get("encoding", "utf-8"))
    return [name.strip() for name in next(rows, [])]


def found_step(path: Path, times: NDArray[np.datetime64]) -> int:
    """Minutes between neighbouring times: the commonest difference.

    Args:
        path: Their file, for messages.
        times: (R,) datetime64[s], in any order, perhaps repeated.

    Raises:
        DataError: If there are fewer than two times, or it is no number of minutes that divides
            a day.
    """
    moments = np.unique(times)
    if len(moments) < 2:
        raise DataError(f"{path} has {len(moments)} time; a series needs at least two")
    lengths, counts = np.unique(np.diff(moments).astype(np.int64), return_counts=True)
    seconds = int(lengths[np.argmax(counts)])
    if seconds % 60 or 86_400 % seconds:
        raise DataError(
            f"{path}: most times are {seconds} s apart, which is no number of minutes that divides"
            " a day; say `--step-minutes` and `--option resample=mean`"
        )
    return seconds // 60


def _of_hdf(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    """A table that pandas wrote has sensors for columns; else it is an array."""
    if given.get("layout") == "array":
        return {}
    try:
        with open_frame(path, given.get("array")):
            return {"layout": "wide", "time": "index"}
    except DataError:
        # No frame, or no HDF: reading it as an array says what is wrong.
        return {"layout": "array"}


def _of_csv(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    encoding = given.get("encoding", "utf-8")
    found: dict[str, Any] = {}
    if "separator" not in given:
        line = ",".join(_first_two(path, ",", encoding)[0])
        counts = {sign: line.count(sign) for sign in (",", ";", "\t", "|")}
        best = max(counts, key=lambda sign: counts[sign])
        if counts[best] and best != ",":
            found["separator"] = best
    separator = given.get("separator", found.get("separator", ","))
    header, row = _first_two(path, separator, encoding)
    comma = [bool(re.fullmatch(r"\s*-?\d+,\d+\s*", cell)) for cell in row]
    if "decimal" not in given and separator != "," and any(comma):
        found["decimal"] = ","
    cells = dict(zip(header, row, strict=False))
    return found | _of_columns(header, cells, given)


def _first_two(path: Path, separator: str, encoding: str) -> tuple[list[str], list[str]]:
    """The names in the header of a csv, and the cells of its first row."""
    rows = csv_rows(path, separator, encoding)
    header = [name.strip() for name in next(rows, [])]
    if not header:
        raise DataError(f"{path} is empty, or its first line is")
    return header, [cell.strip() for cell in next(rows, [])]


def _of_columns(names: list[str], cells: dict[str, str], given: dict[str, Any]) -> dict[str, Any]:
    """Which columns are times and sensors, by their names or, of times, by the first cell."""
    found: dict[str, Any] = {}
    time = given.get("time")
    if "time" not in given:
        time = _called(names, TIME_NAMES)
        if time is None and names and _is_time(cells.get(names[0], "")):
            time = names[0]
        if time is not None:
            found["time"] = time
    if time is not None and "time_format" not in given:
        form = _time_format(cells.get(time, ""))
        found |= {} if form == ISO else {"time_format": form}
    node = given.get("node")
    if "node" not in given and given.get("layout") != "wide":
        node = _called([name for name in names if name != time], NODE_NAMES)
        found |= {} if node is None else {"node": node}
    return {"layout": "wide" if node is None else "long"} | found


def _called(names: list[str], known: tuple[str, ...]) -> str | None:
    lowered = [name.lower() for name in names]
    return next((names[lowered.index(word)] for word in known if word in lowered), None)


def _is_time(cell: str) -> bool:
    try:
        datetime.fromisoformat(cell)
    except ValueError:
        return False
    # A plain number such as 20240101 is more likely a measurement.
    return not cell.isdigit()


def _time_format(cell: str) -> str:
    """Ten or thirteen digits count seconds or milliseconds of our times."""
    if cell.isdigit() and len(cell) in (10, 13):
        return SECONDS if len(cell) == 10 else MILLISECONDS
    return ISO
