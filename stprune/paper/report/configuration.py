"""What the resolved configuration of an experiment says, as far as the page tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from stprune.base.errors import RecordError
from stprune.base.layout import store_config
from stprune.base.text import parse_yaml
from stprune.results.summary import Results

ENTRIES = ("datasets", "backbones", "pruners")


def configured(results: Results) -> Mapping[str, Any]:
    """The values of ``config.yaml``; none where there is no such file.

    Raises:
        RecordError: If it is not readable.
    """
    text = results.configuration
    path = store_config(results.store)
    try:
        values = parse_yaml(text) if text else None
    except ValueError as error:
        raise RecordError(f"{path} is not a readable configuration: {error}") from None
    if values is not None and not isinstance(values, Mapping):
        raise RecordError(f"{path} must hold keys with values, such as `experiment: demo`")
    return values or {}


def entries_as_text(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of each data set, backbone and pruner, and of training, as YAML text.

    Args:
        values: As `configured` returns them.

    Returns:
        By kind and name, and ``training``; what the configuration does not hold is left out.
    """
    found: dict[str, Any] = {}
    for kind in ENTRIES:
        named = values.get(kind)
        if isinstance(named, Mapping):
            found[kind] = {str(name): _text(entry) for name, entry in named.items()}
    if "training" in values:
        found["training"] = _text(values["training"])
    return found


def _text(entry: Any) -> str:
    return yaml.safe_dump(entry, sort_keys=False, allow_unicode=True).rstrip("\n")
