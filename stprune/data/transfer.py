"""Copies the content of one file from a place, a path or an address, with retries.

Requests and urllib3 do the work. Pooch would wrap them in a cache of its own, which cannot check
the SHA-1 that git gives a file's content; that check is the caller's.
"""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.util import Retry

TRANSIENT_STATUSES = (429, 500, 502, 503, 504)
CHUNK_BYTES = 1 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Network:
    """How patient a download is.

    Args:
        retries: Further attempts after a failure that may pass.
        backoff_seconds: The k-th pause between attempts lasts 2 ** k times this, in seconds
            (urllib3 makes the first retry at once).
        connect_seconds: Longest wait for a connection.
        read_seconds: Longest silence of the server while it answers.
    """

    retries: int = 3
    backoff_seconds: float = 1.0
    connect_seconds: float = 10.0
    read_seconds: float = 60.0


DEFAULT_NETWORK = Network()


class PlaceError(Exception):
    """A place that did not yield the file; the text names the place and says why."""


class AbsentError(PlaceError):
    """A place that is in order but does not have the file."""


class _InterruptedError(PlaceError):
    """A transfer that broke off in the middle."""


def transfer(place: Path | str, path: Path, progress: bool, network: Network) -> None:
    """Write what ``place`` holds to ``path``.

    Args:
        place: A path, or an address.
        path: Where to write.
        progress: Show a progress bar of a download, if standard error is a terminal.
        network: Timeouts and retries.

    Raises:
        PlaceError: If the place does not yield the content; ``path`` may be half written then.
        OSError: If ``path`` cannot be written.
    """
    if isinstance(place, Path):
        _copy(place, path)
    else:
        _download(place, path, progress, network)


def file_name(url: str) -> str:
    """The last part of the path of an address, perhaps empty."""
    return PurePosixPath(unquote(urlsplit(url).path)).name


def _copy(source: Path, path: Path) -> None:
    try:
        content = source.open("rb")
    except FileNotFoundError:
        raise AbsentError(f"the mirror has no {source}") from None
    except OSError as error:
        raise PlaceError(f"{source} cannot be read: {error}") from None
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file, CHUNK_BYTES)


def _download(url: str, path: Path, progress: bool, network: Network) -> None:
    """Write what ``url`` answers to ``path``.

    urllib3 retries until an answer begins; one that breaks off is asked for again from here.
    """
    retry = Retry(
        total=network.retries,
        backoff_factor=network.backoff_seconds,
        status_forcelist=TRANSIENT_STATUSES,
        raise_on_status=False,
        # A server may ask for hours; a user wants the error instead.
        respect_retry_after_header=False,
    )
    with requests.Session() as session:
        for prefix in ("http://", "https://"):
            session.mount(prefix, HTTPAdapter(max_retries=retry))
        for attempt in range(network.retries + 1):
            try:
                return _stream(session, url, path, progress, network)
            except _InterruptedError as error:
                if attempt == network.retries:
                    raise
                log.info("%s; trying again", error)
            time.sleep(network.backoff_seconds * 2**attempt)


def _stream(
    session: requests.Session, url: str, path: Path, progress: bool, network: Network
) -> None:
    timeout = (network.connect_seconds, network.read_seconds)
    # Stored bytes as they are: a compressed answer would make the length of the bar wrong.
    headers = {"Accept-Encoding": "identity"}
    try:
        response = session.get(url, stream=True, timeout=timeout, headers=headers)
    except requests.RequestException as error:
        raise PlaceError(f"{url} cannot be reached ({_root_cause(error)})") from None
    with response, path.open("wb") as file:
        if response.status_code != requests.codes.ok:
            kind = AbsentError if response.status_code in (404, 410) else PlaceError
            raise kind(f"{url} answered {response.status_code} {response.reason}")
        length = response.headers.get("Content-Length", "")
        bar = tqdm(
            desc=file_name(url),
            total=int(length) if length.isdigit() else None,
            unit="B",
            unit_scale=True,
            disable=None if progress else True,  # None: unless standard error is a terminal.
        )
        with bar:
            try:
                for chunk in response.iter_content(CHUNK_BYTES):
                    file.write(chunk)
                    bar.update(len(chunk))
            except requests.RequestException as error:
                raise _InterruptedError(f"{url} broke off ({_root_cause(error)})") from None


def _root_cause(error: BaseException) -> str:
    """What the system said, in one line, without the layers that libraries put around it."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return " ".join(str(error).split()) or type(error).__name__
