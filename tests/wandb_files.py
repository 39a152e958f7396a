"""Reading W&B's offline files back; their format is wandb's own affair, and known only here."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7
FULL, FIRST, LAST = 1, 2, 4


@dataclass
class OfflineRun:
    """What a file says of its run; nested keys are joined by dots."""

    identity: str = ""
    name: str = ""
    group: str = ""
    job_type: str = ""
    tags: set[str] = field(default_factory=set)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    #: Pairs of names and the metric that they are drawn over.
    axes: list[tuple[str, str]] = field(default_factory=list)
    exit_codes: list[int] = field(default_factory=list)


def read_offline(path: Path) -> OfflineRun:
    """A ``.wandb`` file."""
    run = OfflineRun()
    for entry in _records(path):
        kind = entry.WhichOneof("record_type")
        if kind == "run":
            if not run.identity:
                told = entry.run
                run.identity, run.name, run.group = told.run_id, told.display_name, told.run_group
                run.job_type, run.tags = told.job_type, set(told.tags)
            run.config |= _values(entry.run.config.update)
        elif kind == "history":
            run.history.append(_values(entry.history.item))
        elif kind == "summary":
            run.summary |= _values(entry.summary.update)
        elif kind == "metric":
            run.axes.append((entry.metric.glob_name, entry.metric.step_metric))
        elif kind == "exit":
            run.exit_codes.append(entry.exit.exit_code)
    return run


def without_own(values: dict[str, Any]) -> dict[str, Any]:
    """``values`` without the keys that W&B keeps for itself."""
    return {key: value for key, value in values.items() if not key.startswith("_")}


def _records(path: Path) -> Iterator[Any]:
    """The protobuf records of a file: a log of blocks, as in LevelDB."""
    from wandb.proto import wandb_internal_pb2

    content, position, parts = path.read_bytes(), HEADER, b""
    while position + HEADER <= len(content):
        if BLOCK - position % BLOCK < HEADER:
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + HEADER])
        position += HEADER
        data = content[position : position + length]
        position += length
        parts = data if kind in (FULL, FIRST) else parts + data
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            yield record


def _values(items: Any) -> dict[str, Any]:
    return {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}
