"""W&B without the service: one in memory behind `wandb.init` and `wandb.Api`, and offline files."""

import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import wandb
from wandb.proto import wandb_internal_pb2

KEY = "0123456789abcdef" * 2 + "01234567"
ENTITY = "an_account"
# The port of nothing.
NOWHERE = "http://127.0.0.1:9"
# Of a LevelDB log.
BLOCK, HEADER = 32768, 7


@dataclass
class HeldRun:
    """A run as the service holds it and `wandb.Api` shows it."""

    id: str
    name: str | None = None
    group: str | None = None
    job_type: str | None = None
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary_metrics: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    exit_code: int | None = None
    notes: str | None = None

    @property
    def history_line_count(self) -> int:
        return len(self.rows)

    def history(self, samples: int, pandas: bool) -> list[dict[str, Any]]:
        return self.rows[:samples]


class Service:
    """Holds runs by project and id."""

    default_entity = ENTITY

    def __init__(self) -> None:
        self.projects: dict[str, dict[str, HeldRun]] = {}
        self.writes = 0

    def init(self, **told: Any) -> Any:
        """As `wandb.init`, which continues a run that is there."""
        assert (told.pop("mode"), told.pop("resume")) == ("online", "allow")
        assert told.pop("entity") in (ENTITY, None)
        assert told.pop("dir")
        assert told.pop("settings").finish_timeout_raises
        told = json.loads(json.dumps(told))
        project = self.projects.setdefault(told.pop("project"), {})
        held = project.setdefault(told["id"], HeldRun(told["id"]))
        for name, value in told.items():
            if name != "notes" or value is not None:
                setattr(held, name, value)

        def log(row: dict[str, Any], step: int, commit: bool) -> None:
            assert commit
            if step < len(held.rows):  # which W&B ignores
                return
            held.rows.append(json.loads(json.dumps(row)) | {"_step": step, "_runtime": 1.5})
            held.summary_metrics |= held.rows[-1]

        def update(values: dict[str, Any]) -> None:
            held.summary_metrics |= json.loads(json.dumps(values))

        self.writes += 1
        return SimpleNamespace(
            log=log,
            summary=SimpleNamespace(update=update),
            define_metric=lambda name, step_metric: None,
            finish=lambda exit_code=0: setattr(held, "exit_code", exit_code),
        )

    def flush(self) -> None:
        """As `wandb.Api`."""

    def runs(self, path: str, filters: dict[str, Any], lazy: bool) -> list[HeldRun]:
        """As `wandb.Api`."""
        entity, project = path.split("/")
        assert (entity, lazy) == (ENTITY, False)
        if project not in self.projects:
            raise ValueError(f"Could not find project {path}")
        wanted = filters["name"]["$in"]
        return [run for name, run in self.projects[project].items() if name in wanted]


@contextmanager
def wandb_service() -> Iterator[Service]:
    """The service while the block lasts, with an account."""
    service = Service()
    replaced = {
        "init": service.init,
        "Api": lambda timeout=None: service,
        "login": lambda prompt, verify: True,
        "setup": lambda settings=None: SimpleNamespace(settings=SimpleNamespace(api_key=KEY)),
        "teardown": lambda: None,
    }
    with mock.patch.multiple(wandb, **replaced):
        yield service


@contextmanager
def wandb_alone(home: Path) -> Iterator[None]:
    """The real library without key and network; ``home`` gets its settings and caches."""
    home.mkdir(parents=True, exist_ok=True)
    kept = ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_DIR")
    told = {
        **dict.fromkeys(kept, str(home)),
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), NOWHERE),
        "WANDB_BASE_URL": NOWHERE,
        "WANDB_ERROR_REPORTING": "false",
        # No keys of whoever runs the tests.
        "NETRC": str(home / "netrc"),
    }
    # Settings are read once. Before the environment is noted: the variable that names the library's
    # running service must not come back after that has ended.
    wandb.teardown()
    with mock.patch.dict(os.environ, told):
        for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_ENTITY"):
            os.environ.pop(name, None)
        try:
            yield
        finally:
            wandb.teardown()


def read_offline(folder: Path) -> dict[str, HeldRun]:
    """The runs in the offline files below ``folder``, by id; the latest of each."""
    runs: dict[str, HeldRun] = {}
    for path in sorted(folder.rglob("*.wandb")):
        held = HeldRun("")
        for record in _records(path):
            if record.HasField("run"):
                told = record.run
                held.id, held.name, held.group = told.run_id, told.display_name, told.run_group
                held.tags, held.job_type, held.notes = list(told.tags), told.job_type, told.notes
                held.config |= _values(told.config.update)
            elif record.HasField("history"):
                held.rows.append(_values(record.history.item))
            elif record.HasField("summary"):
                held.summary_metrics |= _values(record.summary.update)
            elif record.HasField("exit"):
                held.exit_code = record.exit.exit_code
        runs[held.id] = held
    return runs


def _values(items: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for item in items:
        place, (*parents, last) = values, item.nested_key or [item.key]
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = json.loads(item.value_json)
    return values


def _records(path: Path) -> Iterator[Any]:
    """The records of a LevelDB log, each in fragments that end with one of kind 1 or 4."""
    data, payload, at = path.read_bytes(), b"", HEADER
    while at < len(data):
        if (rest := BLOCK - at % BLOCK) < HEADER:
            at += rest
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        payload += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):
            yield wandb_internal_pb2.Record.FromString(payload)
            payload = b""
