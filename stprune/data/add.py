"""Makes the card of a user's own data, after everything that it says has been checked.

What the user does not say is guessed from the header and first row of a file, or from its times;
the guesses are options on the card, and are shown.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
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
from stprune.data.formats.base import reading
from stprune.data.graph_weights import parts
from stprune.data.table.files import CSV_SUFFIXES, HDF_SUFFIXES, PARQUET_SUFFIXES, first_rows
from stprune.data.table.graph import GRAPH_ROLES
from stprune.data.table.options import ISO, MILLISECONDS, SECONDS, Options
from stprune.data.table.series import Readings, parse_time, read_series
from stprune.data.windows import split_windows, window_starts

FORMAT = "table"
SHORTEST_WINDOW = 2
WEIGHT_NAMES = ("weight", "weights", "w")
# A column such as `speed (km/h)` or `speed [km/h]`.
UNIT = re.compile(r"(.*\S)\s*[(\[]([^()\[\]]+)[)\]]")
TIME_NAMES = ("time", "timestamp", "datetime", "date_time", "date", "index", "__index_level_0__")
PLACES = ("node", "sensor", "station", "detector", "zone")
NODE_NAMES = (*PLACES, *(f"{place}_id" for place in PLACES), "id")


def add(
    dataset: str,
    layout: DataLayout,
    series: dict[str, Path],
    graph: dict[str, Path],
    channels: dict[str, str],
    options: dict[str, Any],
    card: dict[str, Any],
    replace: bool = False,
) -> tuple[Path, list[str]]:
    """Find out what a user's files hold, check them by the rules, and write their card.

    Args:
        dataset: Id of the data set.
        layout: Where data lie, and the card goes.
        series: File of the series by channel, or under ``series``.
        graph: File of the graph by its role; at most one.
        channels: Unit by name of channel; empty if the file says both.
        options: Options of the format `table`; others are guessed from the files.
        card: Further keys of the card, such as ``title``, ``start`` or ``mask_policy``.
        replace: Whether a card of that id may be replaced.

    Returns:
        The card's path, and lines on what the files hold.

    Raises:
        ConfigError: If these contradict each other, or lack what no file says.
        DataError: If a file breaks a rule; the message names row and column.
    """
    _check_id(dataset, layout, replace)
    files = series | graph
    if not series or len(graph) > 1:
        raise ConfigError("give one file of the series (or one a channel) and at most one graph")
    for file in files.values():
        if not file.is_file():
            raise DataError(f"there is no file {file}")
    first = next(iter(series.values()))
    options = _guessed_options(first, options)
    channels = _channels(channels, first, options)
    checked = validate(Options, options, f"options of {dataset}")
    roles = {table.SERIES: list(channels)} | {name: [name] for name in channels}
    if unknown := set(series) - set(roles):
        raise ConfigError(f"the series `{unknown.pop()}` is none of {', '.join(channels)}")
    if "edges" in graph and "weights" not in options.get("graph", {}):
        _check_edges(graph["edges"], checked)
    readings = [read_series(file, checked, roles[role]) for role, file in series.items()]
    root = layout.root.resolve()
    found = {role: file.resolve() for role, file in files.items()}
    values = {
        "title": dataset,
        "description": "The user's own data.",
        "format": FORMAT,
        "files": {
            role: {
                "path": str(file.relative_to(root) if file.is_relative_to(root) else file),
                "sha256": sha256_of(file),
            }
            for role, file in found.items()
        },
        "options": options,
        "licence": "Not stated.",
        "citation": "None.",
        "nodes": len(readings[0].nodes),
        **_time_axis(readings, card, checked),
        "channels": [{"name": name, "unit": unit} for name, unit in channels.items()],
        "target": next(iter(channels)),
        "mask_policy": "nan",
        **card,
    }
    where = f"the card of {dataset}"
    raw = table.load(validate(DatasetCard, values, where), files)
    values["nodes"] = len(raw.node_ids)
    if not checked.missing_numbers and checked.gaps != "missing" and raw.mask.all():
        values["mask_policy"] = card.get("mask_policy", "none")
    made = validate(DatasetCard, values, where)
    windows = len(window_starts(raw.timestamps, SHORTEST_WINDOW, made.step_minutes))
    try:
        split_windows(windows, made.splits)
    except ConfigError:
        raise DataError(
            f"{made.title}: {made.steps} steps are too few to train, validate and test"
        ) from None
    path = layout.root / f"{dataset}.yaml"
    write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100))
    return path, _findings(raw, made)


def _check_id(dataset: str, layout: DataLayout, replace: bool) -> None:
    """Only a card of a user's own files may be replaced."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", dataset):
        raise ConfigError(
            f"`{dataset}` is no id of a data set; take small letters, digits and _, a letter first"
        )
    if dataset in dataset_ids(layout.root):
        known = card_path(dataset, layout.root)
        values = read_yaml(known)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ConfigError(f"`{dataset}` is another data set ({known}); take another id")
        if not replace:
            raise ConfigError(f"there is a card {known} already; say --replace to make it anew")


def _check_edges(path: Path, options: Options) -> None:
    """Distances that were taken for weights would turn the graph inside out."""
    header, _ = first_rows(path, options.graph.separator or options.separator, "utf-8")
    if len(header) > 2 and header[2].lower() not in WEIGHT_NAMES:
        raise ConfigError(
            f"{path}: column 3 is called `{header[2]}`: say --option graph.weights=gaussian"
            " (distances), given (weights), or binary to ignore it"
        )


def _guessed_options(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Options of the format `table`: those given, and others where the file is plain.

    Raises:
        DataError: If the file cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in HDF_SUFFIXES and given.get("layout") != "array":
        with reading(path, "HDF"), h5py.File(path, "r") as file:
            # A table of pandas in any layout: if it cannot be read, the reader of it says why.
            if any("pandas_type" in item.attrs for item in file.values()):
                return {"layout": "wide", "time": "index"} | given
    if suffix not in CSV_SUFFIXES + PARQUET_SUFFIXES:
        return {"layout": "array"} | given
    options, encoding = dict(given), given.get("encoding", "utf-8")
    if "separator" not in given:
        line = ",".join(first_rows(path, ",", encoding)[0])
        best = max((",", ";", "\t", "|"), key=line.count)
        options |= {"separator": best} if best != "," else {}
    separator = options.get("separator", ",")
    names, row = first_rows(path, separator, encoding)
    if not names:
        raise DataError(f"{path} is empty, or its first line is")
    if separator != "," and any(re.fullmatch(r"-?\d+,\d+", cell) for cell in row):
        options = {"decimal": ","} | options
    cells = dict(zip(names, row, strict=False))
    if "time" not in given:
        time, cell = _called(names, TIME_NAMES), cells.get(names[0], "")
        # A plain number such as 20240101 is more likely a measurement, unless its form is given.
        plain = cell.isdigit() and "time_format" not in given
        if time is None and not plain and parse_time(cell, given.get("time_format", ISO)):
            time = names[0]
        options |= {} if time is None else {"time": time}
    cell = cells.get(options.get("time", ""), "")
    if cell.isdigit() and len(cell) in (10, 13):
        options = {"time_format": SECONDS if len(cell) == 10 else MILLISECONDS} | options
    if "node" not in given and given.get("layout") != "wide":
        node = _called([name for name in names if name != options.get("time")], NODE_NAMES)
        options |= {} if node is None else {"node": node}
    layout = "wide" if options.get("node") is None else "long"
    guesses = {key: option for key, option in options.items() if key not in given}
    return {"layout": layout} | guesses | given


def _guessed_minutes(path: Path, times: pd.DatetimeIndex) -> int:
    """Minutes between neighbouring times: the commonest difference.

    Raises:
        DataError: If there is none, or it is no number of minutes that divides a day.
    """
    differences = np.diff(times.unique().sort_values().to_numpy()).astype("timedelta64[s]")
    if not len(differences):
        raise DataError(f"{path} has one time; a series needs at least two")
    lengths, counts = np.unique(differences.astype(int), return_counts=True)
    seconds = int(lengths[np.argmax(counts)])
    if seconds % 60 or 86_400 % seconds:
        raise DataError(
            f"{path}: most times are {seconds} s apart, which is no number of minutes that divides"
            " a day; say `--step-minutes` and `--option resample=mean`"
        )
    return seconds // 60


def _called(names: list[str], known: tuple[str, ...]) -> str | None:
    lowered = [name.lower() for name in names]
    return next((names[lowered.index(word)] for word in known if word in lowered), None)


def _channels(chosen: dict[str, str], path: Path, options: dict[str, Any]) -> dict[str, str]:
    """Unit by name of channel. In a long file, `columns` of the options are set with them."""
    units: dict[str, str] = {}
    if options["layout"] == "long":
        encoding = options.get("encoding", "utf-8")
        names, _ = first_rows(path, options.get("separator", ","), encoding)
        keys = options.get("time"), options.get("node")
        matches = {name: UNIT.fullmatch(name) for name in names if name not in keys}
        named = {name: (match[1], match[2].strip()) for name, match in matches.items() if match}
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


def _time_axis(readings: list[Readings], card: dict[str, Any], options: Options) -> dict[str, Any]:
    """Start, step and number of steps, from the times of all files where the card is silent."""
    path = readings[0].path
    times = [one.times for one in readings if one.times is not None]
    if not times:
        if not {"start", "step_minutes"} <= set(card):
            raise ConfigError(
                f"{path} has no times: name their column with --option time=NAME, or say --start"
                " and --step-minutes"
            )
        return {"steps": len(readings[0].values)}
    every = pd.DatetimeIndex(np.concatenate([one.to_numpy() for one in times]))
    minutes = card.get("step_minutes") or _guessed_minutes(path, every)
    step = pd.Timedelta(minutes=minutes)
    start = every.min()
    if options.resample == "mean":
        start = start.normalize() + (start - start.normalize()) // step * step
    if "start" in card:
        try:
            start = pd.Timestamp(datetime.fromisoformat(card["start"]).replace(tzinfo=None))
        except ValueError:
            raise ConfigError(
                f"--start `{card['start']}` is no time such as 2024-01-31T08:00"
            ) from None
    numbers = (every - start) // step
    daily = card.get("breaks") == "daily"
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
