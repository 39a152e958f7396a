"""What a format is, and what the published formats share.

A format is a module with ``Options``, the schema of the options on a card. Those of a published
format derive from :class:`Published`, which only reads; the others have ``load(card, files)``.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.base.errors import ConfigError, DataError, StpruneError
from stprune.base.schema import StrictModel, validate
from stprune.data.canonical import RawSeries, StreamedSeries
from stprune.data.card import FORMATS, DatasetCard


class Table(NamedTuple):
    """What a published format reads of its files, (T, N) or (T, N, C) with NaN for nothing.

    ``graph`` is (N, N), from row to column, with or without loops. Without ``times`` (T,), the
    steps are regular from the card's start on.
    """

    values: NDArray[np.float64]
    graph: NDArray[np.floating]
    node_ids: list[str]
    times: NDArray[np.datetime64] | None = None


class Files(dict[str, Path]):
    """The file of each role of a card; as text, the one that was asked for last."""

    def __init__(self, card: DatasetCard, paths: dict[str, Path]) -> None:
        super().__init__(paths)
        self.card = card
        self.asked: list[str] = []

    def __getitem__(self, role: str) -> Path:
        if role not in self:
            raise ConfigError(f"{self.card.title}: {self.card.format} needs the file `{role}`")
        self.asked.append(role)
        return super().__getitem__(role)

    def __str__(self) -> str:
        return str(self.get(self.asked[-1])) if self.asked else self.card.title


class Published(StrictModel):
    """Options of a published format, which know how to read its files.

    The files of a card are pinned by their hash, and a canonical data set is checked for its sizes:
    so a format only reads, with pandas, NumPy, SciPy or h5py, and runs no code that a file holds.
    """

    @abstractmethod
    def read(self, card: DatasetCard, files: Files) -> Table | StreamedSeries:
        """Read the file of each role."""


def load_raw(card: DatasetCard, paths: dict[str, Path]) -> RawSeries | StreamedSeries:
    """Read a card's raw files; a ConfigError if it does not fit, a DataError if they do not."""
    module = FORMATS.module(card.format)
    if not issubclass(module.Options, Published):
        loaded: RawSeries = module.load(card, paths)
        return loaded
    options = validate(module.Options, card.options, f"options of {card.title}")
    files = Files(card, paths)
    with reading(files, card.format):  # any error names the file that was asked for last
        table = options.read(card, files)
    if unread := sorted(set(files) - set(files.asked)):
        raise ConfigError(f"{card.title}: the format {card.format} has no file `{unread[0]}`")
    return _raw_series(card, table) if isinstance(table, Table) else table


def _raw_series(card: DatasetCard, table: Table) -> RawSeries:
    """Masked by the card's policy; a canonical graph has no loops."""
    values = table.values if table.values.ndim == 3 else table.values[:, :, None]
    times = regular_times(card, len(values)) if table.times is None else table.times
    if times[0] != np.datetime64(card.start.replace(tzinfo=None)):
        raise DataError(f"{card.title} begins at {times[0]}, but the card says {card.start}")
    nodes = table.node_ids
    mask = observed(values, card, lambda at: f"{card.title}: step {at[0]}, node {nodes[at[1]]}")
    graph = np.array(table.graph, np.float32)
    np.fill_diagonal(graph, 0.0)
    filled = np.where(mask, values, 0.0).astype(np.float32)
    return RawSeries(filled, mask, times.astype("datetime64[s]"), graph, table.node_ids)


def regular_times(card: DatasetCard, steps: int) -> NDArray[np.datetime64]:
    """Times of ``steps`` equal steps from the card's start: (steps,) datetime64[s]."""
    step = np.timedelta64(card.step_minutes * 60, "s")
    return np.asarray(np.datetime64(card.start.replace(tzinfo=None), "s") + np.arange(steps) * step)


def observed(
    table: NDArray[np.float64], card: DatasetCard, place: Callable[[tuple[int, ...]], str]
) -> NDArray[np.bool_]:
    """Where the mask policy counts a value; a DataError at ``place`` for a NaN that it forbids."""
    missing = np.isnan(table)
    if card.mask_policy != "nan" and missing.any():
        where = place(tuple(np.argwhere(missing)[0].tolist()))
        raise DataError(f"{where} is NaN, but the mask policy of {card.title} is not `nan`")
    return table != 0 if card.mask_policy == "zero" else ~missing


@contextmanager
def reading(path: object, kind: str) -> Iterator[None]:
    """Turn whatever a library raises over a file into a DataError, one line that names the file."""
    try:
        yield
    except StpruneError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path} cannot be read as {kind}: {reason}") from None


def read_numbers(path: Path, *, header: bool = True, index: bool = False) -> pd.DataFrame:
    """A csv as (rows, columns) float64, an empty cell as NaN.

    Without a header the columns are "0", "1" and so on; with an index, the first column holds names
    or times, as text.
    """
    frame = pd.read_csv(
        path,
        header=0 if header else None,
        converters={0: str.strip} if index else None,
        keep_default_na=False,
        na_values=[""],
    )
    if index:
        frame = frame.set_index(frame.columns[0])
    frame.columns = frame.columns.astype(str).str.strip()
    return frame.astype(np.float64)


def read_edges(path: Path, node_ids: list[str], separator: str = ",") -> NDArray[np.float64]:
    """The number of each edge of a csv, from row to column; 1 where it has no third column.

    An edge may be listed twice with the same number; loops are left out. The result is (N, N)
    float64 in the order of ``node_ids``, NaN where there is no edge. A DataError names the line.
    """
    with reading(path, "a csv of edges"):
        frame = pd.read_csv(
            path, sep=separator, dtype=object, keep_default_na=False, skip_blank_lines=False
        ).fillna("")
    header = [str(name).strip().lower() for name in frame.columns]
    if header[:2] != ["from", "to"] or len(header) > 3 or frame.empty:
        raise DataError(f"{path} must have a header `from,to`, perhaps a third column, and edges")
    position = {name: index for index, name in enumerate(node_ids)}
    edges = np.full((len(node_ids), len(node_ids)), np.nan)
    for line, row in enumerate(frame.itertuples(index=False, name=None), start=2):
        cells = [str(value).strip() for value in row]
        if not any(cells):
            continue
        try:
            place = position[cells[0]], position[cells[1]]
            number = float(cells[2]) if len(cells) == 3 else 1.0
        except (KeyError, ValueError):
            number = np.nan
        if not 0 <= number < np.inf or not (np.isnan(edges[place]) or edges[place] == number):
            rule = "two nodes of the series and, if any, a number of at least 0, one for an edge"
            raise DataError(f"{path}: line {line}: `{'`, `'.join(cells)}` must be {rule}")
        edges[place] = number
    np.fill_diagonal(edges, np.nan)
    return edges


def binary(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 for each edge, whatever its distance: (N, N) float64."""
    weights = (~np.isnan(distances)).astype(np.float64)
    np.fill_diagonal(weights, 0.0)
    return weights


def gaussian(
    distances: NDArray[np.float64], sigma: float | None = None, threshold: float = 0.1
) -> NDArray[np.float64]:
    """exp(-(d / sigma)²), and 0 where that is below ``threshold``: (N, N) float64 in [0, 1].

    The kernel is that of Shuman et al. 2013 as DCRNN (Li et al. 2018) scales it: with the standard
    deviation of the distances between different nodes, which None for ``sigma`` means, and without
    a factor of 2.
    """
    between = distances.copy()
    np.fill_diagonal(between, np.nan)
    length = spread(between) if sigma is None else sigma
    # No edge is infinitely far, and a far one may well come out as 0.
    far = np.where(np.isnan(between), np.inf, between)
    weights = np.exp(-np.square(far / length))
    weights[weights < threshold] = 0.0
    return weights


def spread(distances: NDArray[np.float64]) -> float:
    """Standard deviation (dividing by their number) of the distances; a ValueError if it is 0."""
    there = distances[~np.isnan(distances)]
    length = float(there.std()) if there.size else 0.0
    if length <= 0:
        raise ValueError(f"{there.size} distances that do not differ give no `sigma`: give one")
    return length


def merge_columns(
    columns: dict[str, NDArray[np.float64]], node_ids: list[str], values: NDArray[np.float64]
) -> None:
    """Add the (T, N, C) values of N nodes to those by node, where an equal one may be."""
    for node, column in zip(node_ids, values.swapaxes(0, 1), strict=True):
        if not np.array_equal(columns.setdefault(node, column), column, equal_nan=True):
            raise ValueError(f"node `{node}` is there twice, with different values")
