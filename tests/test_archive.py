"""Archives: one file is taken out; what is meant to do harm is refused in one line."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from web_site import Answer, blob_sha1, card_of, files_below, get, serving

from stprune.base.errors import ConfigError, DataError, FetchError
from stprune.base.schema import validate
from stprune.data import archive as module
from stprune.data.archive import holds, take_member
from stprune.data.card import DatasetCard

CONTENT = b"".join(b"%d,%d\n" % (row, row * row % 997) for row in range(30_000))
FILES = {"readme.txt": b"see data/", "data/series.csv": CONTENT, "data/empty.csv": b""}


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return buffer.getvalue()


def tarred(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as opened:
        for info, content in entries:
            opened.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def entry(name: str, content: bytes = b"", **changes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, content


def plain_tar(files: dict[str, bytes]) -> bytes:
    return tarred(*(entry(name, content) for name, content in files.items()))


KINDS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "zip": zipped,
    "stored.zip": lambda files: zipped(files, zipfile.ZIP_STORED),
    "bz2.zip": lambda files: zipped(files, zipfile.ZIP_BZIP2),
    "tar": plain_tar,
    "tar.gz": lambda files: gzip.compress(plain_tar(files)),
    "tar.bz2": lambda files: bz2.compress(plain_tar(files)),
    "tar.xz": lambda files: lzma.compress(plain_tar(files)),
}


def refusal(content: bytes, folder: Path, member: str = "data/series.csv") -> str:
    """The one line with which an archive is refused; nothing is written then."""
    source = folder / "packed"
    source.write_bytes(content)
    with pytest.raises(DataError) as caught:
        take_member(source, member, folder / "out" / "series.csv")
    message = str(caught.value)
    assert "\n" not in message
    assert str(source) in message
    assert files_below(folder) == ["packed"]
    return message


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_taken_out_whole(tmp_path: Path, kind: str) -> None:
    source = tmp_path / f"packed.{kind}"
    source.write_bytes(KINDS[kind](FILES))
    for member, content in FILES.items():
        target = tmp_path / "out" / Path(member).name
        assert not holds(source, member, target)
        take_member(source, member, target)
        assert target.read_bytes() == content
        assert holds(source, member, target)
    target.write_bytes(b"x")
    assert not holds(source, member, target)
    series = tmp_path / "out" / "series.csv"
    series.write_bytes(CONTENT[:-2] + b"9\n")
    assert not holds(source, "data/series.csv", series), "same size, other content"


def test_names_may_begin_with_a_dot(tmp_path: Path) -> None:
    (tmp_path / "packed").write_bytes(plain_tar({"./data/series.csv": CONTENT}))
    take_member(tmp_path / "packed", "data/series.csv", tmp_path / "series.csv")
    assert (tmp_path / "series.csv").read_bytes() == CONTENT


OUTSIDE = (
    *("../evil", "data/../../evil", "/etc/evil", "C:/evil", "C:evil"),
    *("..\\evil", "\\\\host\\share", "data\\..\\..\\evil"),
)


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str, kind: str) -> None:
    files = {**FILES, name: b"harm"}
    assert "would lie outside of its folder" in refusal(KINDS[kind](files), tmp_path)


@pytest.mark.parametrize("link", ["../../etc/passwd", "/etc/passwd", "..\\..\\evil"])
@pytest.mark.parametrize("kind", ["symbolic", "hard", "zip"])
def test_links_that_lead_out_are_refused(tmp_path: Path, link: str, kind: str) -> None:
    if kind == "zip":
        info = zipfile.ZipInfo("data/link")
        info.external_attr = 0o120777 << 16
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as opened:
            opened.writestr("data/series.csv", CONTENT)
            opened.writestr(info, link)
        content = buffer.getvalue()
    else:
        of_kind = tarfile.SYMTYPE if kind == "symbolic" else tarfile.LNKTYPE
        content = tarred(
            entry("data/series.csv", CONTENT), entry("data/link", type=of_kind, linkname=link)
        )
    assert "'data/link' leads out of its folder" in refusal(content, tmp_path)


def test_a_link_within_is_no_harm_and_no_file(tmp_path: Path) -> None:
    link = entry("data/link", type=tarfile.SYMTYPE, linkname="../data/series.csv")
    content = tarred(entry("data/series.csv", CONTENT), link)
    assert "`data/link` is a folder or a link" in refusal(content, tmp_path, "data/link")
    take_member(tmp_path / "packed", "data/series.csv", tmp_path / "series.csv")
    assert (tmp_path / "series.csv").read_bytes() == CONTENT


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE])
def test_devices_and_pipes_are_refused(tmp_path: Path, kind: bytes) -> None:
    content = tarred(entry("data/series.csv", CONTENT), entry("data/odd", type=kind))
    assert "is refused" in refusal(content, tmp_path)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_too_many_entries_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 2)
    assert "lists more than 2 files" in refusal(KINDS[kind](FILES), tmp_path)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_too_much_unpacked_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", len(CONTENT))
    assert "unpacks to more than" in refusal(KINDS[kind](FILES), tmp_path)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_bomb_is_refused_before_it_goes_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(module, "LARGE_BYTES", 1 << 20)
    bomb = KINDS[kind]({"data/series.csv": bytes(4 << 20)})
    assert "unpacks to more than 200 times its size" in refusal(bomb, tmp_path)


def test_a_tar_with_a_header_that_fills_the_memory_is_refused(tmp_path: Path) -> None:
    # A long name of 1 TiB: an ordinary reader would ask for that much memory.
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    content = gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))
    assert "a header of" in refusal(content, tmp_path)


def test_a_size_that_lies_is_found_out(tmp_path: Path) -> None:
    packed = bytearray(zipped({"data/series.csv": CONTENT}))
    # Uncompressed size in the local header (offset 22) and in the central directory (24 there).
    directory = packed.rindex(b"PK\x01\x02")
    for offset in (22, directory + 24):
        assert struct.unpack_from("<I", packed, offset)[0] == len(CONTENT)
        struct.pack_into("<I", packed, offset, 1000)
    assert "is refused" in refusal(bytes(packed), tmp_path)


def test_an_encrypted_file_is_named(tmp_path: Path) -> None:
    packed = bytearray(zipped({"data/series.csv": CONTENT}))
    for offset in (6, packed.rindex(b"PK\x01\x02") + 8):
        packed[offset] |= 1
    assert "`data/series.csv` is encrypted" in refusal(bytes(packed), tmp_path)


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    content = tarred(entry("data/series.csv", CONTENT), entry("./data/series.csv", b"other"))
    assert "holds 2 entries named `data/series.csv`" in refusal(content, tmp_path)


def test_a_missing_member_is_named_with_the_nearest(tmp_path: Path) -> None:
    message = refusal(zipped(FILES), tmp_path, "data/serie.csv")
    assert "unknown member `data/serie.csv`" in message
    assert "did you mean `data/series.csv`?" in message


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", bytes(1000), b"\x1f\x8b", b"BZh9", b"PK"])
def test_what_is_no_archive_is_called_that(tmp_path: Path, content: bytes) -> None:
    refusal(content, tmp_path)


@given(data=st.data(), kind=st.sampled_from(sorted(KINDS)))
@settings(max_examples=150)
def test_damage_is_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    small = {"data/series.csv": CONTENT[:2000], "readme.txt": b"see data/"}
    content = bytearray(KINDS[kind](small))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(1, len(content))) :]
    (folder / "packed").write_bytes(bytes(content))
    target = folder / "out.csv"
    told: list[DataError] = []
    try:
        take_member(folder / "packed", "data/series.csv", target)
    except DataError as error:
        told.append(error)
    if told:
        assert "\n" not in str(told[0])
        assert not target.exists()
    else:
        # A zip has a checksum of each file; a plain tar has none, which is why cards have one.
        assert target.read_bytes() == small["data/series.csv"] or not kind.endswith("zip")


def member_card(url: str, content: bytes) -> DatasetCard:
    """A card that takes two files from one archive."""
    card = card_of(url, content)
    series = card.files["series"].model_copy(update={"member": "data/series.csv"})
    other = series.model_copy(update={"member": "readme.txt"})
    return card.model_copy(update={"files": {"series": series, "other": other}})


def test_a_card_takes_files_from_one_download(tmp_path: Path) -> None:
    packed = zipped(FILES)
    with serving() as site:
        site.answers["/all.zip"] = [Answer(packed)]
        card = member_card(site.url("/all.zip"), packed)
        series = get(card, tmp_path, "")
        assert site.requests == ["/all.zip"]
        assert series == tmp_path / "raw/toy/series/series.csv"
        assert series.read_bytes() == CONTENT
        assert (tmp_path / "raw/toy/other/readme.txt").read_bytes() == FILES["readme.txt"]
        folder = f"archive-{blob_sha1(packed)[:12]}"
        assert (tmp_path / "raw/toy" / folder / "all.zip").read_bytes() == packed
        # What was damaged since is taken out again, without network.
        series.write_bytes(CONTENT[:-1])
        assert get(card, tmp_path, "").read_bytes() == CONTENT
        assert site.requests == ["/all.zip"]


def test_an_archive_without_the_file_is_one_line(tmp_path: Path) -> None:
    packed = zipped({"other.csv": b"1"})
    with serving() as site:
        site.answers["/all.zip"] = [Answer(packed)]
        with pytest.raises(DataError, match=r"unknown member `data/series.csv` in .*all\.zip"):
            get(member_card(site.url("/all.zip"), packed), tmp_path, "")


def test_a_disk_without_room_for_the_file_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "packed").write_bytes(zipped(FILES))

    class Usage:
        free = 1000

    monkeypatch.setattr("stprune.data.disk_space.shutil.disk_usage", lambda _: Usage)
    with pytest.raises(FetchError, match=f"has 1000 bytes free and {len(CONTENT)} are needed"):
        take_member(tmp_path / "packed", "data/series.csv", tmp_path / "series.csv")
    assert files_below(tmp_path) == ["packed"]


@pytest.mark.parametrize("member", ["", "..", "data/..", "data/", "."])
def test_a_member_that_is_no_file_name_is_a_mistake_in_the_card(member: str) -> None:
    values = card_of("https://example.org/all.zip").model_dump(mode="json")
    values["files"]["series"]["member"] = member
    with pytest.raises(ConfigError, match="member"):
        validate(DatasetCard, values, "the card")
