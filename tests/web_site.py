"""A web server of our own for tests of fetching, which misbehaves as it is asked to."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

from toy import card_values

from stprune.base.layout import DataLayout
from stprune.data.card import DatasetCard
from stprune.data.fetch import fetch

CONTENT = b"1,2\n10,20\n30,40\n" * 1000


def blob_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324


@dataclass
class Answer:
    """What the server says to one request."""

    body: bytes = CONTENT
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None  # bytes after which the connection is closed
    stall: int | None = None  # bytes after which nothing more comes on an open connection
    slow: float = 0.0  # seconds between pieces of 64 KiB


@dataclass
class Site:
    """A web server; each path gives its answers in turn, then the last one forever."""

    host: str
    answers: dict[str, list[Answer]]
    requests: list[str]

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"


@contextmanager
def serving() -> Iterator[Site]:
    """A site while the block lasts."""
    answers: dict[str, list[Answer]] = {}
    requests: list[str] = []
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            turns = answers.get(self.path, [Answer(b"", 404)])
            answer = turns.pop(0) if len(turns) > 1 else turns[0]
            try:
                self.send(answer)
            except OSError:
                self.close_connection = True  # The client has gone.

        def send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            body = answer.body[: answer.cut if answer.stall is None else answer.stall]
            for start in range(0, len(body), 1 << 16):
                self.wfile.write(body[start : start + (1 << 16)])
                self.wfile.flush()
                time.sleep(answer.slow)
            if answer.stall is not None:
                closing.wait(30)

        def log_message(self, format: str, *args: object) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    # Whatever proxy the machine has.
    local = dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1")
    try:
        with mock.patch.dict(os.environ, local):
            yield Site(f"127.0.0.1:{server.server_port}", answers, requests)
    finally:
        closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def card_of(url: str, content: bytes = CONTENT) -> DatasetCard:
    """A card whose only raw file is ``content`` at ``url``."""
    files = {"series": {"url": url, "git_blob_sha1": blob_sha1(content)}}
    values = card_values(files=files, steps=2, step_minutes=5)
    return DatasetCard.model_validate(values)


def files_below(root: Path) -> list[str]:
    """Names of all files but locks."""
    return sorted(p.name for p in root.rglob("*") if p.is_file() and p.name != ".lock")


def get(card: DatasetCard, root: Path, mirror: str | None = None) -> Path:
    """Fetch the only file of ``card``."""
    return fetch("toy", card, DataLayout(root), mirror)["series"]
