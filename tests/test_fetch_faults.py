"""What goes wrong on the way: a fetch continues, starts again, or says in one line what to do."""

from __future__ import annotations

import email.utils
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from web_site import IMPATIENT, Answer, Site, blob_sha1, card_of, files_below, get, serving

from stprune.base.errors import FetchError
from stprune.base.layout import DataLayout
from stprune.data.fetch import fetch

# Longer than several of the pieces of 64 KiB that a download is written in, and without a period.
LONG = b"".join(b"%d,%d\n" % (row, row * row % 997) for row in range(40_000))
OTHER = LONG.replace(b"9", b"8")
CUT = 200_000
ETAG = {"ETag": '"v1"'}


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.delenv("STPRUNE_MIRROR", raising=False)
    with serving() as server:
        yield server


def refusal(site: Site, root: Path, content: bytes = LONG, path: str = "/toy.csv") -> str:
    """The one line that a fetch fails with; nothing is taken for data then."""
    with pytest.raises(FetchError) as caught:
        get(card_of(site.url(path), content), root)
    message = str(caught.value)
    assert "\n" not in message
    assert "toy.csv" not in files_below(root)
    return message


def continued_at(site: Site, request: int = -1) -> int:
    """The byte from which a request asked for the rest."""
    wanted, _ = site.ranges[request]
    assert wanted is not None, "the whole file was asked for"
    return int(wanted.removeprefix("bytes=").removesuffix("-"))


def test_a_cut_connection_continues_where_it_was_cut(site: Site, tmp_path: Path) -> None:
    whole = Answer(LONG, ranges=True, headers=ETAG)
    site.answers["/toy.csv"] = [replace(whole, cut=CUT), whole]
    assert get(card_of(site.url("/toy.csv"), LONG), tmp_path).read_bytes() == LONG
    assert len(site.requests) == 2
    assert 0 < CUT - continued_at(site) <= 1 << 16
    assert site.ranges[1][1] == '"v1"'
    assert files_below(tmp_path) == ["toy.csv"]


def test_a_line_that_is_cut_again_and_again_gets_there(site: Site, tmp_path: Path) -> None:
    site.answers["/toy.csv"] = [Answer(LONG, ranges=True, headers=ETAG, cut=100_000)]
    assert get(card_of(site.url("/toy.csv"), LONG), tmp_path).read_bytes() == LONG
    assert len(site.requests) > 1 + IMPATIENT.retries, "each brought something new"


def test_the_next_process_continues(site: Site, tmp_path: Path) -> None:
    whole = Answer(LONG, ranges=True, headers=ETAG)
    site.answers["/toy.csv"] = [replace(whole, cut=CUT), Answer(b"busy", 503)]
    assert "answered 503" in refusal(site, tmp_path)
    assert files_below(tmp_path) == [".toy.csv.part", ".toy.csv.part.json"]
    site.answers["/toy.csv"] = [whole]
    assert get(card_of(site.url("/toy.csv"), LONG), tmp_path).read_bytes() == LONG
    assert continued_at(site) > 0
    assert files_below(tmp_path) == ["toy.csv"]


def test_a_file_that_changed_meanwhile_is_not_spliced(site: Site, tmp_path: Path) -> None:
    old = Answer(OTHER, ranges=True, headers=ETAG, cut=CUT)
    new = Answer(LONG, ranges=True, headers={"ETag": '"v2"'})
    site.answers["/toy.csv"] = [old, new]
    assert get(card_of(site.url("/toy.csv"), LONG), tmp_path).read_bytes() == LONG
    assert site.ranges[1][1] == '"v1"'
    assert len(site.requests) == 2, "the server answers a stale If-Range with the whole"


def test_a_server_that_splices_is_found_out(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    # No version to compare, and the same length: only the hash can tell.
    site.answers["/toy.csv"] = [Answer(OTHER, ranges=True, cut=CUT), Answer(LONG, ranges=True)]
    assert get(card_of(site.url("/toy.csv"), LONG), tmp_path).read_bytes() == LONG
    assert "put together from several answers; fetching it anew" in caplog.text
    assert len(site.requests) == 3


def test_a_weak_version_is_compared_but_not_sent(site: Site, tmp_path: Path) -> None:
    old = Answer(OTHER, ranges=True, headers={"ETag": 'W/"v1"'}, cut=CUT)
    site.answers["/toy.csv"] = [old, Answer(LONG, ranges=True, headers={"ETag": 'W/"v2"'})]
    assert get(card_of(site.url("/toy.csv"), LONG), tmp_path).read_bytes() == LONG
    assert [version for _, version in site.ranges] == [None, None, None]
    assert site.ranges[2][0] is None, "the part of another version was dropped"


def test_a_server_without_ranges_starts_over(site: Site, tmp_path: Path) -> None:
    site.answers["/toy.csv"] = [Answer(LONG, cut=CUT), Answer(LONG)]
    assert get(card_of(site.url("/toy.csv"), LONG), tmp_path).read_bytes() == LONG
    assert continued_at(site) > 0


@pytest.mark.parametrize(
    "said",
    [
        *("bytes 0-9/10", "bytes 65536-70000/999999", "nonsense", f"bytes 1-2/{len(LONG)}"),
        *("bytes ²-³/¹", f"bytes {'9' * 5000}-1/2"),
    ],
    ids=range(6),
)
def test_a_part_of_something_else_is_dropped(site: Site, tmp_path: Path, said: str) -> None:
    whole = Answer(LONG, ranges=True, headers=ETAG)
    site.answers["/toy.csv"] = [replace(whole, cut=CUT), replace(whole, content_range=said), whole]
    assert get(card_of(site.url("/toy.csv"), LONG), tmp_path).read_bytes() == LONG
    assert site.ranges[2][0] is None


def test_a_file_that_became_shorter_starts_over(site: Site, tmp_path: Path) -> None:
    short = LONG[:100_000]
    site.answers["/toy.csv"] = [
        Answer(LONG, ranges=True, cut=CUT),
        Answer(b"", ranges=True),
        Answer(short, ranges=True),
    ]
    assert get(card_of(site.url("/toy.csv"), short), tmp_path).read_bytes() == short
    assert site.ranges[2][0] is None


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"url": 1}', b"\xff", b'{"url": "URL", "etag": 5, "total": []}']
)
def test_a_damaged_note_of_a_partial_file_starts_over(
    site: Site, tmp_path: Path, damage: bytes
) -> None:
    folder = tmp_path / "raw" / "toy" / "series"
    folder.mkdir(parents=True)
    (folder / ".toy.csv.part").write_bytes(OTHER[:1000])
    note = damage.replace(b"URL", site.url("/toy.csv").encode())
    (folder / ".toy.csv.part.json").write_bytes(note)
    site.answers["/toy.csv"] = [Answer(LONG, ranges=True)]
    assert get(card_of(site.url("/toy.csv"), LONG), tmp_path).read_bytes() == LONG
    assert site.ranges == [(None, None)]


def test_the_part_of_a_mirror_is_not_continued_from_elsewhere(site: Site, tmp_path: Path) -> None:
    url = site.url("/toy.csv")
    site.answers[f"/mirror/{site.host}/toy.csv"] = [
        Answer(LONG, ranges=True, headers=ETAG, cut=CUT),
        Answer(b"gone", 404),
    ]
    site.answers["/toy.csv"] = [Answer(LONG, ranges=True, headers=ETAG)]
    path = get(card_of(url, LONG), tmp_path, site.url("/mirror"))
    assert path.read_bytes() == LONG
    assert site.ranges[-1] == (None, None)


def test_a_part_is_dropped_when_the_file_comes_from_elsewhere(site: Site, tmp_path: Path) -> None:
    site.answers["/toy.csv"] = [Answer(LONG, ranges=True, cut=CUT), Answer(b"busy", 503)]
    refusal(site, tmp_path / "data")
    path = tmp_path / "mirror" / site.host / "toy.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(LONG)
    card = card_of(site.url("/toy.csv"), LONG)
    assert get(card, tmp_path / "data", str(tmp_path / "mirror")).read_bytes() == LONG
    assert files_below(tmp_path / "data") == ["toy.csv"]


def test_right_size_and_wrong_hash(site: Site, tmp_path: Path) -> None:
    assert len(OTHER) == len(LONG)
    site.answers["/toy.csv"] = [Answer(OTHER, ranges=True, headers=ETAG)]
    message = refusal(site, tmp_path)
    assert f"wrong content: git blob SHA-1 {blob_sha1(OTHER)}" in message
    assert files_below(tmp_path) == [], "what is wrong is not continued"


def test_wrong_content_in_pieces_is_given_up(site: Site, tmp_path: Path) -> None:
    site.answers["/toy.csv"] = [Answer(OTHER, ranges=True, headers=ETAG, cut=CUT)]
    assert "wrong content" in refusal(site, tmp_path)
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("status", [404, 410])
def test_a_file_that_is_not_there(site: Site, tmp_path: Path, status: int) -> None:
    site.answers["/toy.csv"] = [Answer(b"", status)]
    message = refusal(site, tmp_path)
    assert f"answered {status}" in message
    assert str(tmp_path / "raw/toy/series/toy.csv") in message, "where to put it by hand"
    assert len(site.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_file_that_is_not_public(site: Site, tmp_path: Path, status: int) -> None:
    site.answers["/toy.csv"] = [Answer(b"", status)]
    assert "it is not public, or not from here" in refusal(site, tmp_path)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_busy_server_is_given_the_pause_it_asks_for(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, form: str
) -> None:
    asked = "7" if form == "seconds" else email.utils.formatdate(time.time() + 7, usegmt=True)
    site.answers["/toy.csv"] = [Answer(b"", status, headers={"Retry-After": asked}), Answer(LONG)]
    pauses: list[float] = []
    monkeypatch.setattr("stprune.data.transfer.time", SimpleNamespace(sleep=pauses.append))
    assert get(card_of(site.url("/toy.csv"), LONG), tmp_path).read_bytes() == LONG
    # A date has whole seconds, and some time has passed.
    assert pauses == pytest.approx([7.0], abs=0 if form == "seconds" else 2.0)


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_asks_for_a_long_pause_is_quoted(
    site: Site, tmp_path: Path, status: int
) -> None:
    site.answers["/toy.csv"] = [Answer(b"", status, headers={"Retry-After": "3600"})]
    message = refusal(site, tmp_path)
    assert f"answered {status}" in message
    assert "asks for 3600 s of pause, more than the 60 s that are waited; try again then" in message
    assert len(site.requests) == 1


@pytest.mark.parametrize("asked", ["soon", "-5", "Thu, 99 Foo 2030 00:00:00 GMT", "9" * 5000])
def test_a_pause_that_is_no_pause(site: Site, tmp_path: Path, asked: str) -> None:
    site.answers["/toy.csv"] = [Answer(b"", 503, headers={"Retry-After": asked}), Answer(LONG)]
    assert get(card_of(site.url("/toy.csv"), LONG), tmp_path).read_bytes() == LONG


def test_a_transfer_that_stalls_is_taken_up_again(site: Site, tmp_path: Path) -> None:
    whole = Answer(LONG, ranges=True, headers=ETAG)
    site.answers["/toy.csv"] = [replace(whole, stall=CUT), whole]
    network = replace(IMPATIENT, read_seconds=0.3)
    path = get(card_of(site.url("/toy.csv"), LONG), tmp_path, network=network)
    assert path.read_bytes() == LONG
    assert continued_at(site) > 0


def test_a_server_that_stalls_for_ever_is_named(site: Site, tmp_path: Path) -> None:
    site.answers["/toy.csv"] = [Answer(LONG, stall=10)]
    network = replace(IMPATIENT, read_seconds=0.2)
    with pytest.raises(FetchError, match=r"toy\.csv broke off \(timed out\)"):
        get(card_of(site.url("/toy.csv"), LONG), tmp_path, network=network)


def test_a_redirect_is_followed_to_the_end(site: Site, tmp_path: Path) -> None:
    whole = Answer(LONG, ranges=True, headers=ETAG)
    site.answers["/toy.csv"] = [Answer(b"", 302, headers={"Location": "/elsewhere"})]
    site.answers["/elsewhere"] = [replace(whole, cut=CUT), whole]
    path = get(card_of(site.url("/toy.csv"), LONG), tmp_path)
    assert path == tmp_path / "raw/toy/series/toy.csv"
    assert path.read_bytes() == LONG
    assert continued_at(site) > 0, "a redirect passes the request for the rest on"


def test_redirects_in_a_circle(site: Site, tmp_path: Path) -> None:
    site.answers["/toy.csv"] = [Answer(b"", 302, headers={"Location": "/again"})]
    site.answers["/again"] = [Answer(b"", 302, headers={"Location": "/toy.csv"})]
    assert "leads from redirect to redirect without end" in refusal(site, tmp_path)
    assert len(site.requests) == 31, "asked once: it does not pass"


@pytest.mark.parametrize("where", ["file:///etc/hostname", "ftp://example.org/toy.csv", "http://["])
def test_a_redirect_to_what_is_no_web_address(site: Site, tmp_path: Path, where: str) -> None:
    site.answers["/toy.csv"] = [Answer(b"", 302, headers={"Location": where})]
    assert "cannot be reached" in refusal(site, tmp_path)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<!DOCTYPE html><title>Sign in</title>", "a web page (HTML)"),
        (b"\xef\xbb\xbf\n  <HTML><body>Not found</body>", "a web page (HTML)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
    ],
    ids=["page", "page with BOM", "pointer"],
)
def test_a_page_in_place_of_the_file_is_called_that(
    site: Site, tmp_path: Path, body: bytes, words: str
) -> None:
    site.answers["/toy.csv"] = [Answer(body, headers={"Content-Type": "text/csv"})]
    message = refusal(site, tmp_path)
    assert words in message
    assert site.url("/toy.csv") in message
    assert files_below(tmp_path) == []


def test_a_disk_without_room_is_told_before_the_download(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.answers["/toy.csv"] = [Answer(LONG)]
    monkeypatch.setattr(
        "stprune.data.disk_space.shutil.disk_usage", lambda _: SimpleNamespace(free=1000)
    )
    message = refusal(site, tmp_path)
    assert f"has 1000 bytes free and {len(LONG)} are needed; make room there" in message
    assert files_below(tmp_path) == []


PROGRAM = """
import resource, sys
from pathlib import Path
from stprune.data.card import load_card
from stprune.data.fetch import fetch
from stprune.base.errors import StpruneError
from stprune.base.layout import DataLayout

root, limit = Path(sys.argv[1]), int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    fetch("toy", load_card("toy", root), DataLayout(root), "")
except StpruneError as error:
    sys.exit(str(error))
"""


def process(site: Site, root: Path, limit: int = 0) -> subprocess.Popen[str]:
    """A process that fetches, perhaps with a largest size of a file."""
    card = card_of(site.url("/toy.csv"), LONG).model_dump(mode="json")
    (root / "toy.yaml").write_text(yaml.safe_dump(card))
    command = [sys.executable, "-c", PROGRAM, str(root), str(limit)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_a_disk_that_fills_up_is_one_line_and_the_next_fetch_continues(
    site: Site, tmp_path: Path
) -> None:
    # The system refuses to write beyond a limit, as it does where a disk or a quota is full.
    site.answers["/toy.csv"] = [Answer(LONG, ranges=True, headers=ETAG)]
    with process(site, tmp_path, limit=150_000) as full:
        assert full.wait(60) == 1
        assert full.stderr is not None
        said = full.stderr.read().splitlines()
    assert len(said) == 1, said
    assert "File too large" in said[0]
    assert "make room" in said[0]
    assert "toy.csv" not in files_below(tmp_path)
    assert get(card_of(site.url("/toy.csv"), LONG), tmp_path).read_bytes() == LONG
    assert 0 < continued_at(site) <= 150_000


def test_a_fetch_that_is_killed_is_continued(site: Site, tmp_path: Path) -> None:
    whole = Answer(LONG, ranges=True, headers=ETAG)
    site.answers["/toy.csv"] = [replace(whole, stall=CUT), whole]
    part = tmp_path / "raw/toy/series/.toy.csv.part"
    with process(site, tmp_path) as killed:
        deadline = time.monotonic() + 60
        while not (part.is_file() and part.stat().st_size >= 1 << 16):
            assert time.monotonic() < deadline, "nothing arrived"
            time.sleep(0.02)
        os.kill(killed.pid, signal.SIGKILL)
        assert killed.wait(60) == -signal.SIGKILL
    assert "toy.csv" not in files_below(tmp_path)
    assert get(card_of(site.url("/toy.csv"), LONG), tmp_path).read_bytes() == LONG
    assert continued_at(site) >= 1 << 16
    assert files_below(tmp_path) == ["toy.csv", "toy.yaml"]


def test_processes_that_fetch_the_same_file_share_one_download(site: Site, tmp_path: Path) -> None:
    site.answers["/toy.csv"] = [Answer(LONG, slow=0.05)]
    card = card_of(site.url("/toy.csv"), LONG)
    # A fresh interpreter each: forking a process with threads is not safe.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        jobs = [pool.submit(fetch, "toy", card, DataLayout(tmp_path), "") for _ in range(2)]
        paths = {job.result()["series"] for job in jobs}
    assert [path.read_bytes() for path in paths] == [LONG]
    assert site.requests == ["/toy.csv"]


def test_a_compressed_answer_is_not_continued(site: Site, tmp_path: Path) -> None:
    import gzip

    packed = gzip.compress(LONG)
    headers = {"Content-Encoding": "gzip", **ETAG}
    cut = Answer(packed, ranges=True, headers=headers, cut=len(packed) - 10)
    site.answers["/toy.csv"] = [cut, Answer(packed, ranges=True, headers=headers)]
    assert get(card_of(site.url("/toy.csv"), LONG), tmp_path).read_bytes() == LONG
    assert site.ranges == [(None, None)] * 2


def test_the_note_names_the_address_and_the_version(site: Site, tmp_path: Path) -> None:
    site.answers["/toy.csv"] = [Answer(LONG, headers=ETAG, cut=CUT)]
    refusal(site, tmp_path)
    note = json.loads((tmp_path / "raw/toy/series/.toy.csv.part.json").read_text())
    expected = {"url": site.url("/toy.csv"), "etag": '"v1"', "total": len(LONG)}
    assert note == expected | {"whole_only": False}


WHIMS = st.builds(
    Answer,
    body=st.sampled_from([LONG, LONG, OTHER, LONG[:150_000], b"<html>"]),
    status=st.sampled_from([200, 200, 200, 503, 404]),
    headers=st.sampled_from([{}, ETAG, {"ETag": '"v2"'}, {"ETag": 'W/"v1"'}]),
    ranges=st.booleans(),
    cut=st.none() | st.integers(0, len(LONG)),
    content_range=st.sampled_from([None, None, None, "bytes 0-1/2", "?"]),
)


@given(whims=st.lists(WHIMS, min_size=1, max_size=5), fetches=st.integers(1, 3))
@settings(max_examples=40)
def test_whatever_a_server_does_data_are_right_or_absent(
    tmp_path_factory: pytest.TempPathFactory, whims: list[Answer], fetches: int
) -> None:
    root = tmp_path_factory.mktemp("whims")
    with serving() as site:
        site.answers["/toy.csv"] = whims
        card = card_of(site.url("/toy.csv"), LONG)
        for _ in range(fetches):
            told = ""
            try:
                path = get(card, root, "")
            except FetchError as error:
                told = str(error)
            if told:
                assert "\n" not in told
                assert "toy.csv" not in files_below(root)
            else:
                assert path.read_bytes() == LONG
                assert files_below(root) == ["toy.csv"]
