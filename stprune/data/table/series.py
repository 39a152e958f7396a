"""The series of a user's file, row by row, before it is put on the steps of the card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.data.card import DatasetCard
from stprune.data.formats.base import observed
from stprune.data.pandas_hdf import open_frame
from stprune.data.table.files import HDF_SUFFIXES, column_of, numbers_of, read_array, read_columns
from stprune.data.table.options import Options
from stprune.data.table.times import read_times

LARGEST = 1e15
"""The square of a larger error would overflow in float32, in which models train."""


@dataclass(frozen=True)
class Readings:
    """What one file says, in file order.

    Args:
        path: The file.
        times: (R,) of each row, without a zone; None if the file has none.
        nodes: N ids of sensors.
        channels: C names.
        sensor: (R,) int64, index of the sensor that a row is of; None if each row has all.
        values: (R, N, C) float64, or (R, 1, C) where ``sensor`` is given; NaN where missing.
        rows: (R,) how messages count the rows; its name is what they call one.
    """

    path: Path
    times: pd.DatetimeIndex | None
    nodes: list[str]
    channels: list[str]
    sensor: NDArray[np.int64] | None
    values: NDArray[np.float64]
    rows: pd.Index[Any]

    def place(self, at: tuple[int, ...]) -> str:
        """Words for a row, a sensor of it, or a single value, by its indices."""
        words = f"{self.path}: {self.rows.name} {self.rows[at[0]]}"
        if self.sensor is not None or len(at) > 1:
            node = at[1] if self.sensor is None else self.sensor[at[0]]
            words += f", sensor `{self.nodes[node]}`"
        return words + (f", channel `{self.channels[at[2]]}`" if len(at) > 2 else "")


def read_series(path: Path, options: Options, channels: list[str]) -> Readings:
    """Read the channels that a file holds, in the layout of the options.

    Raises:
        DataError: If the file is not so; the message names the row and column.
    """
    if options.layout == "array":
        return _array(path, options, channels)
    if options.layout == "wide" and path.suffix.lower() in HDF_SUFFIXES:
        with open_frame(path, options.array) as stored:
            values = stored.rows(0, stored.shape[0])[:, :, None]
            names = list(stored.names)
            rows: pd.Index[Any] = pd.RangeIndex(1, len(values) + 1, name="row")
            entries = None if options.time is None else pd.Series(stored.times(), rows)
        times = None if entries is None else read_times(path, entries, options)
        return Readings(path, times, names, channels, None, values, rows)
    frame = read_columns(path, options)
    entries = None if options.time is None else column_of(path, frame, options.time)
    if options.layout == "wide":
        names = [name for name in frame.columns if name != options.time]
        times = None if entries is None else read_times(path, entries, options)
        values = numbers_of(path, frame, names, options.decimal)[:, :, None]
        return Readings(path, times, names, channels, None, values, frame.index)
    ids = texts_of(column_of(path, frame, str(options.node)))
    if (ids == "").any():
        row = frame.index[int(np.argmax(ids == ""))]
        raise DataError(f"{path}: {frame.index.name} {row} names no sensor")
    codes, nodes = pd.factorize(ids)
    sensor = codes.astype(np.int64)
    times = None if entries is None else read_times(path, entries, options, sensor)
    values = numbers_of(path, frame, options.columns or channels, options.decimal)[:, None, :]
    return Readings(path, times, list(nodes), channels, sensor, values, frame.index)


def texts_of(column: pd.Series) -> NDArray[np.object_]:
    """Ids as text, empty where there is none; a whole number that pandas stored as 3.0 is `3`."""
    whole = column.map(lambda entry: isinstance(entry, float) and entry.is_integer())
    ids = [int(entry) if plain else entry for entry, plain in zip(column, whole, strict=True)]
    return np.array(["" if pd.isna(entry) else str(entry).strip() for entry in ids], dtype=object)


def _array(path: Path, options: Options, channels: list[str]) -> Readings:
    values = read_array(path, options.array, "array")
    values = values[:, :, None] if values.ndim == 2 else values
    fits = values.ndim == 3 and values.shape[2] == len(channels) and values.size
    if not fits or values.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: the array holds {values.dtype} of shape {values.shape}, not numbers of"
            f" (steps, sensors, channels) with {len(channels)} channel(s)"
        )
    side: dict[str, NDArray[Any]] = {}
    for option, key, length in (
        ("node", options.node, values.shape[1]),
        ("time", options.time, values.shape[0]),
    ):
        if key is not None:
            array = read_array(path, key, option)
            if array.shape != (length,):
                raise DataError(f"{path}: `{key}` is of shape {array.shape}, not ({length},)")
            side[option] = (
                np.strings.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array
            )
    nodes = [str(node).strip() for node in side.get("node", np.arange(values.shape[1]))]
    rows: pd.Index[Any] = pd.RangeIndex(1, len(values) + 1, name="step")
    times = read_times(path, pd.Series(side["time"], rows), options) if "time" in side else None
    return Readings(path, times, nodes, channels, None, values.astype(np.float64), rows)


def measured(readings: Readings, card: DatasetCard, options: Options) -> NDArray[np.float64]:
    """The values of a file with NaN wherever the rules of the card call one missing.

    Raises:
        DataError: If a number is too large, negative where none may be, or NaN where the mask
            policy knows none; with its row and column.
    """
    values = readings.values
    if options.missing_numbers:
        values = np.where(np.isin(values, options.missing_numbers), np.nan, values)
    signed = np.array([name in options.allow_negative for name in readings.channels])
    wrong = (np.abs(values) > LARGEST) | ((values < 0) & ~signed)
    if wrong.any():
        at = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise DataError(
            f"{readings.place(at)}: {values[at]:g} is negative or beyond {LARGEST:g}; see"
            " `allow_negative` and `missing_numbers`"
        )
    return np.where(observed(values, card, readings.place), values, np.nan)
