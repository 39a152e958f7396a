"""A year of flow in pandas' fixed HDF layout, a csv of sensors, and a matrix of edge weights.

Roles of the files: ``series`` (a column a sensor under its id, a row every ``source_minutes``; NaN
where nothing was observed), ``sensors`` (a csv with ``ID``, ``District`` and ``ID2``, the sensor's
row in the matrix) and ``adjacency`` (npy, all sensors of the state). LargeST is published so (Liu
et al. 2023). Its series has 7 GB and is read a piece at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stprune.base.errors import ConfigError, DataError
from stprune.base.schema import StrictModel, validate
from stprune.data.canonical import Block, StreamedSeries
from stprune.data.card import DatasetCard
from stprune.data.csv_table import csv_rows
from stprune.data.pandas_hdf import StoredFrame, open_frame
from stprune.data.raw_values import Rounding, observed, regular_times, step_means
from stprune.data.roles import check_one_channel, check_roles

ROLES = ("series", "sensors", "adjacency")
COLUMNS = ("ID", "District", "ID2")


class Options(StrictModel):
    """Which sensors are taken, and how their steps become the card's."""

    districts: list[int] = Field(
        default_factory=list, description="Districts whose sensors are taken; none means all."
    )
    source_minutes: int = Field(default=5, ge=1, description="Minutes of a step of the file.")
    rounding: Rounding = Field(
        default="nearest",
        description="Whether a mean becomes a whole number, as the publishers make it, or stays"
        " as it is.",
    )


def load(card: DatasetCard, files: dict[str, Path]) -> StreamedSeries:
    """Read sensors and graph, and how to read the series.

    Args:
        card: Card of a data set with one channel; its options follow `Options`.
        files: Paths of the three roles.

    Returns:
        Blocks of shape (t, N, 1): means over the steps of the file that make a step of the card,
        of those values that were observed. Sensors are in the order of ``sensors``. The adjacency
        has a zero diagonal.

    Raises:
        ConfigError: If the card does not fit the format.
        DataError: If a file is not in the format or contradicts the card or another.
    """
    options = validate(Options, card.options, f"options of {card.title}")
    check_roles(card, files, ROLES)
    check_one_channel(card)
    if card.step_minutes % options.source_minutes:
        raise ConfigError(
            f"options of {card.title}: steps of {card.step_minutes} minutes cannot be made of"
            f" `source_minutes: {options.source_minutes}`"
        )
    sensors = _read_sensors(files["sensors"], options.districts)
    with open_frame(files["series"]) as frame:
        columns = _check_series(frame, card, options, list(sensors))
    return StreamedSeries(
        shape=(card.steps, len(sensors), 1),
        blocks=lambda: _blocks(files["series"], card, options, columns, list(sensors)),
        timestamps=regular_times(card, card.steps),
        adjacency=_read_adjacency(files["adjacency"], sensors),
        node_ids=list(sensors),
    )


def _read_sensors(path: Path, districts: list[int]) -> dict[str, int]:
    """Row in the matrix of each sensor of the districts, by id, in the order of the file."""
    rows = csv_rows(path)
    header = [name.strip() for name in next(rows, [])]
    for name in COLUMNS:
        if name not in header:
            raise DataError(f"{path} has no column `{name}`; it has {', '.join(header) or 'none'}")
    sensors: dict[str, int] = {}
    seen: set[tuple[str, str]] = set()
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise DataError(f"{path}: line {line} has {len(row)} columns, but {len(header)} names")
        sensor, district, place = (row[header.index(name)].strip() for name in COLUMNS)
        if not (sensor.isdecimal() and district.isdecimal() and place.isdecimal()):
            raise DataError(
                f"{path}: line {line}: ID `{sensor}`, District `{district}` and ID2 `{place}` must"
                " be whole numbers"
            )
        if not seen.isdisjoint({("ID", sensor), ("ID2", place)}):
            raise DataError(f"{path}: line {line} lists ID {sensor} or ID2 {place} a second time")
        seen |= {("ID", sensor), ("ID2", place)}
        if not districts or int(district) in districts:
            sensors[sensor] = int(place)
    if not sensors:
        raise DataError(f"{path} has no sensor in the districts {districts}")
    return sensors


def _check_series(
    frame: StoredFrame, card: DatasetCard, options: Options, sensors: list[str]
) -> list[int]:
    """Check shape and times, and find the column of each sensor."""
    path = frame.path
    rows = card.steps * (card.step_minutes // options.source_minutes)
    if frame.shape[0] != rows:
        hint = ""
        if frame.shape[0] == card.steps:
            hint = "; it holds means already, in which missing values became zeros"
        raise DataError(
            f"{path} has {frame.shape[0]} rows, but {card.steps} steps of {card.step_minutes}"
            f" minutes are {rows} rows of {options.source_minutes} minutes{hint}"
        )
    found = frame.times()
    start = np.datetime64(card.start, "s")
    times = start + np.arange(rows) * np.timedelta64(options.source_minutes * 60, "s")
    if (found != times).any():
        row = int(np.argmax(found != times))
        raise DataError(f"{path}: row {row} is of {found[row]}, but {times[row]} comes next")
    place = {name: column for column, name in enumerate(frame.names)}
    for sensor in sensors:
        if sensor not in place:
            raise DataError(
                f"{path} has no column of sensor {sensor}, which the csv of sensors has"
            )
    return [place[sensor] for sensor in sensors]


def _blocks(
    path: Path, card: DatasetCard, options: Options, columns: list[int], sensors: list[str]
) -> Iterator[Block]:
    count = card.step_minutes // options.source_minutes
    with open_frame(path) as frame:
        everything = columns == list(range(frame.shape[1]))
        for first, rows in frame.chunks(multiple=count):
            table = rows if everything else rows[:, columns]
            if np.isinf(table).any():
                row, column = (int(index) for index in np.argwhere(np.isinf(table))[0])
                raise DataError(
                    f"{path}: row {first + row} of sensor {sensors[column]} is infinite"
                )
            means = step_means(table, count, options.rounding)
            mask = observed(means, card, _place(path, first // count, sensors))
            yield np.where(mask, means, 0.0).astype(np.float32)[:, :, None], mask[:, :, None]


def _place(path: Path, first: int, sensors: list[str]) -> Callable[[tuple[int, ...]], str]:
    """Words for an entry of a block whose first step is ``first``."""
    return lambda at: f"{path}: step {first + at[0]} of sensor {sensors[at[1]]}"


def _read_adjacency(path: Path, sensors: dict[str, int]) -> NDArray[np.float32]:
    """(N, N) weights of the sensors, of which the whole matrix is not held."""
    try:
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read as npy: {reason}") from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.dtype.kind not in "fiu":
        raise DataError(f"{path} is {matrix.dtype} {matrix.shape}, but must be a square of numbers")
    rows = np.array(list(sensors.values()))
    if rows.max() >= len(matrix):
        raise DataError(f"{path} has {len(matrix)} rows, but the csv lists ID2 {rows.max()}")
    weights = np.empty((len(rows), len(rows)), np.float32)
    for node, row in enumerate(rows):
        weights[node] = matrix[row][rows]
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row, column = (int(rows[index]) for index in np.argwhere(wrong)[0])
        raise DataError(
            f"{path}: row {row}, column {column} is {matrix[row, column]}, no weight of at least 0"
        )
    np.fill_diagonal(weights, 0.0)
    return weights
