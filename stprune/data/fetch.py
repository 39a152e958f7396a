"""Fetches raw files, from a mirror first and else from their address, verified by hash.

The check stands before a file gets its name, so what a fetch leaves below ``raw/`` is whole and
is what was asked for.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from stprune.base.errors import ConfigError, FetchError
from stprune.base.files import atomic_path, folder_lock
from stprune.base.layout import DataLayout
from stprune.data.archive import holds, take_member
from stprune.data.card import DatasetCard, KaggleFile, LocalFile, RemoteFile
from stprune.data.disk_space import unwritable
from stprune.data.kaggle import fetch_from_kaggle
from stprune.data.local_file import verified_local_file
from stprune.data.partial import Partial
from stprune.data.transfer import (
    DEFAULT_NETWORK,
    AbsentError,
    Network,
    PlaceError,
    copy,
    download,
    file_name,
)

MIRROR_VARIABLE = "STPRUNE_MIRROR"
HASH_BYTES = 1 << 20

log = logging.getLogger(__name__)


def fetch(
    dataset: str,
    card: DatasetCard,
    layout: DataLayout,
    mirror: str | None,
    progress: bool = False,
    network: Network = DEFAULT_NETWORK,
) -> dict[str, Path]:
    """Make sure that all raw files of a data set are there, and say where.

    A file that is there with the right hash costs no network. Processes that fetch the same
    file at the same time wait for each other.

    Args:
        dataset: Id of the data set.
        card: Its card.
        layout: Where data lie.
        mirror: Directory or base URL that holds files as ``HOST/PATH`` of their address, tried
            before the address; None takes the variable ``STPRUNE_MIRROR``, ``""`` is no mirror.
        progress: Show a progress bar, if standard error is a terminal.
        network: Timeouts and retries.

    Returns:
        The path of each role's file.

    Raises:
        FetchError: If a file is to be had nowhere, or only with the wrong content, or cannot be
            written, or the mirror does not exist.
    """
    base = resolve_mirror(mirror)
    found: dict[str, Path] = {}
    for role, remote in card.files.items():
        if isinstance(remote, LocalFile):
            found[role] = verified_local_file(dataset, remote, layout)
            continue
        target = raw_path(dataset, role, remote, layout)
        try:
            if isinstance(remote, KaggleFile):
                with folder_lock(target.parent):
                    found[role] = fetch_from_kaggle(
                        dataset, remote, target, base, progress, network
                    )
                continue
            _fetch_file(dataset, remote, target, base, progress, network)
            found[role] = _unpacked(dataset, role, remote, target, layout)
        except OSError as error:
            raise unwritable(target, error) from None
    return found


def raw_path(dataset: str, role: str, remote: RemoteFile | KaggleFile, layout: DataLayout) -> Path:
    """Where a fetched file lies: below its role, and where others find it that need the same one.

    Those are the other roles of an archive, and the other cards of a data set on Kaggle.

    Raises:
        ConfigError: If the address does not end in a file name.
    """
    if isinstance(remote, KaggleFile):
        return layout.raw("kaggle.com", remote.kaggle, remote.name)
    name = file_name(remote.url)
    if name in ("", ".."):
        raise ConfigError(f"the address {remote.url} does not end in a file name")
    folder = role if remote.member is None else f"archive-{remote.git_blob_sha1[:12]}"
    return layout.raw(dataset, folder, name)


def unpacked_path(dataset: str, role: str, member: str, layout: DataLayout) -> Path:
    """Where the file that a role takes out of an archive lies."""
    return layout.raw(dataset, role, PurePosixPath(member).name)


def git_blob_sha1(path: Path) -> str:
    """The SHA-1 that git gives the content of a file, as ``git hash-object`` prints it."""
    # git chose SHA-1; here it tells files apart, nothing is kept secret by it.
    digest = hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as file:
        digest.update(b"blob %d\0" % os.fstat(file.fileno()).st_size)
        while chunk := file.read(HASH_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def resolve_mirror(mirror: str | None) -> Path | str | None:
    """The mirror to use: a directory, a base URL without a slash at its end, or None.

    Raises:
        FetchError: If it is neither a directory that exists nor an http(s) URL.
    """
    chosen = os.environ.get(MIRROR_VARIABLE, "") if mirror is None else mirror
    source = MIRROR_VARIABLE if mirror is None else "`mirror`"
    if not chosen:
        return None
    if chosen.lower().startswith(("http://", "https://")):
        return chosen.rstrip("/")
    directory = Path(os.path.expanduser(chosen)).absolute()
    if "://" in chosen or not directory.is_dir():
        raise FetchError(
            f"the mirror `{chosen}` ({source}) is not a directory that exists"
            " and not an http:// or https:// address"
        )
    return directory


def _fetch_file(
    dataset: str,
    remote: RemoteFile,
    target: Path,
    base: Path | str | None,
    progress: bool,
    network: Network,
) -> None:
    # Without the lock first: good files on a read-only disk must do.
    if target.is_file() and git_blob_sha1(target) == remote.git_blob_sha1:
        return
    problems: list[str] = []
    with folder_lock(target.parent):
        if target.is_file():
            try:
                return _verify(target, target, remote)
            except PlaceError as error:
                log.warning("%s; fetching it again", error)
                problems.append(str(error))
        # Nobody else writes here while the lock is held, so these belong to killed processes.
        for leftover in target.parent.glob(".*.partial*"):
            leftover.unlink(missing_ok=True)
        for place in _places(remote.url, base):
            try:
                _bring(place, target, remote, progress, network)
            except PlaceError as error:
                problems.append(str(error))
                if place != remote.url:
                    level = logging.INFO if isinstance(error, AbsentError) else logging.WARNING
                    log.log(level, "%s; trying %s", error, remote.url)
            else:
                log.info("fetched %s from %s", target.name, place)
                # Perhaps begun from an address before a mirror had it.
                return Partial(target).discard()
    raise FetchError(
        f"cannot fetch {target.name} of {dataset}: {'; '.join(problems)}; give a mirror by"
        f" `mirror:` or {MIRROR_VARIABLE}, or put the file at {target} yourself"
    )


def _bring(
    place: Path | str, target: Path, remote: RemoteFile, progress: bool, network: Network
) -> None:
    """Make ``target`` from one place, once its content is known to be right."""
    if isinstance(place, Path):
        with atomic_path(target) as temporary:
            copy(place, temporary)
            _verify(temporary, place, remote)
        return
    partial = Partial(target)
    for again in (True, False):
        download(place, partial, progress, network)
        try:
            _verify(partial.path, place, remote)
        except PlaceError as error:
            pieced = partial.spliced
            partial.discard()
            if not (again and pieced):
                raise
            log.info("%s, put together from several answers; fetching it anew", error)
        else:
            return partial.finish(target)


def _verify(path: Path, place: Path | str, remote: RemoteFile) -> None:
    """Check the content of ``path``, which came from ``place``."""
    found = git_blob_sha1(path)
    if found == remote.git_blob_sha1:
        return
    kind = _kind_of_stranger(path)
    if kind is not None:
        raise PlaceError(f"{place} has {kind} instead of the file")
    raise PlaceError(
        f"{place} has the wrong content: git blob SHA-1 {found}"
        f" ({path.stat().st_size} bytes) instead of {remote.git_blob_sha1}"
    )


def _kind_of_stranger(path: Path) -> str | None:
    """What a file is that is often given in place of another, in words."""
    with path.open("rb") as file:
        start = file.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page (HTML), perhaps one to log in or of an error: look at it in a browser,"
    if start.startswith(b"version https://git-lfs."):
        return "a pointer of Git LFS: fetch the file itself with `git lfs pull` there,"
    return None


def _unpacked(
    dataset: str, role: str, remote: RemoteFile, fetched: Path, layout: DataLayout
) -> Path:
    """The file that a role means: what was fetched, or a member of it, which is taken out."""
    if remote.member is None:
        return fetched
    target = unpacked_path(dataset, role, remote.member, layout)
    # As when fetching: what is there must do on a disk that cannot be written.
    if not holds(fetched, remote.member, target):
        with folder_lock(target.parent):
            take_member(fetched, remote.member, target)
    return target


def _places(url: str, base: Path | str | None) -> list[Path | str]:
    """Where to look, in order: a path in a mirror directory, or an address."""
    if base is None:
        return [url]
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if isinstance(base, Path):
        return [base / host / unquote(parts.path).lstrip("/"), url]
    return [f"{base}/{host}{parts.path}", url]
