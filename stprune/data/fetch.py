"""Fetches raw files: from a mirror first, else from their address, checked by their hash.

A file is checked before it gets its name, so that whatever lies below ``raw/`` is complete and the
file of the card. A download that breaks off is tried again from its first byte.
"""

import hashlib
import itertools
import logging
import os
import shutil
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stprune.base.errors import DataError, FetchError
from stprune.base.files import atomic_path, folder_lock
from stprune.base.layout import DataLayout
from stprune.data.canonical import sha256_of
from stprune.data.card import DatasetCard, KaggleFile, LocalFile, RawFile, RemoteFile, raw_paths

MIRROR_VARIABLE = "STPRUNE_MIRROR"
KAGGLE = "www.kaggle.com"
TRIES = 4
# The pause before the second try; it doubles each time.
PAUSE_SECONDS = 1.0
# To connect, and until the next bytes arrive.
TIMEOUT_SECONDS = (10.0, 60.0)
TRANSIENT_STATUSES = (429, 500, 502, 503, 504)

# A path, an address, or a file of Kaggle to be had through its client.
Place = Path | str | KaggleFile

log = logging.getLogger(__name__)


def fetch(
    dataset: str, card: DatasetCard, layout: DataLayout, mirror: str | None
) -> dict[str, Path]:
    """Make sure that all raw files of a data set are on this machine, and return their paths.

    Files of Kaggle in a directory or in the cache of its client, and the user's own, are used where
    they are. ``mirror`` is a directory or base URL that holds files as ``HOST/PATH`` of their
    address; None takes the variable ``STPRUNE_MIRROR``, ``""`` is none.
    """
    # A simulated data set needs no mirror.
    base = resolve_mirror(mirror) if card.files else None
    return {
        role: fetch_file(dataset, card.files[role], path, base)
        for role, path in raw_paths(dataset, card, layout).items()
    }


def resolve_mirror(mirror: str | None) -> Path | str | None:
    """The mirror to use: a directory, a base URL without a slash at its end, or None."""
    chosen = os.environ.get(MIRROR_VARIABLE, "") if mirror is None else mirror
    if not chosen:
        return None
    if chosen.lower().startswith(("http://", "https://")):
        return chosen.rstrip("/")
    directory = Path(chosen).expanduser().absolute()
    if not directory.is_dir():
        raise FetchError(f"the mirror `{chosen}` is neither a directory nor an address")
    return directory


def git_blob_sha1(path: Path) -> str:
    """The SHA-1 that git gives the content of a file, as ``git hash-object`` prints it."""
    # Git's choice; it tells files apart and keeps no secret.
    start = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: start).hexdigest()


def content_problem(path: Path, file: RawFile, pinned: str | None = None) -> str | None:
    """How a file differs from the hash on its card, or from ``pinned``; None if it does not."""
    if isinstance(file, RemoteFile):
        kind, wanted, digest = "git blob SHA-1", file.git_blob_sha1, git_blob_sha1
    else:
        kind, wanted, digest = "SHA-256", file.sha256 or pinned or "", sha256_of
    if not wanted or (found := digest(path)) == wanted:
        return None
    return f"{kind} {found} ({path.stat().st_size} bytes) instead of {wanted}"


def check_local_file(dataset: str, file: LocalFile, path: Path) -> None:
    """Raise a DataError if a file of the user's own is not the one that the card was made from."""
    try:
        problem = content_problem(path, file)
    except OSError as error:
        raise DataError(f"{path} of {dataset} cannot be read: {error.strerror or error}") from None
    if problem:
        advice = f"put it back, or make the card anew: `stprune data add {dataset} --replace ...`"
        raise DataError(f"{path} has changed since the card was made: {problem}; {advice}")


def fetch_file(dataset: str, file: RawFile, target: Path, base: Path | str | None) -> Path:
    """The path of one raw file, ``target`` unless it is used where a place has it."""
    if isinstance(file, LocalFile):
        check_local_file(dataset, file, target)
        return target
    # Without the lock first, which needs a disk that can be written to.
    if target.is_file() and not content_problem(target, file):
        return target
    problems = []
    with folder_lock(target.parent):
        # What is there is damaged, or was fetched by another process in the meantime.
        for place in [target] * target.is_file() + _places(file, base):
            try:
                return _take(place, target, file)
            except FetchError as error:
                problems.append(str(error))
                log.warning("%s", error)
    page = f" of https://{KAGGLE}/datasets/{file.kaggle}" if isinstance(file, KaggleFile) else ""
    advice = f"name a mirror by `mirror:` or {MIRROR_VARIABLE}, or put the file{page} at {target}"
    raise FetchError(f"cannot fetch {target.name} of {dataset}: {'; '.join(problems)}; {advice}")


def _places(file: RemoteFile | KaggleFile, base: Path | str | None) -> list[Place]:
    """Where to look, in order: in a mirror, then at the source itself."""
    if isinstance(file, RemoteFile):
        path = urlsplit(file.url).netloc + urlsplit(file.url).path
        mirrored = base / unquote(path) if isinstance(base, Path) else f"{base}/{path}"
        return [mirrored, file.url] if base else [file.url]
    path = f"{KAGGLE}/datasets/{file.kaggle}/{file.name}"
    if isinstance(base, Path):
        # As a mirror lays files out, and as the archive of Kaggle unpacks.
        return [base / path, base / file.name, file]
    # Without a hash, an error page of a web mirror would pass for the file.
    return [f"{base}/{path}", file] if base and file.sha256 else [file]


def _take(place: Place, target: Path, file: RemoteFile | KaggleFile) -> Path:
    """The file from one place, or a FetchError if it is not there with the right content."""
    if isinstance(place, KaggleFile):
        place = _ask_kaggle(place)
    if isinstance(place, Path) and not os.access(place, os.R_OK):
        raise FetchError(f"{place} does not exist or cannot be read")
    # LargeST, on Kaggle, has 7 GB: it is used where it is.
    in_place = isinstance(place, Path) and (place == target or isinstance(file, KaggleFile))
    with nullcontext(Path(str(place))) if in_place else atomic_path(target) as path:
        if isinstance(place, str):
            _download(place, path)
        elif not in_place:
            shutil.copyfile(place, path)
        if problem := content_problem(path, file):
            raise FetchError(f"{place} has the wrong content: {problem}")
    return path if in_place else target


def _download(url: str, path: Path) -> None:
    """Write what ``url`` answers to ``path``; trouble that may pass is waited for."""
    import pooch
    import requests
    from requests.exceptions import ChunkedEncodingError

    get = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        chunk_size=1 << 20,
        timeout=TIMEOUT_SECONDS,
        headers={"Accept-Encoding": "identity"},
    )
    passing = (requests.ConnectionError, requests.Timeout, ChunkedEncodingError)
    for attempt in itertools.count(1):
        try:
            get(url, str(path), None)
            return
        except (requests.RequestException, ValueError) as error:
            answer = getattr(error, "response", None)
            problem, passes = f"cannot be fetched: {_root_cause(error)}", isinstance(error, passing)
            if isinstance(answer, requests.Response):
                problem = f"answered {answer.status_code} {answer.reason}"
                passes = answer.status_code in TRANSIENT_STATUSES
                answer.close()
        if attempt >= TRIES or not passes:
            raise FetchError(f"{url} {problem}")
        time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))


def _ask_kaggle(file: KaggleFile) -> Path:
    """The file in the cache of Kaggle's client, which downloads it with the user's account."""
    advice = f"`pip install kagglehub`, set a token of https://{KAGGLE}/settings/api as"
    advice += " KAGGLE_API_TOKEN, and accept the terms of the data set there"
    try:
        import kagglehub

        return Path(kagglehub.dataset_download(file.kaggle, path=file.name))
    # The client has no base class of its errors, and those of its network library pass through.
    except Exception as error:
        said = f"{type(error).__name__}: {_root_cause(error)}"
        # A message of the client could quote the user's secret.
        for name in ("KAGGLE_KEY", "KAGGLE_API_TOKEN"):
            said = said.replace(os.environ.get(name) or "\0", "...")
        raise FetchError(f"Kaggle did not give it ({said[:200]}): {advice}") from None


def _root_cause(error: BaseException) -> str:
    """What the system said, in one line, without the layers that libraries put around it."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return " ".join(str(error).split()) or type(error).__name__
