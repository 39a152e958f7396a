"""Options that a file suggests by its header and first row; `stprune data add` shows them all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stprune.base.errors import DataError
from stprune.data.table.files import (
    CSV_SUFFIXES,
    HDF_SUFFIXES,
    PARQUET_SUFFIXES,
    csv_cells,
    read_columns,
)
from stprune.data.table.options import ISO, MILLISECONDS, SECONDS, Options
from stprune.data.table.times import parse_time

TIME_NAMES = ("time", "timestamp", "datetime", "date_time", "date", "index", "__index_level_0__")
PLACES = ("node", "sensor", "station", "detector", "zone")
NODE_NAMES = (*PLACES, *(f"{place}_id" for place in PLACES), "id")


def guessed_options(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Options of the format `table`: those given, and others where the file is plain.

    Raises:
        DataError: If the file cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in HDF_SUFFIXES and given.get("layout") != "array" and _is_of_pandas(path):
        return {"layout": "wide", "time": "index"} | given
    if suffix not in CSV_SUFFIXES + PARQUET_SUFFIXES:
        return {"layout": "array"} | given
    options = dict(given)
    if suffix in CSV_SUFFIXES and "separator" not in given:
        with path.open(encoding=given.get("encoding", "utf-8"), errors="replace") as file:
            line = file.readline()
        best = max((",", ";", "\t", "|"), key=line.count)
        options |= {"separator": best} if best != "," else {}
    if suffix in CSV_SUFFIXES and options.get("separator", ",") != "," and "decimal" not in given:
        cells = csv_cells(path, options["separator"], given.get("encoding", "utf-8"))
        comma = cells.iloc[1:2].apply(lambda column: column.str.fullmatch(r"-?\d+,\d+"))
        options |= {"decimal": ","} if comma.any(axis=None) else {}
    frame = read_columns(path, Options.model_construct(**Options().model_dump() | options))
    names, first = [str(name) for name in frame.columns], frame.iloc[0]
    if "time" not in given:
        time = _called(names, TIME_NAMES)
        cell = str(first.iloc[0])
        # A plain number such as 20240101 is more likely a measurement, unless its form is given.
        plain = cell.isdigit() and "time_format" not in given
        if (
            time is None
            and not plain
            and parse_time(cell, given.get("time_format", ISO)) is not None
        ):
            time = names[0]
        options |= {} if time is None else {"time": time}
    if options.get("time") in names and "time_format" not in given:
        cell = str(first[options["time"]])
        form = {10: SECONDS, 13: MILLISECONDS}.get(len(cell)) if cell.isdigit() else None
        options |= {} if form is None else {"time_format": form}
    if "node" not in given and given.get("layout") != "wide":
        node = _called([name for name in names if name != options.get("time")], NODE_NAMES)
        options |= {} if node is None else {"node": node}
    return {"layout": "wide" if options.get("node") is None else "long"} | options


def guessed_minutes(path: Path, times: pd.DatetimeIndex) -> int:
    """Minutes between neighbouring times: the commonest difference.

    Raises:
        DataError: If there is none, or it is no number of minutes that divides a day.
    """
    differences = np.diff(times.unique().sort_values().to_numpy()).astype("timedelta64[s]")
    if not len(differences):
        raise DataError(f"{path} has one time; a series needs at least two")
    lengths, counts = np.unique(differences.astype(int), return_counts=True)
    seconds = int(lengths[np.argmax(counts)])
    if seconds % 60 or 86_400 % seconds:
        raise DataError(
            f"{path}: most times are {seconds} s apart, which is no number of minutes that divides"
            " a day; say `--step-minutes` and `--option resample=mean`"
        )
    return seconds // 60


def units_of(columns: list[str]) -> dict[str, tuple[str, str]]:
    """Name and unit, by column, of those called as `speed (km/h)` or `speed [km/h]`."""
    pattern = re.compile(r"(.*\S)\s*[(\[]([^()\[\]]+)[)\]]")
    matches = {column: pattern.fullmatch(column) for column in columns}
    return {column: (match[1], match[2].strip()) for column, match in matches.items() if match}


def _called(names: list[str], known: tuple[str, ...]) -> str | None:
    lowered = [name.lower() for name in names]
    return next((names[lowered.index(word)] for word in known if word in lowered), None)


def _is_of_pandas(path: Path) -> bool:
    """Whether an HDF file has a table that pandas wrote, in whatever layout."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return any("pandas_type" in item.attrs for item in file.values())
    except OSError as error:
        raise DataError(f"{path} cannot be read as HDF: {error}") from None
