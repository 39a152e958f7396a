"""A web server of our own for tests of fetching, which misbehaves as it is told."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

from stprune.base.layout import DataLayout
from stprune.data.card import DatasetCard
from stprune.data.fetch import fetch
from stprune.data.transfer import Network

CONTENT = b"1,2\n10,20\n30,40\n" * 1000
IMPATIENT = Network(retries=2, backoff_seconds=0.0, connect_seconds=5, read_seconds=5)


def blob_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob " + str(len(content)).encode() + b"\0" + content).hexdigest()  # noqa: S324


@dataclass
class Answer:
    """What the server says to one request.

    Args:
        body: The file.
        status: For the whole file.
        promised: Length that is announced, if it is not the true one: a connection that breaks.
        headers: Further ones.
        ranges: Whether a part that is asked for (Range) is given, as 206.
        cut: Bytes after which the connection is closed.
        stall: Bytes after which nothing comes any more, and the connection stays open.
        slow: Seconds between pieces of 64 KiB.
        content_range: What a 206 says instead of the truth.
    """

    body: bytes = CONTENT
    status: int = 200
    promised: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = False
    cut: int | None = None
    stall: int | None = None
    slow: float = 0.0
    content_range: str | None = None


@dataclass
class Site:
    """A web server; each path gives its answers in turn, the last one for ever."""

    host: str
    answers: dict[str, list[Answer]]
    requests: list[str]
    #: Of each request, ``Range`` and ``If-Range``.
    ranges: list[tuple[str | None, str | None]]

    def url(self, path: str) -> str:
        return f"http://{self.host}{path}"


@contextmanager
def serving() -> Iterator[Site]:
    """A site while the block lasts."""
    answers: dict[str, list[Answer]] = {}
    requests: list[str] = []
    ranges: list[tuple[str | None, str | None]] = []
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            ranges.append((self.headers["Range"], self.headers["If-Range"]))
            turns = answers.get(self.path, [Answer(b"", 404)])
            answer = turns.pop(0) if len(turns) > 1 else turns[0]
            try:
                self.tell(answer)
            except OSError:
                self.close_connection = True  # Whoever asked has gone.

        def tell(self, answer: Answer) -> None:
            first = self.first_byte(answer)
            body = answer.body[first or 0 :]
            if first is not None and not body:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(answer.body)}")
            elif first is not None:
                last, total = len(answer.body) - 1, len(answer.body)
                self.send_response(206)
                told = answer.content_range or f"bytes {first}-{last}/{total}"
                self.send_header("Content-Range", told)
            else:
                self.send_response(answer.status)
            self.send_header("Content-Length", str(answer.promised or len(body)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.send_body(answer, body)

        def first_byte(self, answer: Answer) -> int | None:
            """Where the part that is asked for begins; None for the whole."""
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
            version = self.headers["If-Range"]
            changed = version is not None and version != answer.headers.get("ETag")
            if not (answer.ranges and wanted) or changed:
                return None
            return int(wanted[1])

        def send_body(self, answer: Answer, body: bytes) -> None:
            stop = answer.cut if answer.stall is None else answer.stall
            body = body[:stop]
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
            yield Site(f"127.0.0.1:{server.server_port}", answers, requests, ranges)
    finally:
        closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def card_of(url: str, content: bytes = CONTENT) -> DatasetCard:
    """A card whose only raw file is ``content`` at ``url``."""
    return DatasetCard.model_validate(
        {
            "title": "Toy",
            "description": "Two sensors.",
            "format": "wide_csv",
            "files": {"series": {"url": url, "git_blob_sha1": blob_sha1(content)}},
            "licence": "none",
            "citation": "none",
            "nodes": 2,
            "steps": 2,
            "step_minutes": 5,
            "start": "2024-01-01T00:00",
            "channels": [{"name": "flow", "unit": "vehicles"}],
            "target": "flow",
            "mask_policy": "none",
        }
    )


def files_below(root: Path) -> list[str]:
    """Names of all files but locks."""
    return sorted(p.name for p in root.rglob("*") if p.is_file() and p.name != ".lock")


def get(
    card: DatasetCard, root: Path, mirror: str | None = None, network: Network = IMPATIENT
) -> Path:
    """Fetch the only file of ``card``."""
    return fetch("toy", card, DataLayout(root), mirror, network=network)["series"]
