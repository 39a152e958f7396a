"""Makes the card of a user's own data, after everything that it says has been checked.

What the user does not say is guessed from the header and first row of a file, or from its times;
the guesses are options on the card, and are shown.
"""

import re
from pathlib import Path
from typing import Any

import h5py
import pandas as pd
import pyarrow.parquet as pq
import yaml

from stprune.base.errors import ConfigError, DataError
from stprune.base.files import write_text
from stprune.base.layout import DataLayout
from stprune.base.schema import validate
from stprune.data.canonical import RawSeries, sha256_of
from stprune.data.card import DatasetCard, dataset_ids, load_card
from stprune.data.formats import table
from stprune.data.formats.base import reading

FORMAT = "table"
# Keys of the card that are not for the user to say.
FROM_FILES = {"format", "files", "options", "nodes", "steps", "channels"}
TIME_NAMES = ("time", "timestamp", "datetime", "date_time", "date", "index", "__index_level_0__")
PLACES = ("node", "sensor", "station", "detector", "zone")
NODE_NAMES = (*PLACES, *(f"{place}_id" for place in PLACES), "id")


def add(
    dataset: str,
    layout: DataLayout,
    series: Path,
    graph: dict[str, Path],
    channels: dict[str, str],
    options: dict[str, Any],
    card: dict[str, Any],
    replace: bool = False,
) -> tuple[Path, list[str]]:
    """Find out what a user's files hold, check them by the rules, and write their card.

    ``graph`` has at most one file, by its role; ``channels`` units by name; ``card`` further keys
    of the card. Returns the card's path, and lines on what the files hold.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", dataset):
        raise ConfigError(f"an id is made of small letters, digits and _, not `{dataset}`")
    path = layout.root / f"{dataset}.yaml"
    if dataset in dataset_ids(layout.root):
        # Only a card of a user's own files may be replaced.
        if load_card(dataset, layout.root).format != FORMAT:
            raise ConfigError(f"`{dataset}` is another data set; take another id")
        if not replace:
            raise ConfigError(f"there is a card {path} already; say --replace to make it anew")
    files = {table.SERIES: series} | graph
    if len(graph) > 1:
        raise ConfigError("give at most one file of the graph")
    for file in files.values():
        if not file.is_file():
            raise DataError(f"there is no file {file}")
    if not all(channels.values()) or not channels:
        missing = ", ".join(name for name, unit in channels.items() if not unit) or "NAME"
        raise ConfigError(f"say what is measured, and its unit, with --channel {missing}=UNIT")
    if known := FROM_FILES & set(card):
        raise ConfigError(f"--card {min(known)}: that is found in the files; leave it out")
    options = _guessed_options(series, options)
    checked = validate(table.Options, options, f"options of {dataset}")
    if "edges" in graph and "weights" not in options.get("graph", {}):
        # Distances that were taken for weights would turn the graph inside out.
        for name in table.csv_cells(graph["edges"], checked.separator, "utf-8").iloc[0, 2:3]:
            if name.lower() not in ("weight", "weights", "w"):
                ways = "gaussian (distances), given (weights) or binary (neither)"
                say = f"say what `{name}` is: --option graph.weights={ways}"
                raise ConfigError(f"{graph['edges']}: {say}")
    readings = table.read_series(series, checked, list(channels))
    root, entries = layout.root.resolve(), {}
    for role, file in files.items():
        place = file.resolve()  # on the card: seen from the data directory if it is below it
        shown = place.relative_to(root) if place.is_relative_to(root) else place
        entries[role] = {"path": str(shown), "sha256": sha256_of(place)}
    values = {
        "title": dataset,
        "description": "The user's own data.",
        "licence": "Not stated.",
        "citation": "None.",
        "target": next(iter(channels)),
        "mask_policy": "nan",
        **card,
        "format": FORMAT,
        "files": entries,
        "options": options,
        "nodes": len(readings.nodes),
        **_time_axis(readings, card, checked),
        "channels": [{"name": name, "unit": unit} for name, unit in channels.items()],
    }
    raw = table.load(validate(DatasetCard, values, f"the card of {dataset}"), files)
    if not checked.missing_numbers and checked.gaps != "missing" and raw.mask.all():
        values["mask_policy"] = card.get("mask_policy", "none")
    findings = _findings(raw, validate(DatasetCard, values, f"the card of {dataset}"))
    write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100))
    return path, findings


def _guessed_options(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Options of the format `table`: those given, and others where the file is plain."""
    suffix = path.suffix.lower()
    if suffix in table.HDF_SUFFIXES and given.get("layout") != "array":
        with reading(path, "HDF"), h5py.File(path, "r") as file:
            # A table of pandas in any layout: if it cannot be read, the reader of it says why.
            if any("pandas_type" in item.attrs for item in file.values()):
                return {"layout": "wide", "time": "index"} | given
    if suffix not in table.CSV_SUFFIXES + table.PARQUET_SUFFIXES:
        return {"layout": "array"} | given
    if suffix in table.PARQUET_SUFFIXES:
        with reading(path, "parquet"):
            names, cell = list(pq.read_schema(path).names), ""
    else:
        cells = table.csv_cells(path, given.get("separator", ","), given.get("encoding", "utf-8"))
        names, cell = list(cells.iloc[0]), str(cells.iloc[min(1, len(cells) - 1), 0])
    time = _called(names, TIME_NAMES)
    # A plain number such as 20240101 is more likely a measurement, unless its form is given.
    plain = cell.isdigit() and "time_format" not in given
    if time is None and not plain and table.parse_time(cell, given.get("time_format", table.ISO)):
        time = names[0]
    guesses = {"time": time, "node": _called(names, NODE_NAMES)}
    if given.get("layout") == "wide" or guesses["node"] == given.get("time", time):
        guesses["node"] = None
    options = {key: name for key, name in guesses.items() if name is not None} | given
    return {"layout": "wide" if options.get("node") is None else "long"} | options


def _called(names: list[str], known: tuple[str, ...]) -> str | None:
    lowered = [name.lower() for name in names]
    return next((names[lowered.index(word)] for word in known if word in lowered), None)


def _time_axis(
    readings: table.Readings, card: dict[str, Any], options: table.Options
) -> dict[str, Any]:
    """Start, step and number of steps, from the times of the file where the card is silent."""
    path, every = readings.path, readings.times
    if every is None:
        if not {"start", "step_minutes"} <= set(card):
            ways = "--option time=NAME, or --card start=TIME and --card step_minutes=NUMBER"
            raise ConfigError(f"{path} has no times: say {ways}")
        return {"steps": len(readings.values)}
    minutes = card.get("step_minutes")
    if minutes is None:
        lengths = every.unique().sort_values().to_series().diff().dropna().mode()
        seconds = lengths.iloc[0].total_seconds() if len(lengths) else 0.0
        if not seconds or seconds % 60 or 86_400 % seconds:
            ways = "--card step_minutes=NUMBER and --option resample=mean"
            raise DataError(f"{path}: times are {seconds:g} s apart, no part of a day; say {ways}")
        minutes = int(seconds) // 60
    if type(minutes) is not int or minutes < 1:
        raise ConfigError(f"--card step_minutes={minutes}: a number of minutes is meant")
    step, start = pd.Timedelta(minutes=minutes), every.min()
    if options.resample == "mean":
        start = start.normalize() + (start - start.normalize()) // step * step
    if "start" in card:
        try:
            start = pd.Timestamp(card["start"]).tz_localize(None)
        except (ValueError, TypeError):
            example = "2024-01-31T08:00"
            raise ConfigError(f"--card start={card['start']}: a time such as {example}") from None
    numbers = (every - start) // step
    broken = card.get("breaks", "none") != "none"
    steps = numbers.nunique() if broken else int(numbers.max()) + 1
    return {"steps": steps, "step_minutes": minutes, "start": start.isoformat()}


def _findings(raw: RawSeries, card: DatasetCard) -> list[str]:
    """Lines that say what the files turned out to hold."""
    steps = f"{card.steps} steps of {card.step_minutes} min"
    span = f"from {raw.timestamps[0]} to {raw.timestamps[-1]}"
    lines = [f"layout {card.options['layout']}: {steps} {span}, {card.nodes} sensors"]
    for number, channel in enumerate(card.channels):
        seen = raw.mask[:, :, number]
        values = raw.values[:, :, number][seen]
        lines.append(
            f"{channel.name} ({channel.unit}): {values.min():g} to {values.max():g},"
            f" {1 - seen.mean():.2%} missing, {(values == 0).mean():.2%} zero"
        )
    weights, graph = raw.adjacency[raw.adjacency > 0], "graph: none"
    if len(weights):
        symmetric = "symmetric" if (raw.adjacency == raw.adjacency.T).all() else "directed"
        size = f"{weights.min():g} to {weights.max():g}"
        graph = f"graph: {len(weights)} edges, {symmetric}, weights {size}"
    lines += [graph, *(f"{key}: {value!r}" for key, value in card.options.items())]
    return [*lines, f"missing values: mask policy {card.mask_policy}"]
