"""Brings the content of one file from a place, a path or an address; a download can continue.

Requests does the work. Pooch would wrap it in a cache of its own, which can neither continue a
download nor check the SHA-1 that git gives a file's content; that check is the caller's.
"""

from __future__ import annotations

import logging
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

import requests
from tqdm import tqdm
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from stprune.data.disk_space import require_room
from stprune.data.partial import Origin, Partial

TRANSIENT_STATUSES = (429, 500, 502, 503, 504)
COPY_BYTES = 1 << 20
# What a broken connection costs at most: urllib3 forgets the piece that did not arrive whole.
PIECE_BYTES = 1 << 16
# A pause that is asked for is read up to this, in seconds; nobody waits that long here.
LONGEST_PAUSE = 10**7
SIZE = "[0-9]{1,18}"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Network:
    """How patient a download is.

    Args:
        retries: Failures that may pass, in a row and without a new byte, before giving up; the
            first attempt is not one.
        backoff_seconds: The k-th pause between attempts lasts 2 ** (k - 1) times this.
        connect_seconds: Longest wait for a connection.
        read_seconds: Longest silence of the server while it answers.
        longest_pause_seconds: A server that is busy may ask for a pause (``Retry-After``); one
            that asks for more than this is given up.
    """

    retries: int = 3
    backoff_seconds: float = 1.0
    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    longest_pause_seconds: float = 60.0


DEFAULT_NETWORK = Network()


class PlaceError(Exception):
    """A place that did not yield the file; the text names the place and says why."""


class AbsentError(PlaceError):
    """A place that is in order but does not have the file."""


class _PassingError(PlaceError):
    """A failure that may pass, after a pause of so many seconds if the server asked for one."""

    def __init__(self, message: str, pause: float = 0.0) -> None:
        super().__init__(message)
        self.pause = pause


def copy(source: Path, path: Path) -> None:
    """Copy the file of a mirror to ``path``.

    Raises:
        PlaceError: If the mirror does not have it or it cannot be read.
        OSError: If ``path`` cannot be written.
    """
    try:
        content = source.open("rb")
    except FileNotFoundError:
        raise AbsentError(f"the mirror has no {source}") from None
    except OSError as error:
        raise PlaceError(f"{source} cannot be read: {error}") from None
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file, COPY_BYTES)


def file_name(url: str) -> str:
    """The last part of the path of an address, perhaps empty."""
    return PurePosixPath(unquote(urlsplit(url).path)).name


def download(url: str, partial: Partial, progress: bool, network: Network) -> None:
    """Bring what ``url`` answers, from where an earlier download of it broke off.

    Args:
        url: The address.
        partial: Where the bytes go; whole when this returns, unchecked.
        progress: Show a progress bar, if standard error is a terminal.
        network: Timeouts and retries.

    Raises:
        PlaceError: If the address does not yield the content; what has arrived is kept.
        FetchError: If the disk has no room for it.
        OSError: If it cannot be written.
    """
    furthest, failures = partial.size, 0
    with requests.Session() as session:
        while True:
            try:
                return _attempt(session, url, partial, progress, network)
            except _PassingError as error:
                # A bad line that yields a piece each time gets there in the end.
                if partial.size > furthest:
                    furthest, failures = partial.size, 0
                failures += 1
                if error.pause > network.longest_pause_seconds:
                    raise PlaceError(
                        f"{error} and asks for {error.pause:.0f} s of pause, more than the"
                        f" {network.longest_pause_seconds:.0f} s that are waited; try again then"
                    ) from None
                if failures > network.retries:
                    raise
                pause = max(error.pause, network.backoff_seconds * 2 ** (failures - 1))
                log.info("%s; trying again in %.0f s", error, pause)
            time.sleep(pause)


def _attempt(
    session: requests.Session, url: str, partial: Partial, progress: bool, network: Network
) -> None:
    known = partial.origin(url)
    if known is not None and known.total == partial.size:
        # All of it had arrived when the process was killed; the hash will tell.
        partial.spliced = True
        return
    # Stored bytes as they are: pieces of a compressed answer cannot be put together.
    headers = {"Accept-Encoding": "identity"}
    if known is not None:
        headers["Range"] = f"bytes={partial.size}-"
        if known.strong_etag:
            headers["If-Range"] = known.strong_etag
    timeout = (network.connect_seconds, network.read_seconds)
    try:
        response = session.get(url, stream=True, timeout=timeout, headers=headers)
    except requests.TooManyRedirects:
        raise PlaceError(f"{url} leads from redirect to redirect without end") from None
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _PassingError(f"{url} cannot be reached ({_root_cause(error)})") from None
    except (requests.RequestException, ValueError) as error:  # ValueError: a nonsense redirect.
        raise PlaceError(f"{url} cannot be reached ({_root_cause(error)})") from None
    with response:
        _refuse_failures(url, response)
        whole = response.status_code == requests.codes.ok
        known = _origin_of(url, response) if whole else _continued(url, response, partial, known)
        require_room(partial.path.parent, (known.total or 0) - partial.size)
        file = partial.begin(known) if whole else partial.extend()
        with file:
            _write(response, url, file, known.total, progress)
    if known.total is not None and partial.size < known.total:
        raise _PassingError(f"{url} broke off after {partial.size} of {known.total} bytes")


def _refuse_failures(url: str, response: requests.Response) -> None:
    """Let only the whole file (200) or the rest of it (206) pass, or 416."""
    status = response.status_code
    if status in (requests.codes.ok, requests.codes.partial, 416):
        return
    said = f"{url} answered {status} {response.reason}"
    if status in TRANSIENT_STATUSES:
        raise _PassingError(said, _pause_asked_for(response))
    if status in (401, 403):
        raise PlaceError(f"{said}: it is not public, or not from here")
    raise (AbsentError if status in (404, 410) else PlaceError)(said)


def _pause_asked_for(response: requests.Response) -> float:
    """Seconds of ``Retry-After``, given as a number or as a date; 0 if there is none."""
    try:
        asked = Retry(retry_after_max=LONGEST_PAUSE).get_retry_after(response.raw)
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0
    return float(asked or 0.0)


def _origin_of(url: str, response: requests.Response) -> Origin:
    length = response.headers.get("Content-Length", "")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        # The length is that of the compressed answer, which cannot be continued.
        return Origin(url=url, whole_only=True)
    total = int(length) if re.fullmatch(SIZE, length) else None
    return Origin(url=url, etag=response.headers.get("ETag"), total=total)


def _continued(
    url: str, response: requests.Response, partial: Partial, known: Origin | None
) -> Origin:
    """What the rest belongs to; if not to what is there, drop that and begin again."""
    given = response.headers.get("Content-Range", "")
    found = re.fullmatch(rf"bytes ({SIZE})-{SIZE}/({SIZE}|\*)", given)
    etag = response.headers.get("ETag")
    if known is not None and found and int(found[1]) == partial.size:
        total = None if found[2] == "*" else int(found[2])
        same_size = None in (total, known.total) or total == known.total
        if same_size and (None in (etag, known.etag) or etag == known.etag):
            return Origin(url=url, etag=known.etag, total=total or known.total)
    if known is None:
        raise PlaceError(f"{url} answered with a part of the file, which nobody asked for")
    position = partial.size
    partial.discard()
    raise _PassingError(f"{url} cannot continue at byte {position} (it says `{given}`)")


def _write(
    response: requests.Response, url: str, file: BinaryIO, total: int | None, progress: bool
) -> None:
    bar = tqdm(
        desc=file_name(url),
        total=total,
        initial=file.tell(),
        unit="B",
        unit_scale=True,
        disable=None if progress else True,  # None: unless standard error is a terminal.
    )
    with bar:
        try:
            for piece in response.iter_content(PIECE_BYTES):
                file.write(piece)
                bar.update(len(piece))
        except requests.RequestException as error:
            raise _PassingError(f"{url} broke off ({_root_cause(error)})") from None


def _root_cause(error: BaseException) -> str:
    """What the system said, in one line, without the layers that libraries put around it."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return " ".join(str(error).split()) or type(error).__name__
