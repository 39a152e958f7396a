"""Makes the card of a user's own data, after everything that it says has been checked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from stprune.base.errors import ConfigError, DataError
from stprune.base.files import write_text
from stprune.base.layout import DataLayout
from stprune.base.schema import read_yaml, validate
from stprune.data.canonical import RawSeries, sha256_of
from stprune.data.card import DatasetCard, card_path, dataset_ids
from stprune.data.formats import table
from stprune.data.graph_weights import parts
from stprune.data.table.files import first_rows
from stprune.data.table.graph import GRAPH_ROLES
from stprune.data.table.guess import guessed_minutes, guessed_options, units_of
from stprune.data.table.options import Options
from stprune.data.table.series import read_series
from stprune.data.windows import split_windows, window_starts

FORMAT = "table"
SHORTEST_WINDOW = 2
WEIGHT_NAMES = ("weight", "weights", "w")


@dataclass(frozen=True)
class Request:
    """What a user says of their data; the rest is guessed from the files.

    Args:
        dataset: Id of the data set.
        series: File of the series by channel, or under ``series``.
        graph: File of the graph by its role; at most one.
        channels: Unit by name of channel; empty if the file says both.
        options: Options of the format `table`.
        card: Further keys of the card, such as ``title``, ``start`` or ``mask_policy``.
        replace: Whether a card of that id may be replaced.
    """

    dataset: str
    series: dict[str, Path]
    graph: dict[str, Path] = field(default_factory=dict)
    channels: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    replace: bool = False


@dataclass(frozen=True)
class Added:
    """A card that was written: where, its content, and lines on what the files hold."""

    path: Path
    card: DatasetCard
    findings: list[str]


def add(request: Request, layout: DataLayout) -> Added:
    """Find out what the files hold, check them by the rules, and write the card.

    Raises:
        ConfigError: If the request contradicts itself, or lacks what no file says.
        DataError: If a file breaks a rule; the message names row and column.
    """
    path = _card_path(request, layout)
    files = request.series | request.graph
    if not request.series or len(request.graph) > 1:
        raise ConfigError("give one file of the series (or one a channel) and at most one graph")
    for file in files.values():
        if not file.is_file():
            raise DataError(f"there is no file {file}")
    values = _card_values(request, layout, files)
    where = f"the card of {request.dataset}"
    raw = table.load(validate(DatasetCard, values, where), files)
    values["nodes"] = len(raw.node_ids)
    rules = values["options"]
    if "missing_numbers" not in rules and rules.get("gaps") != "missing" and raw.mask.all():
        values["mask_policy"] = request.card.get("mask_policy", "none")
    card = validate(DatasetCard, values, where)
    windows = len(window_starts(raw.timestamps, SHORTEST_WINDOW, card.step_minutes))
    try:
        split_windows(windows, card.splits)
    except ConfigError:
        raise DataError(
            f"{card.title}: {card.steps} steps are too few to train, validate and test"
        ) from None
    write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100))
    return Added(path, card, _findings(raw, card))


def _card_path(request: Request, layout: DataLayout) -> Path:
    """Where the card goes; only a card of a user's own files may be replaced."""
    name = request.dataset
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigError(
            f"`{name}` is no id of a data set; take small letters, digits and _, a letter first"
        )
    if name in dataset_ids(layout.root):
        known = card_path(name, layout.root)
        values = read_yaml(known)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ConfigError(f"`{name}` is another data set ({known}); take another id")
        if not request.replace:
            raise ConfigError(f"there is a card {known} already; say --replace to make it anew")
    return layout.root / f"{name}.yaml"


def _card_values(request: Request, layout: DataLayout, files: dict[str, Path]) -> dict[str, Any]:
    """All keys of the card, from the request and from the files."""
    first = next(iter(request.series.values()))
    options = guessed_options(first, request.options)
    channels = _channels(request, first, options)
    checked = validate(Options, options, f"options of {request.dataset}")
    roles = {table.SERIES: list(channels)} | {name: [name] for name in channels}
    unknown = set(request.series) - set(roles)
    if unknown:
        raise ConfigError(f"the series `{unknown.pop()}` is none of {', '.join(channels)}")
    if "edges" in request.graph and "weights" not in options.get("graph", {}):
        separator = checked.graph.separator or checked.separator
        header, _ = first_rows(request.graph["edges"], separator, "utf-8")
        # Distances that were taken for weights would turn the graph inside out.
        if len(header) > 2 and header[2].lower() not in WEIGHT_NAMES:
            raise ConfigError(
                f"{request.graph['edges']}: column 3 is called `{header[2]}`: say --option"
                " graph.weights=gaussian (distances), given (weights), or binary to ignore it"
            )
    readings = [read_series(file, checked, roles[role]) for role, file in request.series.items()]
    times = [one.times for one in readings if one.times is not None]
    root = layout.root.resolve()
    return {
        "title": request.dataset,
        "description": "The user's own data.",
        "format": FORMAT,
        "files": {
            role: {
                "path": str(file.relative_to(root) if file.is_relative_to(root) else file),
                "sha256": sha256_of(file),
            }
            for role, file in ((role, file.resolve()) for role, file in files.items())
        },
        "options": options,
        "licence": "Not stated.",
        "citation": "None.",
        "nodes": len(readings[0].nodes),
        **_time_axis(request, first, times, len(readings[0].values), checked),
        "channels": [{"name": name, "unit": unit} for name, unit in channels.items()],
        "target": next(iter(channels)),
        "mask_policy": "nan",
        **request.card,
    }


def _channels(request: Request, path: Path, options: dict[str, Any]) -> dict[str, str]:
    """Unit by name of channel. In a long file, `columns` of the options are set with them."""
    chosen, units = dict(request.channels), {}
    if options["layout"] == "long":
        encoding = options.get("encoding", "utf-8")
        names, _ = first_rows(path, options.get("separator", ","), encoding)
        keys = options.get("time"), options.get("node")
        named = units_of([name for name in names if name not in keys])
        units = dict(named.values())
        chosen = chosen or dict(units)
        column_of = {name: column for column, (name, _) in named.items()}
        if "columns" not in options and set(chosen) & set(column_of):
            options["columns"] = [column_of.get(name, name) for name in chosen]
    if not chosen:
        raise ConfigError(f"{path}: say what is measured, and its unit, with --channel NAME=UNIT")
    chosen = {name: unit or units.get(name, "") for name, unit in chosen.items()}
    for name, unit in chosen.items():
        if not unit:
            raise ConfigError(f"no file says the unit of `{name}`; say --channel {name}=UNIT")
    return chosen


def _time_axis(
    request: Request, path: Path, times: list[pd.DatetimeIndex], rows: int, options: Options
) -> dict[str, Any]:
    """Start, step and number of steps, from the times of all files where the card is silent."""
    if not times:
        if not {"start", "step_minutes"} <= set(request.card):
            raise ConfigError(
                f"{path} has no times: name their column with --option time=NAME, or say --start"
                " and --step-minutes"
            )
        return {"steps": rows}
    every = pd.DatetimeIndex(np.concatenate([one.to_numpy() for one in times]))
    minutes = request.card.get("step_minutes") or guessed_minutes(path, every)
    step = pd.Timedelta(minutes=minutes)
    start = every.min()
    if options.resample == "mean":
        start = start.normalize() + (start - start.normalize()) // step * step
    if "start" in request.card:
        try:
            start = pd.Timestamp(datetime.fromisoformat(request.card["start"]).replace(tzinfo=None))
        except ValueError:
            raise ConfigError(
                f"--start `{request.card['start']}` is no time such as 2024-01-31T08:00"
            ) from None
    numbers = (every - start) // step
    daily = request.card.get("breaks") == "daily"
    steps = numbers.nunique() if daily else int(numbers.max()) + 1
    return {"steps": steps, "step_minutes": minutes, "start": start.isoformat()}


def _findings(raw: RawSeries, card: DatasetCard) -> list[str]:
    """Lines that say what the files turned out to hold."""
    lines = [
        f"layout {card.options['layout']}: {card.steps} steps of {card.step_minutes} min from"
        f" {raw.timestamps[0]} to {raw.timestamps[-1]}, {card.nodes} sensors",
    ]
    for number, channel in enumerate(card.channels):
        seen = raw.mask[:, :, number]
        values = raw.values[:, :, number][seen]
        lines.append(
            f"{channel.name} ({channel.unit}): {values.min():g} to {values.max():g},"
            f" {1 - seen.mean():.2%} missing, {(values == 0).mean():.2%} zero"
        )
    weights = raw.adjacency
    if not weights.any():
        lines.append("graph: none; backbones see sensors without edges")
    else:
        symmetric = "symmetric" if np.array_equal(weights, weights.T) else "directed"
        kind = next(role for role in card.files if role in GRAPH_ROLES)
        lines.append(
            f"graph ({kind}): {np.count_nonzero(weights)} edges, {symmetric},"
            f" {parts(weights)} part(s), weights {weights[weights > 0].min():g} to"
            f" {weights.max():g}"
        )
    lines += [f"{key}: {value!r}" for key, value in card.options.items()]
    lines.append(f"missing values: mask policy {card.mask_policy}")
    return lines
