"""One csv a station, one row a step: date, hour and measurements in named columns.

Roles of the files are the names of the stations. Each file has the columns ``year``, ``month``,
``day``, ``hour`` and ``station`` and those of the options; ``NA`` or nothing is a NaN. The files
have no places, so the graph is complete with equal weights: it says nothing about the city. The
PRSA data of Beijing are published so (Zhang et al. 2017).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from stprune.base.errors import ConfigError, DataError
from stprune.base.schema import StrictModel, validate
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.raw_values import observed, regular_times

TIME_COLUMNS = ["year", "month", "day", "hour"]
STATION_COLUMN = "station"


class Options(StrictModel):
    """Which columns are the channels."""

    columns: list[str] = Field(
        min_length=1, description="Column of each channel, in the order of the card's channels."
    )


def load(card: DatasetCard, files: dict[str, Path]) -> RawSeries:
    """Read all stations.

    Args:
        card: Its options follow `Options`, with a column for each channel.
        files: Path of each station's file, by the station's name.

    Returns:
        Values and mask of shape (T, N, C), stations in the order of their names.

    Raises:
        ConfigError: If the card does not fit the format.
        DataError: If a file is not in the format or contradicts the card.
    """
    options = validate(Options, card.options, f"options of {card.title}")
    if len(options.columns) != len(card.channels):
        raise ConfigError(
            f"options of {card.title}: there are {len(options.columns)} columns for"
            f" {len(card.channels)} channels"
        )
    stations = sorted(files)
    if len(stations) != card.nodes:
        raise ConfigError(
            f"{card.title}: the format station_csv takes a file for each of the {card.nodes}"
            f" stations, not {len(stations)}"
        )
    times = regular_times(card, card.steps)
    tables = []
    masks = []
    for station in stations:
        table = _read_station(files[station], station, options.columns, times)
        masks.append(_observed(table, card, files[station], options.columns))
        tables.append(table)
    mask = np.stack(masks, axis=1)
    return RawSeries(
        values=np.where(mask, np.stack(tables, axis=1), 0.0).astype(np.float32),
        mask=mask,
        timestamps=times,
        adjacency=np.ones((card.nodes, card.nodes), np.float32) - np.eye(card.nodes, dtype="f4"),
        node_ids=stations,
    )


def _read_station(
    path: Path, station: str, columns: list[str], times: NDArray[np.datetime64]
) -> NDArray[np.float64]:
    """(T, C) float64 of one file whose rows are ``times``."""
    try:
        text = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=["NA", ""])
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read as csv: {reason}") from None
    for column in [*TIME_COLUMNS, STATION_COLUMN, *columns]:
        if column not in text.columns:
            raise DataError(f"{path} has no column `{column}`; it has {', '.join(text.columns)}")
    if len(text) != len(times):
        raise DataError(f"{path} has {len(text)} rows, but the card says {len(times)} steps")
    other = text[STATION_COLUMN] != station
    if other.any():
        row = int(np.argmax(other))
        raise DataError(
            f"{path}: line {row + 2} is of station `{text[STATION_COLUMN][row]}`, not `{station}`"
        )
    _check_times(path, _numbers(path, text, TIME_COLUMNS), times)
    return _numbers(path, text, columns)


def _numbers(path: Path, text: pd.DataFrame, columns: list[str]) -> NDArray[np.float64]:
    """(T, columns) float64, NaN where there is no value."""
    numbers = [pd.to_numeric(text[column], errors="coerce").to_numpy(float) for column in columns]
    table = np.stack(numbers, axis=1)
    wrong = ~np.isfinite(table) & text[columns].notna().to_numpy()
    if wrong.any():
        row, column = (int(index) for index in np.argwhere(wrong)[0])
        cell = text[columns[column]][row]
        raise DataError(f"{path}: {_place(row, columns[column])}: `{cell}` is not a finite number")
    return table


def _check_times(path: Path, given: NDArray[np.float64], times: NDArray[np.datetime64]) -> None:
    calendar = pd.DatetimeIndex(times)
    expected = np.stack([calendar.year, calendar.month, calendar.day, calendar.hour], axis=1)
    wrong = (given != expected).any(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"{path}: line {row + 2} is not of {times[row]}, as the card says")


def _observed(
    table: NDArray[np.float64], card: DatasetCard, path: Path, columns: list[str]
) -> NDArray[np.bool_]:
    return observed(table, card, lambda at: f"{path}: {_place(at[0], columns[at[1]])}")


def _place(row: int, column: str) -> str:
    """Words for a cell; the header is line 1."""
    return f"line {row + 2}, column {column}"
