"""What a loader is, and what the loaders of published formats share.

A format is a module with ``Options``, the schema of the options on a card, and ``load(card,
files)``, which reads the file of each role and returns a ``RawSeries``, or a ``StreamedSeries``
where it is too large to hold. It raises ConfigError for a card that does not fit the format, and
DataError for a file that cannot be read or contradicts the card.

The files of a card are pinned by their hash, so loaders check only that they fit the card. They
read through pandas, NumPy, SciPy or h5py, and never run code that a file holds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.base.errors import ConfigError, DataError, StpruneError
from stprune.base.schema import StrictModel, validate
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard

Schema = TypeVar("Schema", bound=StrictModel)


def checked_options(
    schema: type[Schema],
    card: DatasetCard,
    files: Mapping[str, Path],
    required: Collection[str],
    optional: Collection[str] = (),
    one_channel: bool = True,
) -> Schema:
    """The options of a card, once its roles and channels are known to be those of its format.

    Raises:
        ConfigError: If they are not, or the options do not follow the schema.
    """
    options = validate(schema, card.options, f"options of {card.title}")
    if not set(required) <= set(files) <= {*required, *optional}:
        perhaps = f", optionally {', '.join(optional)}" if optional else ""
        raise ConfigError(
            f"{card.title}: the format {card.format} takes the files {', '.join(required)}"
            f"{perhaps}, not {', '.join(sorted(files)) or 'none'}"
        )
    if one_channel and len(card.channels) != 1:
        raise ConfigError(
            f"{card.title}: the format {card.format} holds one channel, not {len(card.channels)}"
        )
    return options


def regular_times(card: DatasetCard, steps: int) -> NDArray[np.datetime64]:
    """Times of ``steps`` equal steps from the card's start: (steps,) datetime64[s]."""
    step = np.timedelta64(card.step_minutes * 60, "s")
    return np.asarray(np.datetime64(card.start.replace(tzinfo=None), "s") + np.arange(steps) * step)


def observed(
    table: NDArray[np.float64], card: DatasetCard, place: Callable[[tuple[int, ...]], str]
) -> NDArray[np.bool_]:
    """Where the card's mask policy counts a value as observed, in the shape of ``table``.

    Args:
        table: Any shape, NaN where the file has no value.
        card: Its policy says what is missing: nothing, a zero, or NaN.
        place: Describes an entry of the table, by its indices, for an error message.

    Raises:
        DataError: If there is a NaN although the policy is not ``nan``.
    """
    missing = np.isnan(table)
    if card.mask_policy != "nan" and missing.any():
        position = tuple(int(index) for index in np.argwhere(missing)[0])
        raise DataError(
            f"{place(position)} is NaN, but the mask policy of {card.title} is"
            f" `{card.mask_policy}`, not `nan`"
        )
    return table != 0 if card.mask_policy == "zero" else ~missing


def raw_series(
    card: DatasetCard,
    path: Path,
    table: NDArray[np.float64],
    times: NDArray[np.datetime64],
    adjacency: NDArray[np.floating],
    node_ids: list[str],
) -> RawSeries:
    """A (T, N) or (T, N, C) table with NaN for missing values, masked by the card's policy.

    The diagonal of the graph becomes zero, since a canonical graph has no loops.

    Raises:
        DataError: If there is a NaN although the mask policy is not ``nan``; it names ``path``.
    """
    table = table if table.ndim == 3 else table[:, :, None]

    def place(at: tuple[int, ...]) -> str:
        return f"{path}: step {at[0]}, node {node_ids[at[1]]}, {card.channels[at[2]].name}"

    mask = observed(table, card, place)
    graph = np.array(adjacency, np.float32)
    np.fill_diagonal(graph, 0.0)
    values = np.where(mask, table, 0.0).astype(np.float32)
    return RawSeries(values, mask, times, graph, node_ids)


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
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

    Args:
        path: The file.
        header: Whether line 1 holds the names of the columns; else they are "0", "1" and so on.
        index: Whether the first column holds names or times, which become the index as text.
    """
    with reading(path, "csv"):
        frame = pd.read_csv(
            path,
            header=0 if header else None,
            converters={0: str.strip} if index else None,
            keep_default_na=False,
            na_values=[""],
        )
        if index:
            frame = frame.set_index(frame.columns[0])
        frame = frame.astype(np.float64)
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    return frame


def read_matrix(path: Path, node_ids: list[str]) -> NDArray[np.float64]:
    """A square csv under a header of node ids, as (N, N) float64 in the order of ``node_ids``."""
    frame = read_numbers(path)
    with reading(path, "a square csv of the series' nodes"):
        frame.index = frame.columns
        return frame.loc[node_ids, node_ids].to_numpy()


def read_edges(path: Path, node_ids: list[str], separator: str = ",") -> NDArray[np.float64]:
    """The number of each edge of a csv, from row to column; 1 where it has no third column.

    The PeMS benchmarks are published so, with a road distance as the third column (Guo et al. 2021,
    Song et al. 2020). An edge may be listed twice with the same number; loops are left out.

    Args:
        path: The csv; its header is ``from,to`` and perhaps the name of a third column.
        node_ids: N ids, which the file may list in any order.
        separator: Between cells.

    Returns:
        (N, N) float64, NaN where there is no edge, else a finite number of at least 0.

    Raises:
        DataError: If the file is no such csv, with the line that is wrong.
    """
    with reading(path, "a csv of edges"):
        frame = pd.read_csv(
            path, sep=separator, dtype=object, keep_default_na=False, skip_blank_lines=False
        ).fillna("")
    header = [str(name).strip().lower() for name in frame.columns]
    if header[:2] != ["from", "to"] or len(header) > 3 or frame.empty:
        raise DataError(
            f"{path} must have a header `from,to`, perhaps one more column, and edges below it,"
            f" not `{separator.join(header)[:80]}`"
        )
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
            raise DataError(
                f"{path}: line {line}: `{'`, `'.join(cells)}` must be two nodes of the series and,"
                " if any, a finite number of at least 0, the same on each line of an edge"
            )
        edges[place] = number
    np.fill_diagonal(edges, np.nan)
    return edges
