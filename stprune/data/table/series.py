"""The series of a user's file: read row by row, then put on the equal steps of a card.

A canonical data set has equal steps, but a clock that is set forward and back has not. Times with
one offset from UTC keep their clock; with `timezone`, all become the standard time of that zone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_datetime64_any_dtype

from stprune.base.errors import DataError
from stprune.data.card import DatasetCard
from stprune.data.formats.base import observed, reading, regular_times
from stprune.data.pandas_hdf import open_frame
from stprune.data.table.files import HDF_SUFFIXES, column_of, numbers_of, read_array, read_columns
from stprune.data.table.options import ISO, MILLISECONDS, SECONDS, Options

LARGEST = 1e15  # the square of a larger error would overflow in float32, in which models train


@dataclass(frozen=True)
class Readings:
    """What one file says, in file order; ``values`` are (R, N, C) float64, NaN where missing.

    In a long file they are (R, 1, C), and ``sensor`` (R,) is the index of each row's sensor.
    ``rows`` (R,) is how messages count the rows, and its name what they call one.
    """

    path: Path
    channels: list[str]
    nodes: list[str]
    values: NDArray[np.float64]
    rows: pd.Index[Any]
    times: pd.DatetimeIndex | None
    sensor: NDArray[np.intp] | None = None

    def place(self, at: tuple[int, ...]) -> str:
        """Words for a row, a sensor of it, or a single value, by its indices."""
        words = f"{self.path}: {self.rows.name} {self.rows[at[0]]}"
        if self.sensor is not None or len(at) > 1:
            node = at[1] if self.sensor is None else self.sensor[at[0]]
            words += f", sensor `{self.nodes[node]}`"
        return words + (f", channel `{self.channels[at[2]]}`" if len(at) > 2 else "")


def read_series(path: Path, options: Options, channels: list[str]) -> Readings:
    """Read the channels that a file holds; a DataError names the row and column that are wrong."""
    entries, row = None, "row"
    with reading(path, f"a series in the layout `{options.layout}`"):
        if options.layout == "array":
            values, nodes = _read_arrays(path, options, channels)
            row = "step"
            if options.time is not None:
                entries = read_array(path, options.time, "")
        elif options.layout == "wide" and path.suffix.lower() in HDF_SUFFIXES:
            with open_frame(path, options.array) as stored:
                values, nodes = stored.rows(0, stored.shape[0])[:, :, None], stored.names
                if options.time is not None:
                    entries = stored.times()
        else:
            return _read_columns(path, options, channels)
        rows = pd.RangeIndex(1, len(values) + 1, name=row)
        times = None if entries is None else read_times(path, pd.Series(entries, rows), options)
        return Readings(path, channels, nodes, values, rows, times)


def _read_arrays(
    path: Path, options: Options, channels: list[str]
) -> tuple[NDArray[np.float64], list[str]]:
    values = read_array(path, options.array, "array")
    values = values[:, :, None] if values.ndim == 2 else values
    fits = values.ndim == 3 and values.shape[2] == len(channels) and values.size
    if not fits or values.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: the array holds {values.dtype} of shape {values.shape}, not numbers of"
            f" (steps, sensors, channels) with {len(channels)} channel(s)"
        )
    ids = np.arange(values.shape[1])
    if options.node is not None:
        ids = read_array(path, options.node, "")
        if ids.shape != values.shape[1:2]:
            raise DataError(f"{path}: `{options.node}` has the shape {ids.shape}, not (sensors,)")
    return values.astype(np.float64), [str(name).strip() for name in ids]


def _read_columns(path: Path, options: Options, channels: list[str]) -> Readings:
    frame = read_columns(path, options)
    rows, sensor, times = frame.index, None, None
    entries = None if options.time is None else column_of(path, frame, options.time)
    if options.layout == "wide":
        nodes = [name for name in frame.columns if name != options.time]
        values = numbers_of(path, frame, nodes, options.decimal)[:, :, None]
    else:
        ids = column_of(path, frame, str(options.node)).astype(object).map(_sensor_name)
        if (ids == "").any():
            raise DataError(f"{path}: {rows.name} {(ids == '').idxmax()}: no sensor")
        sensor, names = pd.factorize(ids)
        nodes = list(names)
        columns = options.columns or channels
        values = numbers_of(path, frame, columns, options.decimal)[:, None, :]
    if entries is not None:
        times = read_times(path, entries, options, sensor)
    return Readings(path, channels, nodes, values, rows, times, sensor)


def _sensor_name(entry: Any) -> str:
    """An id as text, empty if there is none; a whole number that pandas stored as 3.0 is `3`."""
    if isinstance(entry, float) and entry.is_integer():
        entry = int(entry)
    return "" if pd.isna(entry) else str(entry).strip()


def on_steps(
    readings: Readings, card: DatasetCard, options: Options
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Put the values of rows, in any order, on the steps of the card.

    The times are (T,) datetime64[s] and the values (T, N, C) float64, NaN where missing.
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
        (number >= card.steps, card.breaks != "none", "after the last step of the card"),
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
    if card.breaks != "none":  # steps left out at a break are no gap
        axis = covered
    if (covered[0], covered[-1]) != (axis[0], axis[-1]):
        raise DataError(
            f"{readings.path} covers {covered[0]} to {covered[-1]}, but the card {axis[0]} to"
            f" {axis[-1]}"
        )
    grid = pd.MultiIndex.from_product([axis, range(sensor.max() + 1)])
    absent = np.flatnonzero(~grid.isin(frame.index))
    if options.gaps == "refuse" and len(absent):
        time, node = grid[absent[0]]
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
        at = tuple(np.argwhere(wrong)[0].tolist())
        raise DataError(
            f"{readings.place(at)}: {values[at]:g} is negative or beyond {LARGEST:g}; see"
            " `allow_negative` and `missing_numbers`"
        )
    return np.where(observed(values, card, readings.place), values, np.nan)


def read_times(
    path: Path, entries: pd.Series, options: Options, sensor: NDArray[np.int64] | None = None
) -> pd.DatetimeIndex:
    """The time of each row, without a zone, in whole seconds of the years 1900 to 2199.

    ``entries`` (R,) are texts, numbers, or datetime64 with or without a zone; their index names the
    rows in messages. ``sensor`` (R,) is the sensor of each row of a long file.
    """

    def refuse(wrong: object, problem: str) -> None:
        if np.any(np.asarray(wrong)):
            row = int(np.argmax(np.asarray(wrong)))
            name = f"{entries.index.name} {entries.index[row]}"
            raise DataError(f"{path}: {name}: the time `{entries.iloc[row]}` {problem}")

    if is_datetime64_any_dtype(entries):
        index = pd.DatetimeIndex(entries)
        clock = index.tz_localize(None)
        aware = np.full(len(index), index.tz is not None)
        ahead = clock - (clock if index.tz is None else index.tz_convert("UTC").tz_localize(None))
    else:
        # A long file repeats each time for every sensor; each is parsed once.
        codes, texts = pd.factorize(entries.astype(object).where(entries.notna(), "").astype(str))
        parsed = [parse_time(str(text).strip(), options.time_format) for text in texts]
        unreadable = np.array([moment is None for moment in parsed])[codes]
        form = "ISO 8601" if options.time_format == ISO else options.time_format
        refuse(unreadable, f"is not of the form `{form}`; say another with `time_format`")
        moments = [moment for moment in parsed if moment is not None]
        clock = pd.DatetimeIndex([moment.replace(tzinfo=None) for moment in moments])[codes]
        aware = np.array([moment.tzinfo is not None for moment in moments])[codes]
        ahead = pd.TimedeltaIndex([moment.utcoffset() or timedelta() for moment in moments])[codes]
    refuse(clock.isna() | (clock != clock.floor("s")), "is no whole second")
    refuse((clock.year < 1900) | (clock.year > 2199), "is not of 1900 to 2199")
    refuse(aware != aware[0], "differs from the first in whether it says its offset from UTC")
    zone = options.timezone
    if zone is None:
        refuse(ahead != ahead[0], "has another offset from UTC than the first; see `timezone`")
        return clock
    instants = clock - ahead if aware[0] else _instants(path, clock, zone, sensor)
    # Not the offset less `dst()`: databases differ in which half of Dublin's year is summer time.
    january, july = (
        datetime(instants.min().year, month, 1, tzinfo=ZoneInfo(zone)).utcoffset() or timedelta()
        for month in (1, 7)
    )
    return instants + pd.Timedelta(min(january, july))


def parse_time(text: str, time_format: str) -> datetime | None:
    """The time that a text says, with its offset from UTC if it says one; None if it says none."""
    try:
        if time_format == ISO:
            return datetime.fromisoformat(text)
        if time_format not in (SECONDS, MILLISECONDS):
            return datetime.strptime(text, time_format)
        # pandas writes a whole number as 1.7e9 or 1700000000.0 if the column had a gap once.
        seconds = float(text.replace("_", "?")) / (1000 if time_format == MILLISECONDS else 1)
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except (ValueError, OverflowError, re.error):  # strptime makes an expression of the pattern
        return None


def _instants(
    path: Path, clock: pd.DatetimeIndex, zone: str, sensor: NDArray[np.int64] | None
) -> pd.DatetimeIndex:
    """In UTC, times that the zone's clock showed; a doubled hour by its order for each sensor."""
    try:
        first = clock.tz_localize(zone, ambiguous=np.ones(len(clock), bool), nonexistent="raise")
        instants = pd.Series(first)
        if clock.tz_localize(zone, ambiguous="NaT").hasnans:
            of = pd.Series(np.zeros(len(clock)) if sensor is None else sensor)
            for rows in of.groupby(of).indices.values():
                instants.iloc[rows] = clock[rows].tz_localize(zone, ambiguous="infer")
                if not instants.iloc[rows].is_monotonic_increasing:
                    raise ValueError("times that do not rise do not tell a doubled hour apart")
    except ValueError as error:
        raise DataError(
            f"{path}: {error} (the clock of {zone}); sort the file, or give times with their offset"
        ) from None
    return pd.DatetimeIndex(instants).tz_convert("UTC").tz_localize(None)
