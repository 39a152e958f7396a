"""Options that a file suggests by its header and first row; `stprune data add` shows them all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from stprune.base.errors import DataError
from stprune.data.formats.base import reading
from stprune.data.table.files import CSV_SUFFIXES, HDF_SUFFIXES, PARQUET_SUFFIXES, first_rows
from stprune.data.table.options import ISO, MILLISECONDS, SECONDS
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
    if suffix in HDF_SUFFIXES and given.get("layout") != "array":
        with reading(path, "HDF"), h5py.File(path, "r") as file:
            # A table of pandas in any layout: if it cannot be read, the reader of it says why.
            if any("pandas_type" in item.attrs for item in file.values()):
                return {"layout": "wide", "time": "index"} | given
    if suffix not in CSV_SUFFIXES + PARQUET_SUFFIXES:
        return {"layout": "array"} | given
    options, encoding = dict(given), given.get("encoding", "utf-8")
    if "separator" not in given:
        line = ",".join(first_rows(path, ",", encoding)[0])
        best = max((",", ";", "\t", "|"), key=line.count)
        options |= {"separator": best} if best != "," else {}
    separator = options.get("separator", ",")
    names, row = first_rows(path, separator, encoding)
    if not names:
        raise DataError(f"{path} is empty, or its first line is")
    if separator != "," and any(re.fullmatch(r"-?\d+,\d+", cell) for cell in row):
        options = {"decimal": ","} | options
    cells = dict(zip(names, row, strict=False))
    if "time" not in given:
        time, cell = _called(names, TIME_NAMES), cells.get(names[0], "")
        # A plain number such as 20240101 is more likely a measurement, unless its form is given.
        plain = cell.isdigit() and "time_format" not in given
        if time is None and not plain and parse_time(cell, given.get("time_format", ISO)):
            time = names[0]
        options |= {} if time is None else {"time": time}
    cell = cells.get(options.get("time", ""), "")
    if cell.isdigit() and len(cell) in (10, 13):
        options = {"time_format": SECONDS if len(cell) == 10 else MILLISECONDS} | options
    if "node" not in given and given.get("layout") != "wide":
        node = _called([name for name in names if name != options.get("time")], NODE_NAMES)
        options |= {} if node is None else {"node": node}
    layout = "wide" if options.get("node") is None else "long"
    guesses = {key: option for key, option in options.items() if key not in given}
    return {"layout": layout} | guesses | given


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
