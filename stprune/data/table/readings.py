"""The series of a user's file, row by row, before it is put on the steps of the card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.data.pandas_hdf import open_frame
from stprune.data.table.arrays import HDF_SUFFIXES, numbers_of, open_arrays, pick_array
from stprune.data.table.columns import Columns, read_columns
from stprune.data.table.local_time import local_times
from stprune.data.table.options import Options
from stprune.data.table.stamps import read_stamps


@dataclass(frozen=True)
class Readings:
    """What one file says, in file order.

    Args:
        path: The file.
        times: (R,) datetime64[s] of each row; None if the file has none.
        nodes: N ids of sensors.
        sensor: (R,) int64, index of the sensor that a row is of; None if each row has all.
        values: (R, N, C) float64, or (R, 1, C) where ``sensor`` is given; NaN where missing.
        row: Words for a row, counted from 0.
        place: Words for an entry of ``values`` by its three indices.
    """

    path: Path
    times: NDArray[np.datetime64] | None
    nodes: list[str]
    sensor: NDArray[np.int64] | None
    values: NDArray[np.float64]
    row: Callable[[int], str]
    place: Callable[[tuple[int, ...]], str]

    def time(self, row: int) -> str:
        """The time of a row, for messages."""
        return "" if self.times is None else str(self.times[row])

    def of_sensor(self, row: int, word: str) -> str:
        """Words for the sensor of a row; none where each row has all."""
        return "" if self.sensor is None else f" {word} sensor {self.nodes[self.sensor[row]]}"


def read_series(path: Path, options: Options, channels: list[str]) -> Readings:
    """Read a file in the layout of the options.

    Args:
        path: The file.
        options: Say the layout, and the names of columns or keys.
        channels: Names of the channels that the file holds; one, if the layout is wide.

    Raises:
        DataError: If the file is not so, with the row and column that is not.
    """
    if options.layout == "long":
        return _long(path, options, channels)
    if options.layout == "array":
        return _array(path, options, channels)
    if path.suffix.lower() in HDF_SUFFIXES:
        return _frame(path, options)
    return _wide(path, options)


def _wide(path: Path, options: Options) -> Readings:
    columns = read_columns(path, options, [options.time] if options.time is not None else [], None)
    return Readings(
        path=path,
        times=_times(columns, options, None),
        nodes=[str(name) for name in columns.names],
        sensor=None,
        values=columns.numbers[:, :, None],
        row=columns.row,
        place=lambda at: columns.place(at[0], at[1]),
    )


def _long(path: Path, options: Options, channels: list[str]) -> Readings:
    # Options of a long file always name both; a name may be empty, as pandas writes an index.
    time, node = options.time or "", options.node or ""
    columns = read_columns(path, options, [time, node], options.columns or channels)
    ids = np.array([str(entry).strip() for entry in columns.texts[node]], dtype=object)
    empty = ids == ""
    if empty.any():
        raise DataError(f"{columns.row(int(np.argmax(empty)))} names no sensor")
    codes, nodes = pd.factorize(ids)
    sensor = codes.astype(np.int64)
    return Readings(
        path=path,
        times=_times(columns, options, sensor),
        nodes=[str(node) for node in nodes],
        sensor=sensor,
        values=columns.numbers[:, None, :],
        row=columns.row,
        place=lambda at: f"{columns.place(at[0], at[2])} (sensor {ids[at[0]]})",
    )


def _times(
    columns: Columns, options: Options, sensor: NDArray[np.int64] | None
) -> NDArray[np.datetime64] | None:
    if options.time is None:
        return None
    stamps = read_stamps(columns.texts[options.time], options.time_format, columns.row)
    return local_times(stamps, options.timezone, sensor, columns.row)


def _frame(path: Path, options: Options) -> Readings:
    """A table that pandas wrote in its fixed layout; its index is the times."""
    with open_frame(path, options.array) as frame:
        values = frame.rows(0, frame.shape[0])
        times = frame.times() if options.time is not None else None
        names = list(frame.names)

    def row(number: int) -> str:
        return f"{path}: row {number + 1}"

    if times is not None:
        times = local_times(
            read_stamps(times, options.time_format, row), options.timezone, None, row
        )
    return Readings(
        path=path,
        times=times,
        nodes=names,
        sensor=None,
        values=_finite(values[:, :, None], lambda at: f"{row(at[0])}, column `{names[at[1]]}`"),
        row=row,
        place=lambda at: f"{row(at[0])}, column `{names[at[1]]}`",
    )


def _array(path: Path, options: Options, channels: list[str]) -> Readings:
    with open_arrays(path) as file:
        values = numbers_of(
            path, options.array or "values", pick_array(path, file, options.array, "array")
        )
        if values.ndim == 2:
            values = values[:, :, None]
        if values.ndim != 3 or values.shape[2] != len(channels) or not values.size:
            raise DataError(
                f"{path}: the array has shape {values.shape}, not (steps, sensors, channels) with"
                f" {len(channels)} channel(s)"
            )
        stamps = None if options.time is None else pick_array(path, file, options.time, "time")
        ids = None if options.node is None else pick_array(path, file, options.node, "node")
    nodes = [str(number) for number in range(values.shape[1])] if ids is None else _ids(path, ids)
    for what, length, expected in (
        ("times", values.shape[0] if stamps is None else stamps.shape, values.shape[0]),
        ("sensor ids", len(nodes), values.shape[1]),
    ):
        if length not in (expected, (expected,)):
            raise DataError(f"{path}: there are {length} {what} for values of shape {values.shape}")

    def row(number: int) -> str:
        return f"{path}: step {number + 1}"

    def place(at: tuple[int, ...]) -> str:
        return f"{row(at[0])}, sensor {nodes[at[1]]}, channel {channels[at[2]]}"

    times = None
    if stamps is not None:
        entries = stamps if stamps.dtype.kind == "M" else [_plain(entry) for entry in stamps]
        times = local_times(
            read_stamps(entries, options.time_format, row), options.timezone, None, row
        )
    return Readings(path, times, nodes, None, _finite(values, place), row, place)


def _ids(path: Path, ids: NDArray[np.generic]) -> list[str]:
    if ids.ndim != 1 or ids.dtype.kind not in "USiu":
        raise DataError(
            f"{path}: sensor ids are texts or whole numbers in one row, not {ids.dtype}"
        )
    return [str(_plain(entry)).strip() for entry in ids]


def _plain(entry: object) -> object:
    return entry.decode("utf-8", "replace") if isinstance(entry, bytes) else entry


def _finite(
    values: NDArray[np.float64], place: Callable[[tuple[int, ...]], str]
) -> NDArray[np.float64]:
    wrong = np.isinf(values)
    if wrong.any():
        at = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise DataError(f"{place(at)} is infinite")
    return values
