"""Text of files that are not trusted: safe to show, and read as plain values only.

A name or a message may come from a file that somebody else made. Its control characters could
command a terminal, its line breaks could forge lines of a log, and a spreadsheet would run what
begins like a formula (CWE-150, CWE-117 and CWE-1236).
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

# What names entries, cards and experiments, and stands in paths and commands; a part of a path has
# 255 bytes at most.
NAME = r"^[A-Za-z0-9][A-Za-z0-9_\-]{0,99}$"
# Control characters but tab and line feed; what separates lines or turns the reading direction;
# halves of characters, which no file can hold.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
CREDENTIALS = re.compile(r"(?<=://)[^/?#\s@]*@")
# A sign alone is a unit or a dash, and one before digits a number.
# Spreadsheets of East Asia take the wide forms of the signs as well.
FORMULA = re.compile("[=@\uff1d\uff20].|[+\\-\uff0b\uff0d].*[(|!]", re.DOTALL)


def plain_line(text: str) -> str:
    """``text`` as one line that is safe to show: characters escaped, credentials of URLs hidden."""
    shown = CREDENTIALS.sub("...@", text)
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in shown)


class PlainFormatter(logging.Formatter):
    """Log lines that are safe to show."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line, but for a traceback after it."""
        return plain_line(super().formatMessage(record))


def has_credentials(address: str) -> bool:
    """Whether an address holds a user or password."""
    return CREDENTIALS.search(address) is not None


def control_character(value: Any) -> str | None:
    """The first control character in any text of ``value``, escaped; None if there is none."""
    matches = filter(None, map(CONTROL.search, texts_in(value)))
    return next((repr(match[0]) for match in matches), None)


def is_formula(text: str) -> bool:
    """Whether a spreadsheet that opens a csv with this cell might run it."""
    return FORMULA.match(text.lstrip()) is not None


def texts_in(value: Any) -> Iterator[str]:
    """Every text in nested mappings and lists, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in (*value, *value.values()) if isinstance(value, dict) else value:
            yield from texts_in(part)


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
            text, parse_float=_finite, parse_constant=_finite, object_pairs_hook=_distinct
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
            inner = [part for pair in node.value for part in pair]
            _refuse_repeated([key.value for key, _ in node.value if key.id == "scalar"])
        known[identity] = 1 + sum(_values_in(part, known, open_nodes) for part in inner)
        open_nodes.remove(identity)
    return known[identity]


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_repeated([name for name, _ in pairs])
    return dict(pairs)


def _refuse_repeated(keys: list[str]) -> None:
    repeated = [key for key, count in Counter(keys).items() if count > 1]
    if repeated:
        raise ValueError(f"it has the key `{repeated[0]}` twice")


def _finite(digits: str) -> float:
    # Python reads 1e400 as infinity, which later steps may turn into a missing value.
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:40]} is not a finite number")
    return value
