"""A csv with one column a sensor and one row a step, and a dense csv of edge weights.

Roles of the files: ``series`` (the header holds the sensor ids; there is no column of times,
so start and step come from the card) and ``adjacency`` (no header, rows and columns in the
order of the sensors). An empty cell is a NaN. Los-loop is published so (Zhao et al. 2020).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.base.schema import StrictModel, validate
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.csv_table import csv_rows, number_table, place, sensor_names
from stprune.data.raw_values import observed, regular_times
from stprune.data.roles import check_one_channel, check_roles

ROLES = ("series", "adjacency")


class Options(StrictModel):
    """This format has nothing to choose."""


def load(card: DatasetCard, files: dict[str, Path]) -> RawSeries:
    """Read the series and its graph.

    Args:
        card: Card of a data set with one channel.
        files: Paths of the roles ``series`` and ``adjacency``.

    Returns:
        Values and mask of shape (T, N, 1). The adjacency has a zero diagonal, whatever the file
        says: a canonical graph has no loops, and backbones that want them add their own.

    Raises:
        ConfigError: If the card does not fit the format.
        DataError: If a file is not in the format, or has a NaN where the mask policy allows none.
    """
    validate(Options, card.options, f"options of {card.title}")
    check_roles(card, files, ROLES)
    check_one_channel(card)
    node_ids, table = _read_series(files["series"])
    path = files["series"]
    # The header is line 1.
    mask = observed(table, card, lambda at: f"{path}: {place(at[0] + 2, at[1], node_ids)}")
    values = np.where(mask, table, 0.0).astype(np.float32)
    return RawSeries(
        values=values[:, :, None],
        mask=mask[:, :, None],
        timestamps=regular_times(card, len(table)),
        adjacency=_read_adjacency(files["adjacency"], node_ids),
        node_ids=node_ids,
    )


def _read_series(path: Path) -> tuple[list[str], NDArray[np.float64]]:
    rows = csv_rows(path)
    node_ids = sensor_names(path, next(rows, []))
    return node_ids, number_table(path, rows, first_line=2, names=node_ids)


def _read_adjacency(path: Path, node_ids: list[str]) -> NDArray[np.float32]:
    weights = number_table(path, csv_rows(path), first_line=1, names=node_ids)
    nodes = len(node_ids)
    if len(weights) != nodes:
        raise DataError(
            f"{path}: the adjacency has {len(weights)} rows and {nodes} columns, but must be"
            " square, with a row and a column for each sensor"
        )
    if np.isnan(weights).any():
        row, column = np.argwhere(np.isnan(weights))[0]
        raise DataError(f"{path}: {place(row + 1, column, node_ids)}: an edge without weight")
    np.fill_diagonal(weights, 0.0)
    return weights.astype(np.float32)
