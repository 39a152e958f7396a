"""Text of files that are not trusted: safe to show, and read as plain values only.

Control characters could command a terminal, line breaks forge lines of a log, and a spreadsheet
would run what begins like a formula (CWE-150, CWE-117 and CWE-1236).
"""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import from_json

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
# Configurations and cards are a few kilobytes; a record of a long run is below a megabyte.
LARGEST_YAML = 1 << 20
LARGEST_JSON = 64 << 20
# Aliases of aliases can stand for more values than a memory holds.
MOST_YAML_VALUES = 100_000


def plain_line(text: str) -> str:
    """``text`` as one line that is safe to show: characters escaped, credentials of URLs hidden."""
    shown = CREDENTIALS.sub("...@", text)
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in shown)


class PlainFormatter(logging.Formatter):
    """Log lines that are safe to show."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line, but for a traceback after it."""
        return plain_line(super().formatMessage(record))


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


def parse_yaml(text: str) -> Any:
    """Plain values of a YAML text; a ValueError if it is wrong, too large, or has a key twice."""
    if len(text) > LARGEST_YAML:
        raise ValueError(f"it is larger than {LARGEST_YAML >> 20} MiB")
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if (count := _values_in(node, {})) > MOST_YAML_VALUES:
            raise ValueError(f"its aliases stand for {count} values, over {MOST_YAML_VALUES}")
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _values_in(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for with all aliases followed; refuses repeated keys."""
    if id(node) in known:
        if not known[id(node)]:
            raise ValueError("it holds itself, by an alias")
        return known[id(node)]
    known[id(node)] = 0
    inner: list[yaml.Node] = node.value if isinstance(node, yaml.SequenceNode) else []
    if isinstance(node, yaml.MappingNode):
        inner = [part for pair in node.value for part in pair]
        keys = [key.value for key, _ in node.value if key.id == "scalar"]
        if repeated := {key for key in keys if keys.count(key) > 1}:
            raise ValueError(f"it has the key `{repeated.pop()}` twice")
    known[id(node)] = 1 + sum(_values_in(part, known) for part in inner)
    return known[id(node)]


def read_json_file(path: Path) -> Any:
    """What a JSON file holds; a ValueError as of :func:`parse_json`, or if it is too large."""
    if path.stat().st_size > LARGEST_JSON:
        raise ValueError(f"it is larger than {LARGEST_JSON >> 20} MiB")
    return parse_json(path.read_text(encoding="utf-8"))


def parse_json(text: str) -> Any:
    """What a JSON text holds; a ValueError if it is none, too deep, or has a NaN or infinity."""
    return from_json(text, allow_inf_nan=False)
