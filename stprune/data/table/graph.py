"""The graph of a user's data: its file, aligned with the series by sensor id, as edge weights."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import load_npz

from stprune.base.errors import ConfigError, DataError
from stprune.data import graph_weights
from stprune.data.formats.base import read_edges, reading
from stprune.data.table import files
from stprune.data.table.options import GraphOptions, Options
from stprune.data.table.series import LARGEST, texts_of

GRAPH_ROLES = ("adjacency", "edges", "coordinates")

log = logging.getLogger(__name__)


def aligned(path: Path, ids: list[str], nodes: list[str]) -> NDArray[np.int64]:
    """The position of each of ``nodes`` among ``ids``, which must be the same: (N,) int64."""
    position = {name: index for index, name in enumerate(ids)}
    wrong = [name for index, name in enumerate(ids) if not name or position[name] != index]
    wrong += sorted(set(ids) ^ set(nodes))
    if wrong:
        raise DataError(
            f"{path}: the sensor `{wrong[0]}` is without a name, stands twice, or is not both in"
            " this file and in the series"
        )
    return np.array([position[name] for name in nodes], np.int64)


def read_graph(role: str, path: Path, nodes: list[str], options: Options) -> NDArray[np.float32]:
    """Edge weights between the sensors of a series: (N, N) float32, zero diagonal.

    ``role`` is one of ``GRAPH_ROLES``; ``nodes`` are the ids in the order of the series.

    Raises:
        ConfigError: If the options do not fit the kind of file.
        DataError: If the file is wrong, has another sensor, or lacks one.
    """
    graph = options.graph
    if role == "coordinates" and graph.weights != "gaussian":
        if graph.weights == "given" or graph.nearest is None:
            raise ConfigError(
                "`graph.weights`: coordinates give distances; say `gaussian`, or `binary` with"
                " `graph.nearest`"
            )
    elif graph.nearest is not None and graph.weights != "gaussian":
        raise ConfigError("`graph.nearest`: only distances (`graph.weights: gaussian`) tell it")
    signs = {"separator": graph.separator, "decimal": graph.decimal}
    options = options.model_copy(update={key: sign for key, sign in signs.items() if sign})
    if role == "coordinates":
        edges = _distances(path, nodes, options)
    elif role == "edges":
        files.csv_cells(path, options.separator, "utf-8")  # a wrong separator is named here
        edges = read_edges(path, nodes, options.separator)
    else:
        edges = _edges_of_matrix(path, _matrix(path, nodes, options), nodes, graph)
    np.fill_diagonal(edges, np.nan)
    if graph.nearest is not None:
        edges = graph_weights.nearest(edges, graph.nearest)
    weights = (
        graph_weights.binary(edges) if graph.weights == "binary" else np.nan_to_num(edges, nan=0.0)
    )
    if graph.weights == "gaussian":
        with reading(path, "distances"):
            weights = graph_weights.gaussian(edges, graph.sigma, graph.threshold)
        if not weights.any():
            raise DataError(
                f"{path}: no weight reaches `graph.threshold` {graph.threshold:g}; the shortest"
                f" distance is {np.nanmin(edges, initial=np.inf):g}; change it or `graph.sigma`"
            )
    weights = graph_weights.symmetrised(weights, graph.symmetrise)
    if weights.max(initial=0.0) > LARGEST:
        raise DataError(f"{path}: the weight {weights.max():g} is beyond {LARGEST:g}")
    count = graph_weights.parts(weights)
    if count > 1:
        alone = int((~(weights + weights.T).any(axis=0)).sum())
        log.warning("%s: a graph in %d parts; %d sensor(s) have no edge", path, count, alone)
    return weights.astype(np.float32)


def _distances(path: Path, nodes: list[str], options: Options) -> NDArray[np.float64]:
    """(N, N) km between the places of a file of coordinates."""
    graph, frame = options.graph, files.read_columns(path, options)
    names = [graph.latitude_column, graph.longitude_column]
    ids = texts_of(files.column_of(path, frame, graph.id_column))
    degrees = files.numbers_of(path, frame, names, options.decimal)
    wrong = ~(np.abs(degrees) <= (90, 180))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise DataError(
            f"{path}: {frame.index.name} {frame.index[row]}, column `{names[column]}`:"
            f" {degrees[row, column]:g} is no place; latitudes are -90 to 90 degrees, longitudes"
            " -180 to 180"
        )
    return graph_weights.great_circle(*degrees[aligned(path, list(ids), nodes)].T)


def _edges_of_matrix(
    path: Path, matrix: NDArray[np.float64], nodes: list[str], graph: GraphOptions
) -> NDArray[np.float64]:
    """A matrix with NaN where it says that there is no edge."""
    np.fill_diagonal(matrix, 1.0)  # loops are left out, whatever they weigh
    distances = graph.weights == "gaussian"
    if distances:
        # In a table of distances an empty or infinite cell means that no way leads there.
        matrix[np.isinf(matrix)] = np.nan
    unclear = (matrix == 0) & (distances and graph.zero_distance == "refuse")
    wrong = (matrix < 0) | (~np.isfinite(matrix) & (not distances)) | unclear
    if wrong.any():
        row, column = (int(index) for index in np.argwhere(wrong)[0])
        raise DataError(
            f"{path}: {matrix[row, column]:g} from {nodes[row]} to {nodes[column]}: weights are"
            " finite numbers of at least 0, distances above 0; for a distance of 0 say"
            " `graph.zero_distance: no_edge` or `same_place`"
        )
    if not distances or graph.zero_distance == "no_edge":
        matrix[matrix == 0] = np.nan
    return matrix


def _matrix(path: Path, nodes: list[str], options: Options) -> NDArray[np.float64]:
    """(N, N), row to column, NaN where a cell is empty, infinity where it says so.

    A csv may hold sensor ids, in its first row or in its first row and column, as its shape tells.
    An array holds none and is in the order of the series.
    """
    size = len(nodes)
    if path.suffix.lower() not in files.CSV_SUFFIXES:
        try:
            matrix = load_npz(path).toarray()
        # No sparse matrix, or damaged: reading it as an array says which.
        except Exception:
            matrix = files.read_array(path, options.graph.array, "graph.array")
        if matrix.shape != (size, size) or matrix.dtype.kind not in "fiub":
            raise DataError(f"{path}: {matrix.dtype} of shape {matrix.shape} for {size} sensors")
        return np.array(matrix, np.float64)
    cells = files.csv_cells(path, options.separator, options.encoding)
    ids = rows = nodes
    if len(cells) == cells.shape[1] + 1:  # ids in the first row
        ids = rows = list(cells.iloc[0])
        cells = cells.iloc[1:]
    elif len(cells) == size + 1:  # in the first column too
        ids, rows = list(cells.iloc[0, 1:]), list(cells.iloc[1:, 0])
        cells = cells.iloc[1:, 1:]
    if cells.shape != (size, size) or rows != ids:
        raise DataError(
            f"{path}: {cells.shape} cells, where a row and a column for each of the {size} sensors"
            " are meant, in the same order"
        )
    order = aligned(path, ids, nodes)
    infinite = cells.apply(lambda column: column.str.fullmatch("(?i)[+]?inf(inity)?"))
    cells = cells.mask(infinite, "").set_axis(ids, axis=1)
    numbers = files.numbers_of(path, cells, ids, options.decimal)
    numbers[infinite.to_numpy()] = np.inf
    return numbers[np.ix_(order, order)]
