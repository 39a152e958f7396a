"""`stprune data add`: its options, and what it says of the files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stprune.base.errors import ConfigError
from stprune.base.text_file import parse_yaml

if TYPE_CHECKING:
    from stprune.base.layout import DataLayout

CARD_KEYS = ("title", "description", "licence", "citation", "target", "mask_policy", "breaks")


def add_add_options(action: argparse.ArgumentParser) -> None:
    """Add the options of `data add` to its parser."""
    action.add_argument("dataset", help="id of the new data set")
    action.add_argument(
        "--series",
        action="append",
        required=True,
        metavar="[CHANNEL=]FILE",
        help="csv, parquet, npz, npy or HDF; several, one a channel",
    )
    for role, content in (
        ("adjacency", "a matrix: csv, npy, npz or HDF"),
        ("edges", "a csv from,to and perhaps a number"),
        ("coordinates", "a csv or parquet of id, latitude, longitude"),
    ):
        action.add_argument(f"--{role}", type=Path, metavar="FILE", help=f"graph: {content}")
    action.add_argument(
        "--channel",
        action="append",
        default=[],
        metavar="NAME[=UNIT]",
        help="what is measured, and its unit if no column is called `NAME (UNIT)`",
    )
    action.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a rule, such as gaps=missing or graph.weights=gaussian",
    )
    action.add_argument("--start", help="of the first step, if the file has no times")
    action.add_argument("--step-minutes", type=int, help="instead of the commonest difference")
    action.add_argument("--mape-floor", type=float, help="smallest target that MAPE counts")
    action.add_argument("--splits", type=float, nargs=3, help="train, validation, test")
    for key in CARD_KEYS:
        action.add_argument(f"--{key.replace('_', '-')}", help=f"`{key}` of the card")
    action.add_argument("--replace", action="store_true", help="replace a card of this id")


def add_data(parsed: argparse.Namespace, layout: DataLayout) -> None:
    """Write the card of the data that the options name, and say what was found."""
    from stprune.data.add import Request, add

    keys = (*CARD_KEYS, "start", "step_minutes", "mape_floor", "splits")
    graph = {role: getattr(parsed, role) for role in ("adjacency", "edges", "coordinates")}
    added = add(
        Request(
            dataset=parsed.dataset,
            series=_series(parsed.series),
            graph={role: path for role, path in graph.items() if path is not None},
            channels=dict(_pair(word) for word in parsed.channel),
            options=_options(parsed.option),
            card={key: getattr(parsed, key) for key in keys if getattr(parsed, key) is not None},
            replace=parsed.replace,
        ),
        layout,
    )
    for line in added.findings:
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"wrote {added.path}; now `stprune data prepare {parsed.dataset}`\n")


def _series(words: list[str]) -> dict[str, Path]:
    if len(words) == 1 and ("=" not in words[0] or Path(words[0]).exists()):
        return {"series": Path(words[0])}
    pairs = [_pair(word) for word in words]
    for word, (_, file) in zip(words, pairs, strict=True):
        if not file:
            raise ConfigError(f"--series {word}: of several files, each needs its channel")
    return {name: Path(file) for name, file in pairs}


def _pair(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name.strip(), value.strip()


def _options(words: list[str]) -> dict[str, Any]:
    """Nested options from words such as ``graph.weights=gaussian``."""
    options: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise ConfigError(f"--option {word}: say KEY=VALUE")
        place = options
        *parents, last = key.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ConfigError(f"--option {word}: `{parent}` has a value already")
        try:
            place[last] = parse_yaml(text) if text else ""
        except ValueError:
            # Such as a pattern of times that begins with %.
            place[last] = text
    return options
