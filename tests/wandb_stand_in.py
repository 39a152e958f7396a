"""A stand-in for the W&B service: as much of its API as our calls need, all in memory.

It answers what wandb 0.31 and its background process ask: GraphQL for runs and views, a stream of
history and summary lines for each run, and uploads, which it drops. Every other request is kept in
``surprises``, also those to other hosts, for which it is the proxy.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

KEY = "0123456789abcdef" * 2 + "01234567"
ENTITY = "an_account"
# The port of nothing.
NOWHERE = "http://127.0.0.1:9"


def without_own(values: dict[str, Any]) -> dict[str, Any]:
    """``values`` without the keys that W&B keeps for itself."""
    return {key: value for key, value in values.items() if not key.startswith("_")}


@dataclass
class HeldRun:
    """A run as the service holds it."""

    name: str
    display_name: str | None = None
    group: str | None = None
    job_type: str | None = None
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    finished: bool = False

    def node(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "id": f"gid-{self.name}",
            "name": self.name,
            "projectId": 1,
            "displayName": self.display_name,
            "sweepName": None,
            "group": self.group,
            "jobType": self.job_type,
            "tags": self.tags,
            "state": "finished" if self.finished else "running",
            "config": json.dumps(self.config),
            "summaryMetrics": json.dumps(self.summary),
            "systemMetrics": "{}",
            "historyLineCount": len(self.history),
            "historyTail": json.dumps([json.dumps(row) for row in self.history[-1:]]),
            "historyKeys": {"lastStep": len(self.history) - 1},
            "eventsLineCount": 0,
            "eventsTail": "[]",
            "logLineCount": 0,
            # A run without these has never begun, and so is not resumed.
            "wandbConfig": json.dumps(self.config.get("_wandb", {}).get("value", {})),
            "commit": None,
            "readOnly": False,
            "createdAt": "2000-01-01T00:00:00Z",
            "heartbeatAt": "2000-01-01T00:00:00Z",
            "description": None,
            "notes": None,
            "user": {"name": ENTITY, "username": ENTITY},
        }


@dataclass
class StandIn:
    """What the service holds and was asked; ``projects`` maps a name to runs by id."""

    url: str = ""
    key: str = KEY
    projects: dict[str, dict[str, HeldRun]] = field(default_factory=dict)
    views: list[dict[str, Any]] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    #: A key of summaries that it forgets.
    forgets: str | None = None
    #: Whether it takes no history and no summaries.
    deaf: bool = False

    @property
    def writes(self) -> list[str]:
        """What was asked to change anything."""
        return [name for name in self.operations if name.startswith(("Upsert", "stream"))]

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any] | None:
        """The ``data`` of a GraphQL answer; None where the operation is not known."""
        operation = re.search(r"(?:query|mutation)\s+(\w+)", query)
        name = operation[1] if operation else "?"
        self.operations.append(name)
        known: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "Viewer": self._viewer,
            "GetDefaultEntity": self._viewer,
            "ServerFeaturesQuery": lambda _: {"serverInfo": {"features": []}},
            "RunResumeStatus": self._resume_status,
            "UpsertBucket": self._upsert_run,
            "CreateRunFiles": self._create_files,
            "Runs": self._runs,
            "RunFullHistory": self._history,
            "View": self._view,
            "UpsertView2": self._upsert_view,
        }
        return known[name](variables) if name in known else None

    def _viewer(self, _: dict[str, Any]) -> dict[str, Any]:
        me = {"id": "me", "entity": ENTITY, "username": ENTITY, "name": ENTITY, "email": ""}
        nobody: dict[str, Any] = {"edges": []}
        return {"viewer": {**me, "flags": "{}", "admin": False, "teams": nobody}}

    def _resume_status(self, asked: dict[str, Any]) -> dict[str, Any]:
        project = self.projects.get(asked["project"])
        if project is None:
            return {"model": None}
        run = project.get(asked["name"])
        entity = {"id": "entity", "name": ENTITY}
        bucket = run.node() if run else None
        return {"model": {"id": "p", "name": asked["project"], "entity": entity, "bucket": bucket}}

    def _upsert_run(self, told: dict[str, Any]) -> dict[str, Any]:
        project = self.projects.setdefault(told["project"], {})
        inserted = told["name"] not in project
        run = project.setdefault(told["name"], HeldRun(told["name"]))
        run.display_name = told.get("displayName") or run.display_name
        run.group = told.get("groupName") or run.group
        run.job_type = told.get("jobType") or run.job_type
        run.tags = told["tags"] if told.get("tags") is not None else run.tags
        if told.get("config"):
            run.config = json.loads(told["config"])
        place = {"id": "p", "name": told["project"], "entity": {"id": "entity", "name": ENTITY}}
        return {"upsertBucket": {"bucket": run.node() | {"project": place}, "inserted": inserted}}

    def _create_files(self, asked: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": name, "uploadUrl": f"{self.url}/upload"} for name in asked["files"]]
        return {"createRunFiles": {"runID": asked["run"], "uploadHeaders": [], "files": files}}

    def _runs(self, asked: dict[str, Any]) -> dict[str, Any]:
        project = self.projects.get(asked["project"])
        if project is None:
            return {"project": None}
        wanted = json.loads(asked["filters"])["name"]["$in"]
        found = [run.node() for name, run in project.items() if name in wanted]
        start, size = int(asked.get("cursor") or 0), asked["perPage"]
        edges = [
            {"node": node, "cursor": str(start + place)}
            for place, node in enumerate(found[start : start + size], start=1)
        ]
        more = start + size < len(found)
        page = {"endCursor": str(start + len(edges)), "hasNextPage": more}
        runs = {"edges": edges, "pageInfo": page}
        about = {"internalId": "1", "runCount": len(found), "readOnly": False}
        return {"project": {**about, "runs": runs}}

    def _history(self, asked: dict[str, Any]) -> dict[str, Any]:
        run = self.projects[asked["project"]][asked["name"]]
        rows = [json.dumps(row) for row in run.history[: asked["samples"]]]
        return {"project": {"run": {"history": rows}}}

    def _view(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["name"] not in self.projects:
            return {"project": None}
        nodes = [view for view in self.views if view["name"] == asked["viewName"]]
        return {"project": {"allViews": {"edges": [{"node": node} for node in nodes]}}}

    def _upsert_view(self, told: dict[str, Any]) -> dict[str, Any]:
        identity = told.get("id") or f"view-{len(self.views)}"
        rest = [view for view in self.views if view["id"] != identity]
        inserted = len(rest) == len(self.views)
        self.views = [*rest, {**told, "id": identity}]
        shown = {"id": identity, "name": told["name"]}
        return {"upsertView": {"view": shown, "inserted": inserted}}

    def stream(self, project: str, run: str, told: dict[str, Any]) -> None:
        """Take lines of history and the newest summary of a run."""
        self.operations.append("stream")
        held = self.projects[project][run]
        for name, part in told.get("files", {}).items():
            lines = [json.loads(line) for line in part["content"]]
            if name == "wandb-history.jsonl":
                held.history[part["offset"] :] = lines
            elif name == "wandb-summary.json":
                held.summary = {k: v for k, v in lines[-1].items() if k != self.forgets}
        held.finished = bool(told.get("complete")) or held.finished


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of errors, but not of a client that has gone: wandb's process just ends."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def wandb_service(home: Path) -> Iterator[StandIn]:
    """The stand-in while the block lasts, as the only service that wandb knows or can reach.

    Args:
        home: Where wandb may keep its settings and caches.
    """
    service = StandIn()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            told = json.loads(self.body() or b"{}")
            if self.headers["Authorization"] != _basic(service.key):
                self.tell({"errors": [{"message": "user is not logged in"}]}, 401)
                return
            stream = re.fullmatch(r"/files/[^/]+/([^/]+)/([^/]+)/file_stream", self.path)
            with lock:
                if self.path == "/graphql":
                    data = service.answer(told["query"], told.get("variables") or {})
                    if data is None:
                        service.surprises.append(told["query"])
                        self.tell({"errors": [{"message": "unknown operation"}]}, 400)
                    else:
                        self.tell({"data": data})
                elif stream and service.deaf:
                    self.tell({}, 503)
                elif stream:
                    service.stream(stream[1], stream[2], told)
                    self.tell({"limits": {}})
                else:
                    self.surprise()

        def do_PUT(self) -> None:
            self.body()
            self.tell({})

        def surprise(self) -> None:
            service.surprises.append(f"{self.command} {self.path}")
            self.tell({}, 404)

        do_GET = do_CONNECT = surprise

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers["Content-Length"] or 0))

        def tell(self, answer: dict[str, Any], status: int = 200) -> None:
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output clean."""

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_port}"
    try:
        with wandb_alone(home, service.url), mock.patch.dict(os.environ, {"WANDB_API_KEY": KEY}):
            yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def wandb_alone(home: Path, url: str = NOWHERE) -> Iterator[None]:
    """wandb without a key, knowing only the service at ``url``, while the block lasts.

    Args:
        home: Where it may keep settings and caches.
        url: Where it sends anything, and what it takes for the machine's proxy.
    """
    import wandb

    home.mkdir(parents=True, exist_ok=True)
    kept = ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_DIR")
    told = {
        **dict.fromkeys(kept, str(home)),
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), url),
        **dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1"),
        "WANDB_BASE_URL": url,
        "WANDB_ERROR_REPORTING": "false",
        # No keys of whoever runs the tests.
        "NETRC": str(home / "netrc"),
    }
    with mock.patch.dict(os.environ, told):
        for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_ENTITY"):
            os.environ.pop(name, None)
        wandb.teardown()  # Settings are read once.
        try:
            yield
        finally:
            wandb.teardown()


def _basic(key: str) -> str:
    return "Basic " + b64encode(f"api:{key}".encode()).decode()
