"""Fetching, against a server of our own: what arrives is right, or nothing arrives."""

import hashlib
import io
import logging
import multiprocessing
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy import card_values

from stprune.base.errors import DataError, FetchError
from stprune.base.layout import DataLayout
from stprune.data import fetch as module
from stprune.data.card import DatasetCard, KaggleFile, LocalFile, local_paths
from stprune.data.fetch import fetch

CONTENT = b"1,2\n10,20\n30,40\n" * 1000


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
    try:
        yield Site(f"127.0.0.1:{server.server_port}", answers, requests)
    finally:
        closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def card_of(url: str, content: bytes = CONTENT) -> DatasetCard:
    """A card whose only raw file is ``content`` at ``url``."""
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324
    files = {"series": {"url": url, "git_blob_sha1": blob}}
    return DatasetCard.model_validate(card_values(files=files))


def files_below(root: Path) -> list[str]:
    """Names of all files but locks."""
    return sorted(p.name for p in root.rglob("*") if p.is_file() and p.name != ".lock")


def get(card: DatasetCard, root: Path, mirror: str | None = None) -> Path:
    """Fetch the only file of ``card``."""
    return fetch("toy", card, DataLayout(root), mirror)["series"]


OTHER = CONTENT.replace(b"4", b"5")
PLACE = "raw/toy/series/toy.csv"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, mirror or account of this machine, and no pauses."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    for name in ("STPRUNE_MIRROR", "KAGGLE_KEY", "KAGGLE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as server:
        yield server


def refused_url() -> str:
    """An address where nobody listens: what a machine without network sees."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/data/toy.csv"


def refusal(card: DatasetCard, root: Path, mirror: str = "") -> str:
    """The one line that a fetch fails with; it leaves nothing behind."""
    before = files_below(root)
    with pytest.raises(FetchError) as caught:
        get(card, root, mirror)
    assert files_below(root) == before
    return str(caught.value)


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_download_lands_under_its_role_and_name(site, tmp_path, monkeypatch):
    site.answers["/o/r/toy%20data.csv"] = [Answer()]
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", shown)
    card = card_of(site.url("/o/r/toy%20data.csv"))
    path = fetch("toy", card, DataLayout(tmp_path), None)["series"]
    assert path == tmp_path / "raw" / "toy" / "series" / "toy data.csv"
    assert path.read_bytes() == CONTENT
    assert files_below(tmp_path) == ["toy data.csv"]
    assert "100%" in shown.getvalue()


def test_without_network_or_mirror_the_message_says_what_to_do(tmp_path):
    url = refused_url()
    message = refusal(card_of(url), tmp_path)
    for part in (url, "`mirror:`", "STPRUNE_MIRROR", str(tmp_path / PLACE)):
        assert part in message
    for mirror in ("nowhere", "ftp://host/data"):
        assert mirror in refusal(card_of(url), tmp_path, mirror)


@pytest.mark.parametrize(
    ("answer", "requests"),
    [
        (Answer(CONTENT[:-7]), 1),
        (Answer(b"", 404), 1),
        (Answer(b"busy", 503), module.TRIES),
        (Answer(cut=5000), module.TRIES),
        (Answer(stall=100), module.TRIES),
        (Answer(b"", 302, headers={"Location": "file:///etc/hostname"}), 1),
        (Answer(b"", 302, headers={"Location": "/toy.csv"}), 31),
    ],
)
def test_only_trouble_that_may_pass_is_tried_again(site, tmp_path, monkeypatch, answer, requests):
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", (1.0, 0.1))
    site.answers["/toy.csv"] = [answer]
    assert site.url("/toy.csv") in refusal(card_of(site.url("/toy.csv")), tmp_path)
    assert len(site.requests) == requests
    if requests == module.TRIES:
        site.answers["/toy.csv"] = [answer, Answer()]
        assert get(card_of(site.url("/toy.csv")), tmp_path).read_bytes() == CONTENT


def test_a_file_that_is_there_needs_no_network_and_a_damaged_one_is_fetched_again(site, tmp_path):
    card, path = card_of(site.url("/toy.csv")), put(tmp_path / PLACE)
    assert get(card, tmp_path) == path
    # Nothing is written, not even a lock: it may be a read-only disk.
    assert list(path.parent.iterdir()) == [path]
    put(path, OTHER)
    assert f"{path} has the wrong content" in refusal(card, tmp_path)
    site.answers["/toy.csv"] = [Answer()]
    put(path.parent / ".toy.abc123.partial.csv", b"left by a killed process")
    assert get(card, tmp_path).read_bytes() == CONTENT
    assert files_below(tmp_path) == ["toy.csv"]


@pytest.mark.parametrize("mirror", ["mirror", "~/mirror", None])
def test_a_mirror_directory_comes_first(tmp_path, monkeypatch, mirror):
    url = refused_url().replace("toy.csv", "toy%20data.csv")
    put(tmp_path / "mirror" / url.removeprefix("http://").replace("%20", " "))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    # The argument wins over the variable.
    monkeypatch.setenv("STPRUNE_MIRROR", str(tmp_path / ("no" if mirror else "mirror")))
    assert get(card_of(url), tmp_path / "data", mirror).read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["url", "lacks it", "wrong", "url wrong", "down"])
def test_a_mirror_is_tried_before_the_address(site, tmp_path, kind, caplog):
    url = site.url("/toy.csv")
    folder = put(tmp_path / "mirror" / site.host / "toy.csv", OTHER).parents[1]
    answers = {"url": Answer(), "url wrong": Answer(OTHER)}
    site.answers |= {"/toy.csv": [Answer()], f"/base/{site.host}/toy.csv": [Answer(b"", 404)]}
    if kind in answers:
        site.answers[f"/base/{site.host}/toy.csv"] = [answers[kind]]
    mirrors = {"lacks it": str(tmp_path), "wrong": str(folder), "down": refused_url()}
    mirror = mirrors.get(kind, site.url("/base"))
    assert get(card_of(url), tmp_path / "data", mirror).read_bytes() == CONTENT
    # Whatever kept the mirror's file from being used is said.
    assert ("/toy.csv" in site.requests) == (mirror in caplog.text) == (kind != "url")


def test_processes_that_fetch_the_same_file_share_one_download(site, tmp_path):
    site.answers["/toy.csv"] = [Answer(CONTENT * 20, slow=0.05)]
    card = card_of(site.url("/toy.csv"), CONTENT * 20)
    # A fresh interpreter each: forking a process with threads is not safe.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        jobs = [pool.submit(fetch, "toy", card, DataLayout(tmp_path), "") for _ in range(2)]
        assert {job.result()["series"].read_bytes() for job in jobs} == {CONTENT * 20}
    assert site.requests == ["/toy.csv"]


WHIMS = st.builds(
    Answer,
    body=st.sampled_from([CONTENT, CONTENT, OTHER, CONTENT[:9000], b"<html>"]),
    status=st.sampled_from([200, 200, 200, 503, 404]),
    cut=st.none() | st.integers(0, len(CONTENT)),
)


@given(whims=st.lists(WHIMS, min_size=1, max_size=5))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_server_does_data_are_right_or_absent(tmp_path_factory, whims):
    root = tmp_path_factory.mktemp("whims")
    with serving() as site:
        site.answers["/toy.csv"] = whims
        try:
            assert get(card_of(site.url("/toy.csv")), root).read_bytes() == CONTENT
        except FetchError:
            assert files_below(root) == []


# Files of Kaggle.
TOKEN = "KGAT_not_a_token_of_anyone"  # noqa: S105
KAGGLE_PLACE = "www.kaggle.com/datasets/liuxu77/largest/ca_meta.csv"


def card_with(file: KaggleFile | LocalFile) -> DatasetCard:
    return card_of("https://example.org/a").model_copy(update={"files": {"series": file}})


def kaggle_card(sha256: str | None = None) -> DatasetCard:
    return card_with(KaggleFile(kaggle="liuxu77/largest", name="ca_meta.csv", sha256=sha256))


def client(answer: Path | Exception) -> ModuleType:
    """Stands in for `kagglehub`: a cache in a folder, or an error."""

    def dataset_download(handle: str, path: str) -> str:
        assert (handle, path) == ("liuxu77/largest", "ca_meta.csv")
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    made = ModuleType("kagglehub")
    made.__dict__["dataset_download"] = dataset_download
    return made


def test_a_file_of_kaggle_is_used_where_it_is(tmp_path, monkeypatch):
    data = tmp_path / "data"
    target = data / "raw/kaggle.com/liuxu77/largest/ca_meta.csv"
    message = refusal(kaggle_card(), data)
    for part in ("pip install kagglehub", "KAGGLE_API_TOKEN", "`mirror:`", str(target)):
        assert part in message
    # As a mirror lays them out, as the archive of Kaggle unpacks, and in the client's cache.
    for name in (f"mirror/{KAGGLE_PLACE}", "unpacked/ca_meta.csv", "cache/ca_meta.csv"):
        path = put(tmp_path / name)
        mirror = str(tmp_path / name.split("/")[0])
        if name.startswith("cache"):
            monkeypatch.setitem(sys.modules, "kagglehub", client(path))
            mirror = ""
        assert get(kaggle_card(), data, mirror) == path
        with pytest.raises(FetchError, match=str(path)):
            get(kaggle_card("0" * 64), data, mirror)
    # Put where the message says, for all cards of the data set.
    put(target)
    assert get(kaggle_card(SHA256), data, "") == target


def test_a_mirror_by_address_serves_what_a_hash_can_check(site, tmp_path):
    site.answers[f"/{KAGGLE_PLACE}"] = [Answer()]
    # Without a hash an error page would be taken for data.
    refusal(kaggle_card(), tmp_path, site.url(""))
    assert get(kaggle_card(SHA256), tmp_path, site.url("")).read_bytes() == CONTENT
    site.answers[f"/{KAGGLE_PLACE}"] = [Answer(b"<!doctype html>")]
    refusal(kaggle_card(SHA256), tmp_path / "other", site.url(""))


def test_a_client_that_fails_is_one_line_without_the_token(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    caplog.set_level(logging.DEBUG)
    for answer in (PermissionError(f"403 Forbidden\nfor {TOKEN}"), Path("/absent/ca_meta.csv")):
        monkeypatch.setitem(sys.modules, "kagglehub", client(answer))
        assert TOKEN not in refusal(kaggle_card(), tmp_path) + caplog.text


def test_a_file_of_the_users_own_is_used_where_it_is(tmp_path):
    path = put(tmp_path / "own" / "a.csv")
    for written in (str(path), "own/a.csv"):
        card = card_with(LocalFile(path=written, sha256=SHA256))
        assert get(card, tmp_path) == path
    # The workflow makes the data set anew after one of these.
    assert local_paths(card, DataLayout(tmp_path)) == [path]
    for change in (lambda: put(path, OTHER), path.unlink):
        change()
        with pytest.raises(DataError, match=str(path)):
            get(card, tmp_path)
