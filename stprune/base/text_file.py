"""YAML and JSON of strangers: of limited size and depth, no value twice, nothing made up of it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import yaml

# Configurations and cards are a few kilobytes; a record of a long run is below a megabyte.
LARGEST_YAML = 1 << 20
LARGEST_JSON = 64 << 20
# Aliases of aliases can stand for more values than a memory holds.
MOST_YAML_VALUES = 100_000


def read_yaml_file(path: Path) -> Any:
    """What a YAML file holds.

    Raises:
        ValueError: If it is no YAML, too large, has a key twice, or holds itself.
        OSError: If it cannot be read.
    """
    return parse_yaml(_read(path, LARGEST_YAML))


def parse_yaml(text: str) -> Any:
    """What a YAML text holds: plain values only.

    Raises:
        ValueError: As :func:`read_yaml_file`, on one line.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        count = _values_in(node, {}, set())
        if count > MOST_YAML_VALUES:
            raise ValueError(f"its aliases stand for {count} values, over {MOST_YAML_VALUES}")
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json_file(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: If it is no JSON, too large or too deep, or has a key twice, a NaN, or a number
            that no float holds.
        OSError: If it cannot be read.
    """
    return parse_json(_read(path, LARGEST_JSON))


def parse_json(text: str) -> Any:
    """What a JSON text holds.

    Raises:
        ValueError: As :func:`read_json_file`.
    """
    try:
        return json.loads(
            text,
            parse_float=_finite,
            parse_constant=_refuse_constant,
            object_pairs_hook=_distinct,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _read(path: Path, most: int) -> str:
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most >> 20} MiB")
    return content.decode("utf-8")


def _values_in(node: yaml.Node, known: dict[int, int], open_nodes: set[int]) -> int:
    """How many values a node stands for with all aliases followed."""
    identity = id(node)
    if identity in open_nodes:
        raise ValueError("it holds itself, by an alias")
    if identity not in known:
        open_nodes.add(identity)
        inner: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            inner = node.value
        elif isinstance(node, yaml.MappingNode):
            _refuse_repeated_keys(node)
            inner = [part for pair in node.value for part in pair]
        known[identity] = 1 + sum(_values_in(part, known, open_nodes) for part in inner)
        open_nodes.remove(identity)
    return known[identity]


def _refuse_repeated_keys(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in seen:
                line = key.start_mark.line + 1
                raise ValueError(f"line {line} has the key `{key.value}` a second time")
            seen.add((key.tag, key.value))


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in values if names.count(name) > 1)
        raise ValueError(f"it has the key `{twice}` twice")
    return values


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    # Python reads 1e400 as infinity, which later steps may turn into a missing value.
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits[:40]} is too large")
    return value
