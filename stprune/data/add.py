"""Makes the card of a user's own data, after everything that it says has been checked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from stprune.base import atomic
from stprune.base.errors import ConfigError, DataError
from stprune.base.layout import DataLayout
from stprune.base.schema import read_yaml, validate
from stprune.data.canonical import RawSeries, sha256_of
from stprune.data.card import DatasetCard, card_path, dataset_ids
from stprune.data.formats import table
from stprune.data.graph_weights import parts
from stprune.data.table.found import column_names, found_options, found_step, named_with_unit
from stprune.data.table.graph import GRAPH_ROLES
from stprune.data.table.options import Options
from stprune.data.table.readings import Readings, read_series
from stprune.data.windows import split_windows, window_starts

NAME = re.compile(r"[a-z][a-z0-9_]*")
FORMAT = "table"
SHORTEST_WINDOW = 2
WEIGHT_NAMES = ("weight", "weights", "w")


@dataclass(frozen=True)
class Request:
    """What a user says of their data; the rest is found in the files.

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
    """A card that was written.

    Args:
        path: The card.
        card: Its content.
        findings: Lines that say what was found in the files.
    """

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
    _refuse_unexplained_numbers(request, values["options"])
    where = f"the card of {request.dataset}"
    raw = table.load(validate(DatasetCard, values, where), files)
    values["nodes"] = len(raw.node_ids)
    rules = values["options"]
    if "missing_numbers" not in rules and rules.get("gaps") != "missing" and raw.mask.all():
        values["mask_policy"] = request.card.get("mask_policy", "none")
    card = validate(DatasetCard, values, where)
    _refuse_too_short(raw, card)
    atomic.write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100))
    return Added(path, card, _findings(raw, card))


def _refuse_unexplained_numbers(request: Request, options: dict[str, Any]) -> None:
    """Let nobody's distances count as weights, where the farthest would weigh most."""
    graph = options.get("graph", {})
    if "edges" not in request.graph or "weights" in graph:
        return
    path = request.graph["edges"]
    separator = graph.get("separator") or options.get("separator", ",")
    header = column_names(path, {"separator": separator})
    if len(header) > 2 and header[2].lower() not in WEIGHT_NAMES:
        raise ConfigError(
            f"{path}: column 3 is called `{header[2]}`: say --option graph.weights=gaussian if it"
            " holds distances, given for weights, or binary to ignore it"
        )


def _card_path(request: Request, layout: DataLayout) -> Path:
    """Where the card goes.

    Only a card that was made of a user's files may be replaced: others came with stprune.
    """
    name = request.dataset
    if not NAME.fullmatch(name):
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
    options = found_options(first, request.options)
    channels = _channels(request, first, options)
    checked = validate(Options, options, f"options of {request.dataset}")
    roles = {table.SERIES: list(channels)} | {name: [name] for name in channels}
    unknown = [role for role in request.series if role not in roles]
    if unknown:
        raise ConfigError(f"the series `{unknown[0]}` is none of {', '.join(channels)}")
    readings = [read_series(file, checked, roles[role]) for role, file in request.series.items()]
    return {
        "title": request.dataset,
        "description": "The user's own data.",
        "format": FORMAT,
        "files": {
            role: {"path": _stored(file, layout), "sha256": sha256_of(file)}
            for role, file in files.items()
        },
        "options": options,
        "licence": "Not stated.",
        "citation": "None.",
        "nodes": len(readings[0].nodes),
        **_time_axis(request, first, readings, checked),
        "channels": [{"name": name, "unit": unit} for name, unit in channels.items()],
        "target": next(iter(channels)),
        "mask_policy": "nan",
        **request.card,
    }


def _stored(file: Path, layout: DataLayout) -> str:
    """A path as the card has it: seen from the data directory if the file lies there."""
    whole, root = file.resolve(), layout.root.resolve()
    return str(whole.relative_to(root) if whole.is_relative_to(root) else whole)


def _channels(request: Request, path: Path, options: dict[str, Any]) -> dict[str, str]:
    """Unit by name of channel. In a long file, `columns` of the options are set with them."""
    if options["layout"] != "long":
        if not request.channels:
            raise ConfigError("say what is measured, and its unit, with --channel NAME=UNIT")
        return _with_units(request.channels, {})
    columns = [
        name
        for name in column_names(path, options)
        if name not in (options.get("time"), options.get("node"))
    ]
    named = {name: found for name in columns if (found := named_with_unit(name)) is not None}
    units = dict(named.values())
    chosen = request.channels or units
    if not chosen:
        raise ConfigError(
            f"{path} has the columns {', '.join(f'`{name}`' for name in columns)}; say which are"
            " channels, and their units, with --channel NAME=UNIT"
        )
    column_of = {name: name for name in columns} | {
        short: name for name, (short, _) in named.items()
    }
    if "columns" not in options and any(column_of.get(name, name) != name for name in chosen):
        options["columns"] = [column_of.get(name, name) for name in chosen]
    return _with_units(chosen, units)


def _with_units(channels: dict[str, str], found: dict[str, str]) -> dict[str, str]:
    units = {name: unit or found.get(name, "") for name, unit in channels.items()}
    for name, unit in units.items():
        if not unit:
            raise ConfigError(f"no file says the unit of `{name}`; say --channel {name}=UNIT")
    return units


def _time_axis(
    request: Request, path: Path, readings: list[Readings], options: Options
) -> dict[str, Any]:
    """Start, step and number of steps, from the times of all files where the card is silent."""
    stamps = [reading.times for reading in readings if reading.times is not None]
    if not stamps:
        if not {"start", "step_minutes"} <= set(request.card):
            raise ConfigError(
                f"{path} has no times: name their column with --option time=NAME, or say --start"
                " and --step-minutes"
            )
        return {"steps": len(readings[0].values)}
    times = np.concatenate(stamps)
    minutes = request.card.get("step_minutes") or found_step(path, times)
    step = np.timedelta64(minutes, "m").astype("timedelta64[s]")
    first = times.min()
    if options.resample == "mean":
        midnight = first.astype("datetime64[D]").astype("datetime64[s]")
        first = midnight + (first - midnight) // step * step
    start = _start(request.card["start"]) if "start" in request.card else first
    if request.card.get("breaks") == "daily":
        steps = len(np.unique((times - start) // step))
    else:
        steps = int((times.max() - start) // step) + 1
    return {"steps": steps, "step_minutes": minutes, "start": str(start)}


def _start(text: Any) -> np.datetime64:
    try:
        return np.datetime64(datetime.fromisoformat(str(text)).replace(tzinfo=None), "s")
    except ValueError:
        raise ConfigError(f"--start `{text}` is no time such as 2024-01-31T08:00") from None


def _refuse_too_short(raw: RawSeries, card: DatasetCard) -> None:
    """Let even the shortest windows, of one step each way, fill three splits."""
    windows = len(window_starts(raw.timestamps, SHORTEST_WINDOW, card.step_minutes))
    try:
        split_windows(windows, card.splits)
    except ConfigError:
        raise DataError(
            f"{card.title}: {card.steps} steps are too few to train, validate and test"
        ) from None


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
