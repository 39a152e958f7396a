"""A user's own series in a csv, parquet, npz or HDF file, with or without a graph.

Roles of the files: ``series``, or one file a channel whose role is the channel's name; and at most
one of ``adjacency`` (a matrix), ``edges`` (a csv ``from,to`` and perhaps a number) or
``coordinates`` (latitude and longitude). `docs/own_data.md` states every rule.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import ConfigError, DataError
from stprune.base.schema import validate
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.table.alignment import aligned, refuse_repeated
from stprune.data.table.graph import GRAPH_ROLES, read_graph
from stprune.data.table.measured import measured
from stprune.data.table.options import Options
from stprune.data.table.readings import read_series
from stprune.data.table.sensors import kept_sensors
from stprune.data.table.steps import Stepped, on_steps

SERIES = "series"


def load(card: DatasetCard, files: dict[str, Path]) -> RawSeries:
    """Read series and graph by the rules of the card's options.

    Args:
        card: Its options follow `Options`.
        files: Paths by role.

    Returns:
        Values and mask of shape (T, N, C), sensors in the order of the series' (first) file.

    Raises:
        ConfigError: If the card does not fit the format.
        DataError: If a file breaks a rule, with the row and column that does.
    """
    options = validate(Options, card.options, f"options of {card.title}")
    channels = [channel.name for channel in card.channels]
    _check(card, options, channels)
    groups, graph_role = file_roles(card, files)
    stepped = {role: _stepped(files[role], card, options, names) for role, names in groups.items()}
    first = next(iter(stepped.values()))
    values = np.concatenate(
        [_in_order_of(first, other, card, files[role]) for role, other in stepped.items()], axis=2
    )
    adjacency = read_graph(
        graph_role, files[graph_role] if graph_role else None, first.nodes, options
    )
    kept = kept_sensors(values, first.nodes, card, options)
    values = values[:, kept]
    mask = ~np.isnan(values)
    return RawSeries(
        values=np.where(mask, values, 0.0).astype(np.float32),
        mask=mask,
        timestamps=first.times,
        adjacency=adjacency[np.ix_(kept, kept)],
        node_ids=[node for node, stays in zip(first.nodes, kept, strict=True) if stays],
    )


def file_roles(
    card: DatasetCard, files: dict[str, Path]
) -> tuple[dict[str, list[str]], str | None]:
    """The channels that each file of the series holds, and the role of the graph's file.

    Raises:
        ConfigError: If there is a role that means nothing, or one is missing.
    """
    channels = [channel.name for channel in card.channels]
    groups = {SERIES: channels} if SERIES in files else {name: [name] for name in channels}
    rest = [role for role in files if role not in groups]
    if not set(groups) <= set(files) or len(rest) > 1 or not set(rest) <= set(GRAPH_ROLES):
        raise ConfigError(
            f"{card.title}: the format table takes the file `{SERIES}`, or one called as each"
            f" channel ({', '.join(channels)}), and at most one of {', '.join(GRAPH_ROLES)}, not"
            f" {', '.join(sorted(files)) or 'none'}"
        )
    return groups, rest[0] if rest else None


def _check(card: DatasetCard, options: Options, channels: list[str]) -> None:
    where = f"options of {card.title}"
    unknown = [name for name in options.allow_negative if name not in channels]
    if unknown:
        raise ConfigError(f"{where}: `allow_negative`: there is no channel `{unknown[0]}`")
    if options.columns and len(options.columns) != len(channels):
        raise ConfigError(
            f"{where}: `columns`: {len(options.columns)} columns for {len(channels)} channels"
        )
    if options.missing_numbers and card.mask_policy != "nan":
        raise ConfigError(f"{where}: `missing_numbers` needs `mask_policy: nan`")
    if options.gaps == "missing" and card.mask_policy != "nan":
        raise ConfigError(f"{where}: `gaps: missing` needs `mask_policy: nan`")


def _stepped(path: Path, card: DatasetCard, options: Options, channels: list[str]) -> Stepped:
    if options.layout == "wide" and len(channels) > 1:
        raise ConfigError(
            f"{card.title}: a wide file holds one channel; give a file for each of"
            f" {', '.join(channels)}"
        )
    # A column that is called otherwise than its channel is named in the options.
    readings = read_series(path, options, channels)
    refuse_repeated(path, readings.nodes)
    return on_steps(readings, measured(readings, card, channels, options), card, options)


def _in_order_of(
    first: Stepped, stepped: Stepped, card: DatasetCard, path: Path
) -> NDArray[np.float64]:
    """(T, N, C) of a file, sensors in the order of the first file."""
    if not np.array_equal(stepped.times, first.times):
        raise DataError(f"{card.title}: {path} has other times than the first file of the series")
    return stepped.values[:, aligned(path, stepped.nodes, first.nodes)]
