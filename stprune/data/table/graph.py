"""The graph of a user's data: its file, aligned with the series by sensor id, as edge weights."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import ConfigError, DataError
from stprune.data.formats.base import read_edges
from stprune.data.graph_weights import (
    binary,
    gaussian,
    great_circle,
    nearest,
    parts,
    spread,
    symmetrised,
)
from stprune.data.table.alignment import aligned
from stprune.data.table.columns import CSV_SUFFIXES, csv_header, read_columns
from stprune.data.table.matrix import read_matrix
from stprune.data.table.measured import LARGEST
from stprune.data.table.options import GraphOptions, Options

GRAPH_ROLES = ("adjacency", "edges", "coordinates")

log = logging.getLogger(__name__)


def read_graph(
    role: str | None, path: Path | None, nodes: list[str], options: Options
) -> NDArray[np.float32]:
    """Edge weights between the sensors of a series.

    Args:
        role: What the file is: one of ``GRAPH_ROLES``; None for no graph.
        path: The file, if there is one.
        nodes: N ids, in the order of the series.
        options: Their section `graph` says how distances become weights.

    Returns:
        (N, N) float32, zero diagonal; all zero for no graph.

    Raises:
        ConfigError: If the options do not fit the kind of file.
        DataError: If the file is wrong, has another sensor, or lacks one.
    """
    if role is None or path is None:
        return np.zeros((len(nodes), len(nodes)), np.float32)
    graph = options.graph
    _check(role, graph)
    signs = {"separator": graph.separator, "decimal": graph.decimal}
    options = options.model_copy(update={key: sign for key, sign in signs.items() if sign})
    _refuse_unsplit(path, options)
    if role == "edges":
        edges = read_edges(path, nodes, options.separator)
    elif role == "coordinates":
        edges = great_circle(*_places(path, nodes, options))
    else:
        edges = _edges(path, read_matrix(path, nodes, options), nodes, graph)
    np.fill_diagonal(edges, np.nan)
    if graph.nearest is not None:
        edges = nearest(edges, graph.nearest)
    weights = _weights(path, edges, graph)
    weights = symmetrised(weights, graph.symmetrise)
    if weights.max(initial=0.0) > LARGEST:
        row, column = (int(at) for at in np.unravel_index(np.argmax(weights), weights.shape))
        raise DataError(
            f"{path}: the weight from {nodes[row]} to {nodes[column]} is {weights[row, column]:g},"
            f" beyond {LARGEST:g}"
        )
    count = parts(weights)
    if count > 1:
        alone = int(((weights != 0).sum(axis=0) + (weights != 0).sum(axis=1) == 0).sum())
        log.warning(
            "%s: the graph falls into %d parts; %d sensor(s) have no edge", path, count, alone
        )
    return weights.astype(np.float32)


def _check(role: str, graph: GraphOptions) -> None:
    if role == "coordinates" and graph.weights == "given":
        raise ConfigError(
            "`graph.weights`: coordinates give distances, not weights; say `gaussian` or `binary`"
        )
    if role == "coordinates" and graph.weights == "binary" and graph.nearest is None:
        raise ConfigError(
            "`graph.nearest`: with `binary` weights, coordinates need the number of neighbours"
        )
    if role != "coordinates" and graph.nearest is not None and graph.weights != "gaussian":
        raise ConfigError(
            f"`graph.nearest`: only distances tell what is near; with {graph.weights} weights the"
            f" file of role `{role}` is not taken for distances"
        )


def _refuse_unsplit(path: Path, options: Options) -> None:
    """Say so if a csv is separated by another sign than the series."""
    if path.suffix.lower() not in CSV_SUFFIXES:
        return
    header = csv_header(path, options)
    if len(header) == 1 and any(sign in header[0] for sign in ",;\t|"):
        raise DataError(
            f"{path}: line 1 has one column, `{header[0][:60]}`, with the sign"
            f" `{options.separator}` of the series between columns; say `graph.separator`"
        )


def _weights(path: Path, edges: NDArray[np.float64], graph: GraphOptions) -> NDArray[np.float64]:
    if graph.weights == "binary":
        return binary(edges)
    if graph.weights == "given":
        return np.nan_to_num(edges, nan=0.0)
    try:
        length = spread(edges) if graph.sigma is None else graph.sigma
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    weights = gaussian(edges, length, graph.threshold)
    if not weights.any():
        raise DataError(
            f"{path}: with sigma {length:g} every weight is below the threshold"
            f" {graph.threshold:g}, so no edge would be left; the shortest distance is"
            f" {np.nanmin(edges, initial=np.inf):g}; give a larger `graph.sigma` or a smaller"
            " `graph.threshold`"
        )
    return weights


def _edges(
    path: Path, matrix: NDArray[np.float64], nodes: list[str], graph: GraphOptions
) -> NDArray[np.float64]:
    """A matrix with NaN where it says that there is no edge."""
    matrix = matrix.copy()
    np.fill_diagonal(matrix, np.nan)
    negative = matrix < 0
    if negative.any():
        row, column = (int(index) for index in np.argwhere(negative)[0])
        raise DataError(
            f"{path}: the number from {nodes[row]} to {nodes[column]} is"
            f" {matrix[row, column]:g}; weights and distances are at least 0"
        )
    if graph.weights == "gaussian":
        # Who writes distances says "no way" by an empty cell or an infinite number.
        matrix[np.isinf(matrix)] = np.nan
        zero = matrix == 0
        if zero.any() and graph.zero_distance == "refuse":
            row, column = (int(index) for index in np.argwhere(zero)[0])
            raise DataError(
                f"{path}: the distance from {nodes[row]} to {nodes[column]} is 0; say"
                " `graph.zero_distance: no_edge` or `same_place`"
            )
        if graph.zero_distance == "no_edge":
            matrix[zero] = np.nan
        return matrix
    off_diagonal = ~np.eye(len(nodes), dtype=bool)
    wrong = off_diagonal & ~np.isfinite(matrix)
    if wrong.any():
        row, column = (int(index) for index in np.argwhere(wrong)[0])
        raise DataError(
            f"{path}: the weight from {nodes[row]} to {nodes[column]} is missing or not finite;"
            " 0 means no edge"
        )
    matrix[matrix == 0] = np.nan
    return matrix


def _places(
    path: Path, nodes: list[str], options: Options
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) latitude and longitude in degrees."""
    graph = options.graph
    wanted = [graph.latitude_column, graph.longitude_column]
    columns = read_columns(path, options, [graph.id_column], wanted)
    ids = [str(entry).strip() for entry in columns.texts[graph.id_column]]
    for column, limit in enumerate((90.0, 180.0)):
        degrees = columns.numbers[:, column]
        wrong = ~(np.abs(degrees) <= limit)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(
                f"{columns.place(row, column)}: {degrees[row]:g} is not between"
                f" {-limit:g} and {limit:g} degrees"
            )
    order = aligned(path, ids, nodes)
    return columns.numbers[order, 0], columns.numbers[order, 1]
