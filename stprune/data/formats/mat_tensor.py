"""A MATLAB file with a (stations, days, slots) array, and a csv of links with names on both sides.

Roles of the files: ``series`` (one array of numbers under the key of the options; each day has the
same slots, from the card's time of day on) and ``graph`` (a header and a first column of station
ids, then link weights). The array has no ids: its stations are those of the graph in order,
without ``missing_stations``. The Hangzhou metro is published so (Chen et al., transdim).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field
from scipy.io import loadmat

from stprune.base.errors import DataError
from stprune.base.schema import StrictModel
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.formats.base import (
    checked_options,
    raw_series,
    read_numbers,
    reading,
    regular_times,
)


class Options(StrictModel):
    """What the array is called, and which stations it leaves out."""

    key: str = Field(default="tensor", description="Name of the array in the MATLAB file.")
    missing_stations: list[str] = Field(
        default_factory=list,
        description="Ids of the graph without series; their neighbours are linked to each other.",
    )


def load(card: DatasetCard, files: dict[str, Path]) -> RawSeries:
    """See :mod:`stprune.data.formats.base`; values of shape (days x slots, N, 1)."""
    options = checked_options(Options, card, files, ("series", "graph"))
    path = files["series"]
    with reading(path, "a MATLAB file"):
        tensor = loadmat(path, variable_names=[options.key])[options.key].astype(np.float64)
        stations, days, slots = tensor.shape
    graph = read_numbers(files["graph"], index=True)
    with reading(files["graph"], "a matrix of stations"):
        graph = graph.loc[graph.columns]
        for station in options.missing_stations:
            # Trains run through a closed station: its neighbours become each other's.
            through = np.minimum.outer(graph[station].to_numpy(), graph.loc[station].to_numpy())
            graph = np.maximum(graph, through).drop(index=station, columns=station)
    if graph.shape != (stations, stations):
        raise DataError(f"{files['graph']} is no matrix of the {stations} stations of the series")
    # Each day begins at the card's time of day.
    day = np.arange(days) * np.timedelta64(1, "D")
    times = np.add(day[:, None], regular_times(card, slots)).ravel()
    table = tensor.reshape(stations, -1).T
    return raw_series(card, path, table, times, graph.to_numpy(), list(graph.columns))
