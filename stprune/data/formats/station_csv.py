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
from stprune.base.schema import StrictModel
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.formats.base import checked_options, raw_series, reading, regular_times


class Options(StrictModel):
    """Which columns are the channels."""

    columns: list[str] = Field(
        min_length=1, description="Column of each channel, in the order of the card's channels."
    )


def load(card: DatasetCard, files: dict[str, Path]) -> RawSeries:
    """See :mod:`stprune.data.formats.base`; stations in the order of their names."""
    stations = sorted(files)
    options = checked_options(Options, card, files, stations, one_channel=False)
    if len(options.columns) != len(card.channels) or len(stations) != card.nodes:
        raise ConfigError(
            f"{card.title}: {len(options.columns)} columns and {len(stations)} files for"
            f" {len(card.channels)} channels and {card.nodes} stations"
        )
    times = regular_times(card, card.steps)
    tables = [_read_station(files[name], name, options.columns, times) for name in stations]
    table = np.stack(tables, axis=1)
    complete = np.ones((card.nodes, card.nodes), np.float32)
    return raw_series(card, files[stations[0]].parent, table, times, complete, stations)


def _read_station(
    path: Path, station: str, columns: list[str], times: NDArray[np.datetime64]
) -> NDArray[np.float64]:
    """(T, C) float64 of one file whose rows are of ``times``."""
    with reading(path, "csv"):
        frame = pd.read_csv(path, keep_default_na=False, na_values=["NA", ""])
        clock = pd.to_datetime(frame[["year", "month", "day", "hour"]]).to_numpy()
        table = frame[columns].to_numpy(np.float64)
    if len(frame) != len(times) or (clock != times).any() or (frame["station"] != station).any():
        raise DataError(
            f"{path} must have a row of {station} for each of the {len(times)} hours from"
            f" {times[0]} on, as the card says"
        )
    return table
