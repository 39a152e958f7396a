"""A MATLAB file with a (stations, days, slots) array, and a csv of links with names on both sides.

Roles of the files: ``series`` (one array of numbers under the key of the options; each day has the
same slots, from the card's time of day on) and ``graph`` (a header and a first column of station
ids, then link weights). The array has no ids: its stations are those of the graph in order,
without ``missing_stations``. The Hangzhou metro is published so (Chen et al., transdim).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stprune.base.errors import DataError
from stprune.base.schema import StrictModel, validate
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.csv_table import csv_rows, number_table, place, sensor_names
from stprune.data.mat_array import read_mat_array
from stprune.data.raw_values import daily_times, observed
from stprune.data.roles import check_one_channel, check_roles

ROLES = ("series", "graph")


class Options(StrictModel):
    """What the array is called, and whom it leaves out."""

    key: str = Field(default="tensor", description="Name of the array in the MATLAB file.")
    missing_stations: list[str] = Field(
        default_factory=list,
        description="Ids of the graph without series; their neighbours are linked to each other.",
    )


def load(card: DatasetCard, files: dict[str, Path]) -> RawSeries:
    """Read the counts and the network.

    Args:
        card: Card of a data set with one channel.
        files: Paths of the roles ``series`` and ``graph``.

    Returns:
        Values and mask of shape (T, N, 1), T = days x slots, without the hours that no day has.

    Raises:
        ConfigError: If the card does not fit the format.
        DataError: If a file is not in the format or contradicts the card or the other.
    """
    options = validate(Options, card.options, f"options of {card.title}")
    check_roles(card, files, ROLES)
    check_one_channel(card)
    tensor = _read_tensor(files["series"], options.key, card)
    days, slots = tensor.shape[1:]
    node_ids, adjacency = _read_graph(files["graph"], options.missing_stations)
    if len(node_ids) != len(tensor):
        raise DataError(
            f"{files['graph']}: the graph has {len(node_ids)} stations besides the"
            f" {len(options.missing_stations)} missing ones, but the series has {len(tensor)}"
        )
    table = tensor.reshape(len(tensor), -1).T
    path = files["series"]
    mask = observed(table, card, lambda at: f"{path}: step {at[0]} of station {node_ids[at[1]]}")
    return RawSeries(
        values=np.where(mask, table, 0.0).astype(np.float32)[:, :, None],
        mask=mask[:, :, None],
        timestamps=daily_times(card, days, slots),
        adjacency=adjacency,
        node_ids=node_ids,
    )


def _read_tensor(path: Path, key: str, card: DatasetCard) -> NDArray[np.float64]:
    """(stations, days, slots) float64."""
    tensor = read_mat_array(path, key)
    if tensor.ndim != 3:
        raise DataError(
            f"{path}: `{key}` must be numbers in (stations, days, slots), not"
            f" {tensor.dtype} {tensor.shape}"
        )
    begin = (card.start.hour * 60 + card.start.minute) // card.step_minutes
    if begin + tensor.shape[2] > card.steps_per_day:
        raise DataError(
            f"{path}: {tensor.shape[2]} slots a day from {card.start:%H:%M} on go beyond midnight"
        )
    return tensor.astype(np.float64)


def _read_graph(path: Path, missing: list[str]) -> tuple[list[str], NDArray[np.float32]]:
    """Ids and (N, N) weights of the stations that have a series."""
    rows = list(csv_rows(path))
    names = sensor_names(path, rows[0][1:] if rows else [])
    index = [row[0].strip() if row else "" for row in rows[1:]]
    if index != names:
        raise DataError(f"{path}: the first column must list the stations of the header in order")
    weights = number_table(path, iter(row[1:] for row in rows[1:]), first_line=2, names=names)
    if np.isnan(weights).any():
        row, column = np.argwhere(np.isnan(weights))[0]
        raise DataError(f"{path}: {place(row + 2, column, names)}: a link without weight")
    for station in missing:
        if station not in names:
            raise DataError(f"{path} has no station `{station}`, which the card calls missing")
        gone = names.index(station)
        # Trains run through a closed station: its neighbours are neighbours.
        through = np.minimum.outer(weights[:, gone], weights[gone])
        weights = np.maximum(weights, through)
        weights = np.delete(np.delete(weights, gone, axis=0), gone, axis=1)
        names = names[:gone] + names[gone + 1 :]
    np.fill_diagonal(weights, 0.0)
    return names, weights.astype(np.float32)
