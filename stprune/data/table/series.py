"""The series of a user's file: read row by row, then put on the equal steps of a card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.data.card import DatasetCard
from stprune.data.formats.base import observed, regular_times
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
        channels: C names.
        nodes: N ids of sensors.
        values: (R, N, C) float64, or (R, 1, C) where ``sensor`` is given; NaN where missing.
        rows: (R,) how messages count the rows; its name is what they call one.
        times: (R,) of each row, without a zone; None if the file has none.
        sensor: (R,) int64, index of the sensor that a row is of; None if each row has all.
    """

    path: Path
    channels: list[str]
    nodes: list[str]
    values: NDArray[np.float64]
    rows: pd.Index[Any]
    times: pd.DatetimeIndex | None
    sensor: NDArray[np.int64] | None = None

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
    sensor = entries = None
    if options.layout == "array":
        values = read_array(path, options.array, "array")
        values = values[:, :, None] if values.ndim == 2 else values
        fits = values.ndim == 3 and values.shape[2] == len(channels) and values.size
        if not fits or values.dtype.kind not in "fiu":
            raise DataError(
                f"{path}: the array holds {values.dtype} of shape {values.shape}, not numbers of"
                f" (steps, sensors, channels) with {len(channels)} channel(s)"
            )
        rows: pd.Index[Any] = pd.RangeIndex(1, len(values) + 1, name="step")
        nodes = [str(position) for position in range(values.shape[1])]
        if options.node is not None:
            nodes = [str(name).strip() for name in _beside(path, options.node, len(nodes))]
        if options.time is not None:
            entries = pd.Series(_beside(path, options.time, len(values)), rows)
    elif options.layout == "wide" and path.suffix.lower() in HDF_SUFFIXES:
        with open_frame(path, options.array) as stored:
            values = stored.rows(0, stored.shape[0])[:, :, None]
            nodes = list(stored.names)
            rows = pd.RangeIndex(1, len(values) + 1, name="row")
            entries = None if options.time is None else pd.Series(stored.times(), rows)
    else:
        frame = read_columns(path, options)
        rows = frame.index
        entries = None if options.time is None else column_of(path, frame, options.time)
        if options.layout == "wide":
            nodes = [name for name in frame.columns if name != options.time]
            values = numbers_of(path, frame, nodes, options.decimal)[:, :, None]
        else:
            ids = texts_of(column_of(path, frame, str(options.node)))
            if (ids == "").any():
                row = rows[int(np.argmax(ids == ""))]
                raise DataError(f"{path}: {rows.name} {row} names no sensor")
            codes, names = pd.factorize(ids)
            sensor, nodes = codes.astype(np.int64), list(names)
            columns = options.columns or channels
            values = numbers_of(path, frame, columns, options.decimal)[:, None, :]
    times = None if entries is None else read_times(path, entries, options, sensor)
    return Readings(path, channels, nodes, values.astype(np.float64), rows, times, sensor)


def texts_of(column: pd.Series) -> NDArray[np.object_]:
    """Ids as text, empty where there is none; a whole number that pandas stored as 3.0 is `3`."""
    whole = column.map(lambda entry: isinstance(entry, float) and entry.is_integer())
    ids = [int(entry) if plain else entry for entry, plain in zip(column, whole, strict=True)]
    return np.array(["" if pd.isna(entry) else str(entry).strip() for entry in ids], dtype=object)


def _beside(path: Path, key: str, length: int) -> NDArray[Any]:
    """The ids or times of an array, from the same file."""
    array = read_array(path, key, "")
    if array.shape != (length,):
        raise DataError(f"{path}: `{key}` is of shape {array.shape}, not ({length},)")
    return np.strings.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array


def on_steps(
    readings: Readings, card: DatasetCard, options: Options
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Put the values of rows, in any order, on the steps of the card.

    Returns:
        (T,) datetime64[s] and (T, N, C) float64, NaN where missing.

    Raises:
        DataError: If a number is too large, negative where none may be, or NaN where the mask
            policy knows none; or if a row is a duplicate, off the steps or outside of the card's
            time, or a step has no row, unless the options say what to do.
    """
    values, times = _measured(readings, card, options), readings.times
    if times is None:
        return regular_times(card, len(values)), values
    axis = pd.DatetimeIndex(regular_times(card, card.steps))
    start, step = axis[0], pd.Timedelta(minutes=card.step_minutes)
    number = np.asarray((times - start) // step)
    sensor = np.zeros(len(values), np.int64) if readings.sensor is None else readings.sensor
    keys = pd.MultiIndex.from_arrays([times, sensor])
    for wrong, allowed, problem in (
        (keys.duplicated(), options.duplicates != "refuse", "again; see `duplicates`"),
        (start + number * step != times, options.resample == "mean", "off the steps: `resample`"),
        (number < 0, False, "before the first step of the card"),
        (number >= card.steps, card.breaks == "daily", "after the last step of the card"),
    ):
        if wrong.any() and not allowed:
            row = int(np.argmax(wrong))
            raise DataError(f"{readings.place((row,))} is of {times[row]}, {problem}")
    frame = pd.DataFrame(values.reshape(len(values), -1), keys)
    if options.duplicates == "mean":
        frame = frame.groupby(level=[0, 1]).mean()
    elif options.duplicates != "refuse":
        frame = frame[~keys.duplicated(keep=options.duplicates)]
    if options.resample == "mean":
        moments = pd.DatetimeIndex(frame.index.get_level_values(0))
        begins = start + (moments - start) // step * step
        frame = frame.groupby([begins, frame.index.get_level_values(1)]).mean()
    covered = pd.DatetimeIndex(frame.index.get_level_values(0)).unique().sort_values()
    if card.breaks == "daily":
        # Steps left out between days are no gap; the canonical data set checks the rest.
        axis = covered
    if (covered[0], covered[-1]) != (axis[0], axis[-1]):
        raise DataError(
            f"{readings.path} covers {covered[0]} to {covered[-1]}, but the card {axis[0]} to"
            f" {axis[-1]}"
        )
    grid = pd.MultiIndex.from_product([axis, range(sensor.max() + 1)])
    absent = np.flatnonzero(~grid.isin(frame.index))
    if options.gaps == "refuse" and len(absent):
        time, node = grid.to_list()[absent[0]]
        who = "" if readings.sensor is None else f" of sensor `{readings.nodes[node]}`"
        raise DataError(
            f"{readings.path} has no row{who} for {time}; if its values are missing, say"
            " `gaps: missing`"
        )
    table = frame.reindex(grid).to_numpy().reshape(len(axis), -1, values.shape[2])
    return axis.to_numpy().astype("datetime64[s]"), table


def _measured(readings: Readings, card: DatasetCard, options: Options) -> NDArray[np.float64]:
    """The values of a file with NaN wherever the rules of the card call one missing."""
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
