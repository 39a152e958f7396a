"""Fetching, against a server of our own: what arrives is right, or nothing arrives."""

from __future__ import annotations

import io
import logging
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from web_site import (
    CONTENT,
    IMPATIENT,
    Answer,
    Site,
    blob_sha1,
    card_of,
    files_below,
    get,
    serving,
)

from stprune.base.errors import ConfigError, FetchError
from stprune.base.layout import DataLayout
from stprune.data.fetch import fetch, git_blob_sha1
from stprune.data.transfer import Network

OTHER = CONTENT.replace(b"4", b"5")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.delenv("STPRUNE_MIRROR", raising=False)
    with serving() as server:
        yield server


def refused_url() -> str:
    """An address where nobody listens: what a machine without network sees."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/data/toy.csv"


def test_the_hash_is_what_git_says(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    assert git_blob_sha1(path) == blob_sha1(CONTENT)
    path.write_bytes(b"")
    # The well-known name of the empty blob.
    assert git_blob_sha1(path) == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def test_a_download_lands_under_its_role_and_name(site: Site, tmp_path: Path) -> None:
    site.answers["/o/r/toy%20data.csv"] = [Answer()]
    path = get(card_of(site.url("/o/r/toy%20data.csv")), tmp_path)
    assert path == tmp_path / "raw" / "toy" / "series" / "toy data.csv"
    assert path.read_bytes() == CONTENT
    assert files_below(tmp_path) == ["toy data.csv"]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("body", [CONTENT[:-7], OTHER, b""], ids=["short", "same size", "empty"])
def test_wrong_content_is_refused_and_removed(site: Site, tmp_path: Path, body: bytes) -> None:
    site.answers["/toy.csv"] = [Answer(body)]
    with pytest.raises(FetchError) as caught:
        get(card_of(site.url("/toy.csv")), tmp_path)
    message = str(caught.value)
    for part in (blob_sha1(CONTENT), blob_sha1(body), f"({len(body)} bytes)", "toy.csv"):
        assert part in message
    assert "\n" not in message
    assert files_below(tmp_path) == []


def test_a_missing_page_is_named(site: Site, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"/gone/toy\.csv answered 404 Not Found"):
        get(card_of(site.url("/gone/toy.csv")), tmp_path)
    assert site.requests == ["/gone/toy.csv"], "404 does not pass, so it is not asked twice"
    assert files_below(tmp_path) == []


def test_no_network_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STPRUNE_MIRROR", raising=False)
    url = refused_url()
    with pytest.raises(FetchError) as caught:
        get(card_of(url), tmp_path)
    message = str(caught.value)
    place = str(tmp_path / "raw" / "toy" / "series" / "toy.csv")
    for part in ("toy.csv of toy", url, "`mirror:`", "STPRUNE_MIRROR", place):
        assert part in message
    # What the system said, without what three libraries wrap around it.
    assert re.search(r"cannot be reached \(\[Errno \d+\] Connection refused\)", message)
    assert "\n" not in message


def test_a_file_put_there_by_hand_needs_no_network(tmp_path: Path) -> None:
    card = card_of(refused_url())
    path = DataLayout(tmp_path).raw("toy", "series", "toy.csv")
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert get(card, tmp_path) == path
    # Nothing is written, not even a lock: it may be a read-only disk.
    assert list(path.parent.iterdir()) == [path]


def test_a_wrong_file_put_there_by_hand_is_named_without_network(tmp_path: Path) -> None:
    path = DataLayout(tmp_path).raw("toy", "series", "toy.csv")
    path.parent.mkdir(parents=True)
    path.write_bytes(OTHER)
    with pytest.raises(FetchError, match=f"{path} has the wrong content: .*{blob_sha1(OTHER)}"):
        get(card_of(refused_url()), tmp_path, mirror="")


def test_a_damaged_file_is_fetched_again(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site.answers["/toy.csv"] = [Answer()]
    card = card_of(site.url("/toy.csv"))
    path = get(card, tmp_path)
    get(card, tmp_path)
    assert len(site.requests) == 1
    path.write_bytes(CONTENT[:100])
    get(card, tmp_path)
    assert path.read_bytes() == CONTENT
    assert len(site.requests) == 2
    assert f"{path} has the wrong content" in caplog.text
    assert "fetching it again" in caplog.text


def test_leftovers_of_a_killed_process_go(site: Site, tmp_path: Path) -> None:
    site.answers["/toy.csv"] = [Answer()]
    folder = tmp_path / "raw" / "toy" / "series"
    folder.mkdir(parents=True)
    (folder / ".toy.abc123.partial.csv").write_bytes(CONTENT[:10])
    get(card_of(site.url("/toy.csv")), tmp_path)
    assert files_below(tmp_path) == ["toy.csv"]


def test_a_transfer_that_breaks_off_leaves_no_data(site: Site, tmp_path: Path) -> None:
    site.answers["/toy.csv"] = [Answer(CONTENT[:5000], promised=len(CONTENT))]
    with pytest.raises(FetchError, match=r"toy\.csv broke off"):
        get(card_of(site.url("/toy.csv")), tmp_path)
    assert len(site.requests) == 1 + IMPATIENT.retries
    assert "toy.csv" not in files_below(tmp_path)


def test_an_interrupt_leaves_what_the_next_fetch_needs(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.answers["/toy.csv"] = [Answer()]

    def interrupted(*_: object) -> None:
        assert files_below(tmp_path), "the download should be under way"
        raise KeyboardInterrupt

    card = card_of(site.url("/toy.csv"))
    with monkeypatch.context() as patch:
        patch.setattr("stprune.data.fetch.git_blob_sha1", interrupted)
        with pytest.raises(KeyboardInterrupt):
            get(card, tmp_path)
    assert "toy.csv" not in files_below(tmp_path)
    assert get(card, tmp_path).read_bytes() == CONTENT
    assert files_below(tmp_path) == ["toy.csv"]
    assert site.requests == ["/toy.csv"], "all of it had arrived"


@pytest.mark.parametrize(
    "trouble",
    [Answer(b"busy", 503), Answer(b"slow down", 429), Answer(CONTENT[:99], promised=len(CONTENT))],
    ids=["503", "429", "broken off"],
)
def test_trouble_that_passes_is_retried(site: Site, tmp_path: Path, trouble: Answer) -> None:
    site.answers["/toy.csv"] = [trouble, Answer()]
    assert get(card_of(site.url("/toy.csv")), tmp_path).read_bytes() == CONTENT
    assert len(site.requests) == 2


def test_trouble_that_stays_is_an_error(site: Site, tmp_path: Path) -> None:
    site.answers["/toy.csv"] = [Answer(b"busy", 503)]
    with pytest.raises(FetchError, match="answered 503"):
        get(card_of(site.url("/toy.csv")), tmp_path)
    assert len(site.requests) == 1 + IMPATIENT.retries


def mirror_directory(root: Path, url: str, content: bytes) -> Path:
    """A mirror that holds ``content`` as HOST/PATH of ``url``."""
    path = root / url.removeprefix("http://")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_a_server_that_says_nothing_does_not_hold_us(tmp_path: Path) -> None:
    impatient = Network(retries=0, backoff_seconds=0.0, read_seconds=0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        card = card_of(f"http://127.0.0.1:{silent.getsockname()[1]}/toy.csv")
        with pytest.raises(FetchError, match="timed out"):
            fetch("toy", card, DataLayout(tmp_path), "", network=impatient)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_the_progress_bar_is_for_terminals_only(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stream: type[io.StringIO],
    wanted: bool,
) -> None:
    site.answers["/toy.csv"] = [Answer()]
    shown = stream()
    monkeypatch.setattr("sys.stderr", shown)
    fetch("toy", card_of(site.url("/toy.csv")), DataLayout(tmp_path), None, progress=wanted)
    assert ("toy.csv: 100%" in shown.getvalue()) == (wanted and stream is Terminal)
    assert bool(shown.getvalue()) == (wanted and stream is Terminal)


@pytest.mark.parametrize("how", ["argument", "variable", "relative", "home"])
def test_a_mirror_directory_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    url = refused_url()
    mirror_directory(tmp_path / "mirror", url, CONTENT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    # The argument wins over the variable.
    monkeypatch.setenv("STPRUNE_MIRROR", str(tmp_path / ("mirror" if how == "variable" else "no")))
    mirror = {"argument": str(tmp_path / "mirror"), "relative": "mirror", "home": "~/mirror"}
    assert get(card_of(url), tmp_path / "data", mirror.get(how)).read_bytes() == CONTENT


def test_a_mirror_directory_has_names_without_escapes(tmp_path: Path) -> None:
    url = refused_url().replace("toy.csv", "toy%20data.csv")
    mirror_directory(tmp_path / "mirror", url.replace("%20", " "), CONTENT)
    assert get(card_of(url), tmp_path / "data", str(tmp_path / "mirror")).name == "toy data.csv"


def test_a_mirror_url_comes_first(site: Site, tmp_path: Path) -> None:
    url = refused_url()
    site.answers["/base/" + url.removeprefix("http://")] = [Answer()]
    assert get(card_of(url), tmp_path, site.url("/base/")).read_bytes() == CONTENT


@pytest.mark.parametrize("kind", ["directory", "url"])
def test_a_mirror_without_the_file_falls_through(
    site: Site, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    url = site.url("/toy.csv")
    site.answers["/toy.csv"] = [Answer()]
    (tmp_path / "mirror").mkdir()
    mirror = str(tmp_path / "mirror") if kind == "directory" else site.url("/mirror")
    assert get(card_of(url), tmp_path / "data", mirror).read_bytes() == CONTENT
    assert f"trying {url}" in caplog.text
    assert [record.levelname for record in caplog.records if "trying" in record.message] == ["INFO"]


@pytest.mark.parametrize("kind", ["directory", "url", "unreachable"])
def test_a_bad_mirror_is_reported_and_the_address_tried(
    site: Site, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = site.url("/toy.csv")
    site.answers["/toy.csv"] = [Answer()]
    if kind == "directory":
        bad = str(mirror_directory(tmp_path / "mirror", url, OTHER))
        mirror = str(tmp_path / "mirror")
    elif kind == "url":
        site.answers[f"/mirror/{site.host}/toy.csv"] = [Answer(OTHER)]
        mirror = bad = site.url("/mirror")
    else:
        mirror = bad = refused_url()
    assert get(card_of(url), tmp_path / "data", mirror).read_bytes() == CONTENT
    warnings = [
        r.message for r in caplog.records if r.levelname == "WARNING" and r.name.startswith("stp")
    ]
    assert len(warnings) == 1
    assert bad in warnings[0]
    assert f"trying {url}" in warnings[0]


def test_without_network_the_mirror_that_lacks_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    with pytest.raises(FetchError, match=f"the mirror has no {tmp_path / 'mirror'}.*refused"):
        get(card_of(refused_url()), tmp_path / "data", str(tmp_path / "mirror"))


@pytest.mark.parametrize("mirror", ["nowhere", "ftp://host/data"])
def test_a_mirror_that_does_not_exist_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FetchError, match=rf"`{mirror}` \(`mirror`\) is not a directory"):
        get(card_of(refused_url()), tmp_path, mirror)
    monkeypatch.setenv("STPRUNE_MIRROR", mirror)
    with pytest.raises(FetchError, match=rf"`{mirror}` \(STPRUNE_MIRROR\)"):
        get(card_of(refused_url()), tmp_path)


def test_an_address_without_a_file_name_is_a_mistake_in_the_card(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not end in a file name"):
        get(card_of("https://example.org/"), tmp_path, mirror="")


def test_a_place_that_cannot_be_written_is_one_line(site: Site, tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("a file where a folder should be")
    with pytest.raises(FetchError, match="cannot be read or written"):
        get(card_of(site.url("/toy.csv")), tmp_path)
