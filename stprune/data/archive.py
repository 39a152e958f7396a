"""Takes single files out of zip and tar archives that may be meant to do harm.

The list of the archive is checked as a whole first: an archive with one entry that would lie
outside the folder it is unpacked in, or that unpacks to more than the limits below, is refused.
Nothing is ever written under a name that the archive chose.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, NoReturn

from stprune.base.errors import DataError, unknown_name_message
from stprune.base.files import atomic_path
from stprune.data.disk_space import require_room

MOST_ENTRIES = 10_000
MOST_BYTES = 64 << 30
# Tables of numbers shrink to a tenth, mostly empty matrices to a five-hundredth; what unpacks to
# more than LARGE_BYTES may be no more than this many times its packed size.
MOST_RATIO = 200
LARGE_BYTES = 1 << 30
PIECE_BYTES = 1 << 20
# The longest that a tar may make its reader hold in memory: headers are a few hundred bytes.
LONGEST_READ = 16 << 20
LONGEST_LINK = 4096

DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, RuntimeError, ValueError, OverflowError, MemoryError),
)


@dataclass(frozen=True)
class Entry:
    """One line of an archive's list.

    Args:
        name: As the archive spells it, with slashes.
        size: Bytes, unpacked.
        link: Where it leads, for a link.
        plain: Whether it is a file; else a folder or a link.
        encrypted: Whether it takes a password.
        source: The library's own object.
    """

    name: str
    size: int
    link: str | None
    plain: bool
    encrypted: bool
    source: Any


def take_member(archive: Path, member: str, target: Path) -> None:
    """Write the file ``member`` of ``archive`` to ``target``, whole or not at all.

    Raises:
        DataError: If the archive is damaged, meant to do harm, or does not hold such a file.
        FetchError: If the disk has no room for it.
        OSError: If ``target`` cannot be written.
    """
    with open_member(archive, member) as (content, size), atomic_path(target) as temporary:
        require_room(target.parent, size)
        written = 0
        with temporary.open("wb") as file:
            for piece in _pieces(archive, content):
                written += len(piece)
                file.write(piece)
        if written != size:
            _refuse(archive, f"its `{member}` has {written} bytes where its list says {size}")


def holds(archive: Path, member: str, path: Path) -> bool:
    """Whether ``path`` is byte for byte the file ``member`` of ``archive``.

    Raises:
        DataError: As ``take_member``.
        OSError: If ``path`` cannot be read.
    """
    with open_member(archive, member) as (content, size):
        if not path.is_file() or path.stat().st_size != size:
            return False
        with path.open("rb") as file:
            return all(piece == file.read(len(piece)) for piece in _pieces(archive, content))


@contextmanager
def open_member(archive: Path, member: str) -> Iterator[tuple[IO[bytes], int]]:
    """The content of the file ``member`` of ``archive``, and its size in bytes.

    Raises:
        DataError: If the archive is damaged, meant to do harm, or does not hold such a file.
        OSError: If the archive cannot be read.
    """
    with ExitStack() as stack:
        with _naming_damage(archive):
            if zipfile.is_zipfile(archive):
                opened: Any = stack.enter_context(zipfile.ZipFile(archive))
                entry = _find(archive, member, _checked(archive, _zip_entries(opened)))
                content: Any = opened.open(entry.source)
            else:
                opened = stack.enter_context(_open_tar(archive))
                entry = _find(archive, member, _checked(archive, _tar_entries(opened)))
                content = opened.extractfile(entry.source)
            stack.enter_context(content)
        yield content, entry.size


@contextmanager
def _naming_damage(archive: Path) -> Iterator[None]:
    """Turn what the libraries raise for a damaged archive into one line."""
    try:
        yield
    except DAMAGE as error:
        _refuse(archive, f"it is no zip or tar, or damaged ({error})")
    except OSError as error:
        # Without a number it comes from a decompressor, with EINVAL from a seek to nowhere.
        if error.errno not in (None, errno.EINVAL):
            raise
        _refuse(archive, f"it is no zip or tar, or damaged ({error})")


def _pieces(archive: Path, content: IO[bytes]) -> Iterator[bytes]:
    while True:
        with _naming_damage(archive):
            piece = content.read(PIECE_BYTES)
        if not piece:
            return
        yield piece


def _checked(archive: Path, entries: Iterable[Entry]) -> list[Entry]:
    """The whole list, if nothing in it is meant to do harm; it is not read further than that."""
    packed, total, kept = archive.stat().st_size, 0, []
    for entry in entries:
        kept.append(entry)
        total += entry.size
        if len(kept) > MOST_ENTRIES:
            _refuse(archive, f"it lists more than {MOST_ENTRIES} files")
        if total > MOST_BYTES:
            _refuse(archive, f"it unpacks to more than {MOST_BYTES >> 30} GiB")
        if total > LARGE_BYTES and total > MOST_RATIO * packed:
            _refuse(archive, f"it unpacks to more than {MOST_RATIO} times its size")
        if _leads_out(entry.name):
            _refuse(archive, f"its entry {entry.name!r} would lie outside of its folder")
        if entry.link is not None and _leads_out(entry.link):
            _refuse(archive, f"its link {entry.name!r} leads out of its folder, to {entry.link!r}")
    return kept


def _leads_out(name: str) -> bool:
    """Whether a path in an archive, however spelt, may be absolute or climb out."""
    depth, parts = 0, name.replace("\\", "/").split("/")
    for part in parts:
        depth += {"": 0, ".": 0, "..": -1}.get(part, 1)
        if depth < 0:
            return True
    return parts[0] == "" or parts[0][1:2] == ":" or "\0" in name


def _find(archive: Path, member: str, entries: list[Entry]) -> Entry:
    found = [entry for entry in entries if _tidy(entry.name) == _tidy(member)]
    if not found:
        names = [_tidy(entry.name) for entry in entries if entry.plain][:20]
        raise DataError(unknown_name_message("member", member, names, str(archive)))
    if len(found) > 1:
        _refuse(archive, f"it holds {len(found)} entries named `{member}`")
    if not found[0].plain:
        _refuse(archive, f"its `{member}` is a folder or a link, where a file is meant")
    if found[0].encrypted:
        _refuse(archive, f"its `{member}` is encrypted; unpack it yourself with the password")
    return found[0]


def _tidy(name: str) -> str:
    return str(PurePosixPath(name))


def _zip_entries(opened: zipfile.ZipFile) -> Iterator[Entry]:
    for info in opened.infolist():
        link = None
        if stat.S_ISLNK(info.external_attr >> 16):
            with opened.open(info) as file:
                text = file.read(LONGEST_LINK).decode("utf-8", "replace")
            link = _seen_from_top(info.filename, text)
        plain = link is None and not info.is_dir()
        yield Entry(info.filename, info.file_size, link, plain, bool(info.flag_bits & 1), info)


def _tar_entries(opened: tarfile.TarFile) -> Iterator[Entry]:
    for info in opened:
        link = info.linkname if info.islnk() else None
        if info.issym():
            link = _seen_from_top(info.name, info.linkname)
        # Sparse files may declare holes of any size, devices and pipes are no data.
        plain = info.isreg() and not info.issparse()
        if not (plain or info.isdir() or link is not None):
            raise tarfile.TarError(f"{info.name!r} is neither a plain file nor a folder nor a link")
        yield Entry(info.name, info.size, link, plain, False, info)


def _seen_from_top(name: str, link: str) -> str:
    """Where a symbolic link leads, seen from the top of the archive and not from its own folder."""
    return link if link.startswith(("/", "\\")) else f"{PurePosixPath(name).parent}/{link}"


class _Guarded(io.RawIOBase):
    """A stream that refuses to hand out more in one piece than a well-meant header is long."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LONGEST_READ:
            raise tarfile.TarError(f"a header of {size} bytes")
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        self._stream.close()
        super().close()


@contextmanager
def _open_tar(archive: Path) -> Iterator[tarfile.TarFile]:
    with archive.open("rb") as file:
        start = file.read(6)
    openers = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
    opener: Any = next((o for magic, o in openers.items() if start.startswith(magic)), open)
    with (
        _Guarded(opener(archive, "rb")) as stream,
        tarfile.open(fileobj=stream, mode="r:") as opened,
    ):
        yield opened


def _refuse(archive: Path, why: str) -> NoReturn:
    reason = " ".join(why.split())
    raise DataError(f"{archive} is refused: {reason}")
