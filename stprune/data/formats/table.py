"""A user's own series in a csv, parquet, npz or HDF file, with or without a graph.

Roles of the files: ``series``, and at most one of ``adjacency`` (a matrix) or ``edges`` (a csv
``from,to`` and perhaps a number).
`docs/own_data.md` states every rule.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import load_npz

from stprune.base.errors import ConfigError, DataError
from stprune.base.schema import validate
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.formats.base import binary, gaussian, read_edges, reading
from stprune.data.table import (
    CSV_SUFFIXES,
    LARGEST,
    GraphOptions,
    Options,
    csv_cells,
    numbers_of,
    on_steps,
    read_array,
    read_series,
)

SERIES = "series"
GRAPH_ROLES = ("adjacency", "edges")


def load(card: DatasetCard, paths: dict[str, Path]) -> RawSeries:
    """Read series and graph by the rules of the card's options.

    A ConfigError if the card does not fit the format; a DataError if a file breaks a rule, with the
    row and column.
    """
    where = f"options of {card.title}"
    options, channels = validate(Options, card.options, where), card.channel_names
    graph_roles = [role for role in paths if role != SERIES]
    negative = set(options.allow_negative) - set(channels)
    missing = options.missing_numbers or options.gaps == "missing"
    for wrong, problem in (
        (
            SERIES not in paths or graph_roles not in ([], *([role] for role in GRAPH_ROLES)),
            f"the files are `{SERIES}` and at most one of {', '.join(GRAPH_ROLES)}",
        ),
        (options.layout == "wide" and len(channels) > 1, "a wide file holds one channel"),
        (negative, "`allow_negative` names no channel"),
        (len(options.columns) not in (0, len(channels)), "`columns` needs one for each channel"),
        (
            missing and card.mask_policy != "nan",
            "`missing_numbers` and `gaps: missing` need `mask_policy: nan`",
        ),
    ):
        if wrong:
            raise ConfigError(f"{where}: {problem}")
    readings = read_series(paths[SERIES], options, channels)
    nodes = readings.nodes
    aligned(paths[SERIES], nodes, nodes)
    times, values = on_steps(readings, card, options)
    adjacency = np.zeros((len(nodes), len(nodes)), np.float32)
    for role in graph_roles:
        adjacency = read_graph(role, paths[role], nodes, options)
    mask = ~np.isnan(values)
    empty = ~np.all(np.any(mask, axis=0), axis=1)
    if empty.any():
        name = nodes[int(np.argmax(empty))]
        raise DataError(f"{paths[SERIES]}: the sensor `{name}` has no value; leave it out")
    filled = np.where(mask, values, 0.0).astype(np.float32)
    return RawSeries(filled, mask, times, adjacency, nodes)


def aligned(path: Path, ids: list[str], nodes: list[str]) -> NDArray[np.int64]:
    """The position of each of ``nodes`` among ``ids``, which must be the same: (N,) int64."""
    position = {name: index for index, name in enumerate(ids)}
    wrong = [name for index, name in enumerate(ids) if not name or position[name] != index]
    wrong += sorted(set(ids) ^ set(nodes))
    if wrong:
        problem = "is without a name, stands twice, or is not both in this file and in the series"
        raise DataError(f"{path}: the sensor `{wrong[0]}` {problem}")
    return np.array([position[name] for name in nodes], np.int64)


def read_graph(role: str, path: Path, nodes: list[str], options: Options) -> NDArray[np.float32]:
    """Edge weights of ``nodes``, in this order, in a file of this role: (N, N) float32."""
    graph = options.graph
    if role == "edges":
        csv_cells(path, options.separator, "utf-8")  # a wrong separator is named here
        edges = read_edges(path, nodes, options.separator)
    else:
        edges = _edges_of_matrix(path, _matrix(path, nodes, options), nodes, graph)
    np.fill_diagonal(edges, np.nan)
    if graph.weights == "gaussian":
        with reading(path, "distances"):
            weights = gaussian(edges, graph.sigma, graph.threshold)
        if not weights.any():
            raise DataError(
                f"{path}: no weight reaches `graph.threshold` {graph.threshold:g}; the shortest"
                f" distance is {np.nanmin(edges, initial=np.inf):g}; change it or `graph.sigma`"
            )
    else:
        weights = binary(edges) if graph.weights == "binary" else np.nan_to_num(edges)
    if weights.max(initial=0.0) > LARGEST:
        raise DataError(f"{path}: the weight {weights.max():g} is beyond {LARGEST:g}")
    return weights.astype(np.float32)


def _edges_of_matrix(
    path: Path, matrix: NDArray[np.float64], nodes: list[str], graph: GraphOptions
) -> NDArray[np.float64]:
    """A matrix with NaN where it says that there is no edge."""
    np.fill_diagonal(matrix, 1.0)  # loops are left out, whatever they weigh
    if graph.weights == "gaussian":
        # In a table of distances an empty or infinite cell means that no way leads there.
        matrix[matrix == np.inf] = np.nan
        wrong = matrix <= 0
    else:
        wrong = (matrix < 0) | ~np.isfinite(matrix)
        matrix[matrix == 0] = np.nan
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise DataError(
            f"{path}: {matrix[row, column]:g} from {nodes[row]} to {nodes[column]}: weights are"
            " finite numbers of at least 0, distances above 0 (an empty cell is no edge)"
        )
    return matrix


def _matrix(path: Path, nodes: list[str], options: Options) -> NDArray[np.float64]:
    """(N, N), row to column, NaN where a cell is empty, infinity where it says so.

    A csv may hold sensor ids, in its first row or its first row and column, as its shape tells.
    """
    size = len(nodes)
    if path.suffix.lower() not in CSV_SUFFIXES:
        try:
            matrix = load_npz(path).toarray()
        except Exception:  # no sparse matrix, or damaged: reading it as an array says which
            matrix = read_array(path, options.graph.array, "graph.array")
        if matrix.shape != (size, size) or matrix.dtype.kind not in "fiub":
            raise DataError(f"{path}: {matrix.dtype} of shape {matrix.shape} for {size} sensors")
        return np.array(matrix, np.float64)
    cells = csv_cells(path, options.separator, options.encoding)
    ids = rows = nodes
    if len(cells) == cells.shape[1] + 1:  # ids in the first row
        ids = rows = list(cells.iloc[0])
        cells = cells.iloc[1:]
    elif len(cells) == size + 1:  # in the first column too
        ids, rows = list(cells.iloc[0, 1:]), list(cells.iloc[1:, 0])
        cells = cells.iloc[1:, 1:]
    if cells.shape != (size, size) or rows != ids:
        expected = f"a row and a column for each of the {size} sensors, in the same order"
        raise DataError(f"{path}: {cells.shape} cells instead of {expected}")
    order = aligned(path, ids, nodes)
    cells = cells.set_axis(ids, axis=1)
    numbers = numbers_of(path, cells, ids, options.decimal, infinite=True)
    return numbers[np.ix_(order, order)]
