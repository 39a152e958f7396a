"""A user's own series in a csv, parquet, npz or HDF file, with or without a graph.

Roles of the files: ``series``, or one file a channel whose role is the channel's name; and at most
one of ``adjacency`` (a matrix), ``edges`` (a csv ``from,to`` and perhaps a number) or
``coordinates`` (latitude and longitude). `docs/own_data.md` states every rule.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import ConfigError, DataError
from stprune.base.schema import validate
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard
from stprune.data.table.graph import GRAPH_ROLES, aligned, read_graph
from stprune.data.table.options import Options
from stprune.data.table.series import measured, read_series
from stprune.data.table.steps import on_steps

SERIES = "series"

log = logging.getLogger(__name__)


def load(card: DatasetCard, files: dict[str, Path]) -> RawSeries:
    """Read series and graph by the rules of the card's options.

    Args:
        card: Its options follow `Options`.
        files: Paths by role.

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
            f"{card.title}: the format table takes the file `{SERIES}`, or one called as each"
            f" channel ({', '.join(channels)}), and at most one of {', '.join(GRAPH_ROLES)}, not"
            f" {', '.join(sorted(files)) or 'none'}"
        )
    for wrong, problem in (
        (
            options.layout == "wide" and len(channels) > 1 and SERIES in files,
            "a wide file holds one channel; give a file for each",
        ),
        (not set(options.allow_negative) <= set(channels), "`allow_negative` names no channel"),
        (len(options.columns) not in (0, len(channels)), "`columns` needs one for each channel"),
        (
            card.mask_policy != "nan" and (options.missing_numbers or options.gaps == "missing"),
            "`missing_numbers` and `gaps: missing` need `mask_policy: nan`",
        ),
    ):
        if wrong:
            raise ConfigError(f"{where}: {problem}")
    nodes: list[str] = []
    parts: list[tuple[NDArray[np.datetime64], NDArray[np.float64]]] = []
    for role, names in groups.items():
        readings = read_series(files[role], options, names)
        nodes = nodes or readings.nodes
        order = aligned(files[role], readings.nodes, nodes)
        times, values = on_steps(readings, measured(readings, card, options), card, options)
        if parts and not np.array_equal(times, parts[0][0]):
            raise DataError(f"{card.title}: {files[role]} has other times than the first file")
        parts.append((times, values[:, order]))
    values = np.concatenate([part for _, part in parts], axis=2)
    graph = graph_roles[0] if graph_roles else None
    adjacency = read_graph(graph, files[graph] if graph else None, nodes, options)
    kept = _kept_sensors(values, nodes, card, options)
    mask = ~np.isnan(values[:, kept])
    return RawSeries(
        values=np.where(mask, values[:, kept], 0.0).astype(np.float32),
        mask=mask,
        timestamps=parts[0][0],
        adjacency=adjacency[np.ix_(kept, kept)],
        node_ids=[node for node, stays in zip(nodes, kept, strict=True) if stays],
    )


def _kept_sensors(
    values: NDArray[np.float64], nodes: list[str], card: DatasetCard, options: Options
) -> NDArray[np.bool_]:
    """(N,) which sensors of (T, N, C) stay; empty and constant ones are refused, or logged."""
    seen = ~np.isnan(values)
    empty: NDArray[np.bool_] = ~np.all(np.any(seen, axis=0), axis=1)
    target = values[:, :, card.target_channel]
    lowest, highest = (np.where(np.isnan(target), fill, target) for fill in (np.inf, -np.inf))
    constant = (lowest.min(axis=0) == highest.max(axis=0)) & ~empty
    kept = np.ones(len(nodes), bool)
    for found, rule, option in (
        (empty, options.empty_sensors, "without a value in some channel; see `empty_sensors`"),
        (
            constant,
            options.constant_sensors,
            f"one {card.target} throughout; see `constant_sensors`",
        ),
    ):
        if found.any():
            listed = ", ".join(np.array(nodes, dtype=object)[found][:8])
            said = f"{card.title}: {found.sum()} sensor(s) ({listed}): {option}"
            if rule == "refuse":
                raise DataError(said)
            log.warning("%s", said + (" (dropped)" if rule == "drop" else ""))
            kept &= ~found | (rule != "drop")
    if not kept.any():
        raise DataError(f"{card.title}: no sensor is left without the empty and constant ones")
    return kept
