"""A table in pandas' fixed HDF layout, one column a sensor, and a pickled graph.

Roles of the files: ``series`` (times as the index, sensor ids as column names) and ``graph`` (a
pickle of the sensor ids, their positions, and the matrix of edge weights). Neither is ever
unpickled: see :mod:`stprune.data.pandas_hdf` and :mod:`stprune.data.safe_pickle`. METR-LA is
published so (Li et al. 2018, DCRNN).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stprune.base.errors import DataError
from stprune.base.schema import StrictModel, validate
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.pandas_hdf import open_frame
from stprune.data.raw_values import observed
from stprune.data.roles import check_one_channel, check_roles
from stprune.data.safe_pickle import read_pickle

ROLES = ("series", "graph")


class Options(StrictModel):
    """Which table of the file is the series."""

    key: str | None = Field(
        default=None, description="Name of the table in the HDF file; else the only one there."
    )


def load(card: DatasetCard, files: dict[str, Path]) -> RawSeries:
    """Read the series and its graph.

    Args:
        card: Card of a data set with one channel.
        files: Paths of the roles ``series`` and ``graph``.

    Returns:
        Values and mask of shape (T, N, 1), sensors in the order of the series, whichever order the
        graph has; the adjacency has a zero diagonal, since a canonical graph has no loops.

    Raises:
        ConfigError: If the card does not fit the format.
        DataError: If a file is not in the format or contradicts the card or the other.
    """
    options = validate(Options, card.options, f"options of {card.title}")
    check_roles(card, files, ROLES)
    check_one_channel(card)
    path = files["series"]
    node_ids, times, table = _read_series(path, options.key, card)
    mask = observed(table, card, lambda at: f"{path}: {times[at[0]]}, sensor {node_ids[at[1]]}")
    return RawSeries(
        values=np.where(mask, table, 0.0).astype(np.float32)[:, :, None],
        mask=mask[:, :, None],
        timestamps=times,
        adjacency=_read_graph(files["graph"], node_ids),
        node_ids=node_ids,
    )


def _read_series(
    path: Path, key: str | None, card: DatasetCard
) -> tuple[list[str], NDArray[np.datetime64], NDArray[np.float64]]:
    """Sensor ids, (T,) datetime64[s], and (T, N) float64."""
    with open_frame(path, key) as frame:
        if frame.shape != (card.steps, card.nodes):
            raise DataError(
                f"{path}: the table is (steps, sensors) = {frame.shape}, but the card says"
                f" {(card.steps, card.nodes)}"
            )
        node_ids, times, table = frame.names, frame.times(), frame.rows(0, card.steps)
    if np.isinf(table).any():
        step, sensor = np.argwhere(np.isinf(table))[0]
        raise DataError(f"{path}: {times[step]}, sensor {node_ids[sensor]} is not a finite number")
    if times[0] != np.datetime64(card.start.replace(tzinfo=None), "s"):
        raise DataError(f"{path} begins at {times[0]}, but the card says {card.start.isoformat()}")
    return node_ids, times, table


def _read_graph(path: Path, node_ids: list[str]) -> NDArray[np.float32]:
    """(N, N) float32 in the order of ``node_ids``."""
    content = read_pickle(path)
    if not isinstance(content, list | tuple) or len(content) != 3:
        raise DataError(f"{path} must hold three things: sensor ids, positions, edge weights")
    ids, positions, weights = content
    if not isinstance(ids, list) or not isinstance(positions, dict):
        raise DataError(f"{path} must hold a list of sensor ids and a mapping of their positions")
    names = [str(name) for name in ids]
    if sorted(names) != sorted(node_ids):
        odd = sorted(set(names) ^ set(node_ids))
        raise DataError(
            f"{path} has {len(names)} sensors and the series {len(node_ids)}, and not the same:"
            f" {', '.join(odd[:5]) or 'some stand twice'}"
        )
    if {str(name): position for name, position in positions.items()} != {
        name: position for position, name in enumerate(names)
    }:
        raise DataError(f"{path}: the positions of the sensors are not those of their list")
    return _checked(path, weights, names)[np.ix_(*2 * [[names.index(name) for name in node_ids]])]


def _checked(path: Path, weights: Any, names: list[str]) -> NDArray[np.float32]:
    """The weights in the order of the file, without loops."""
    shape = (len(names), len(names))
    if not isinstance(weights, np.ndarray) or weights.shape != shape or weights.dtype.kind != "f":
        found = getattr(weights, "shape", type(weights).__name__)
        raise DataError(f"{path}: the edge weights must be numbers of shape {shape}, not {found}")
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise DataError(
            f"{path}: the edge from {names[row]} to {names[column]} has the weight"
            f" {weights[row, column]:g}, but it must be finite and at least 0"
        )
    graph = weights.astype(np.float32)
    np.fill_diagonal(graph, 0.0)
    return graph
