"""A user's own series in a csv, parquet, npz or HDF file, with or without a graph.

Roles of the files: ``series``, or one file a channel whose role is the channel's name; and at most
one of ``adjacency`` (a matrix), ``edges`` (a csv ``from,to`` and perhaps a number) or
``coordinates`` (latitude and longitude). `docs/own_data.md` states every rule.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.base.errors import ConfigError, DataError
from stprune.base.schema import validate
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.table.graph import GRAPH_ROLES, aligned, read_graph
from stprune.data.table.options import Options
from stprune.data.table.series import on_steps, read_series

SERIES = "series"

log = logging.getLogger(__name__)


def load(card: DatasetCard, files: dict[str, Path]) -> RawSeries:
    """Read series and graph by the rules of the card's options.

    Returns:
        Values and mask of shape (T, N, C), sensors in the order of the series' (first) file.

    Raises:
        ConfigError: If the card does not fit the format.
        DataError: If a file breaks a rule; the message names the row and column.
    """
    where = f"options of {card.title}"
    options = validate(Options, card.options, where)
    channels = [channel.name for channel in card.channels]
    groups = {SERIES: channels} if SERIES in files else {name: [name] for name in channels}
    graph_roles = [role for role in files if role not in groups]
    if not set(groups) <= set(files) or graph_roles not in ([], *([role] for role in GRAPH_ROLES)):
        raise ConfigError(
            f"{where}: the files are `{SERIES}`, or one called as each channel"
            f" ({', '.join(channels)}), and at most one of {', '.join(GRAPH_ROLES)}, not"
            f" {', '.join(sorted(files)) or 'none'}"
        )
    if options.layout == "wide" and len(channels) > 1 and SERIES in files:
        raise ConfigError(f"{where}: a wide file holds one channel; give a file for each")
    if not set(options.allow_negative) <= set(channels):
        raise ConfigError(f"{where}: `allow_negative` names no channel")
    if len(options.columns) not in (0, len(channels)):
        raise ConfigError(f"{where}: `columns` needs one for each channel")
    if card.mask_policy != "nan" and (options.missing_numbers or options.gaps == "missing"):
        raise ConfigError(f"{where}: `missing_numbers` and `gaps: missing` need `mask_policy: nan`")
    nodes: list[str] = []
    tables = []
    for role, names in groups.items():
        readings = read_series(files[role], options, names)
        nodes = nodes or readings.nodes
        order = aligned(files[role], readings.nodes, nodes)
        times, table = on_steps(readings, card, options)
        tables.append((times, table[:, order]))
        if not np.array_equal(times, tables[0][0]):
            raise DataError(f"{card.title}: {files[role]} has other times than the first file")
    values = np.concatenate([table for _, table in tables], axis=2)
    adjacency = np.zeros((len(nodes), len(nodes)), np.float32)
    for role in graph_roles:
        adjacency = read_graph(role, files[role], nodes, options)
    kept = _kept_sensors(values, nodes, card, options)
    values, mask = values[:, kept], ~np.isnan(values[:, kept])
    return RawSeries(
        values=np.where(mask, values, 0.0).astype(np.float32),
        mask=mask,
        timestamps=times,
        adjacency=adjacency[np.ix_(kept, kept)],
        node_ids=list(np.array(nodes, dtype=object)[kept]),
    )


def _kept_sensors(
    values: NDArray[np.float64], nodes: list[str], card: DatasetCard, options: Options
) -> NDArray[np.bool_]:
    """Which sensors of (T, N, C) stay; the others are refused, or logged."""
    empty = np.any(np.all(np.isnan(values), axis=0), axis=1)
    target = pd.DataFrame(values[:, :, card.target_channel])
    constant = (target.min() == target.max()).to_numpy() & ~empty
    kept = np.ones(len(nodes), bool)
    for found, option in ((empty, "empty_sensors"), (constant, "constant_sensors")):
        rule = getattr(options, option)
        if found.any():
            listed = ", ".join(np.array(nodes, dtype=object)[found][:8])
            said = f"{card.title}: {found.sum()} sensor(s) ({listed}): see `{option}`"
            if rule == "refuse":
                raise DataError(said)
            log.warning("%s", said + (" (dropped)" if rule == "drop" else ""))
            kept &= ~found | (rule != "drop")
    if not kept.any():
        raise DataError(f"{card.title}: no sensor is left without the empty and constant ones")
    return kept
