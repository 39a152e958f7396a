"""Raw files of a data set on Kaggle: in a directory that has them, or with the user's own account.

Kaggle gives its files no hash that could be known beforehand. Where the card has none either, a
file is what its loader finds it to be by size, names and times, and the prepared data set records
the SHA-256 of what it was made from.
"""

from __future__ import annotations

import importlib
import logging
import os
from pathlib import Path

from stprune.base.errors import FetchError
from stprune.data.canonical import sha256_of
from stprune.data.card import KaggleFile
from stprune.data.partial import Partial
from stprune.data.transfer import AbsentError, Network, PlaceError, download

HOST = "www.kaggle.com"
# What may hold a secret, and must not come out of a message of the client.
SECRETS = ("KAGGLE_KEY", "KAGGLE_API_TOKEN")

log = logging.getLogger(__name__)


def fetch_from_kaggle(
    dataset: str,
    file: KaggleFile,
    target: Path,
    base: Path | str | None,
    progress: bool,
    network: Network,
) -> Path:
    """Find one file; what lies in a directory or in the client's cache is used where it lies.

    Args:
        dataset: Id of the data set that needs it.
        file: Which file.
        target: Where the user may have put it, and where a download from a mirror goes.
        base: Mirror, or None: a directory that holds the file as ``www.kaggle.com/datasets/OWNER/
            NAME/FILE`` or as such; or a base URL, which is asked only for files with a hash.
        progress: Show a progress bar, if standard error is a terminal.
        network: Timeouts and retries.

    Returns:
        The file's path.

    Raises:
        FetchError: If the file is not to be had, or is not the one on the card.
        OSError: If ``target`` cannot be written.
    """
    problems: list[str] = []
    places = [target]
    if isinstance(base, Path):
        places += [base / HOST / "datasets" / file.kaggle / file.name, base / file.name]
    for place in places:
        if place.is_file():
            try:
                return _verified(place, file)
            except PlaceError as error:
                problems.append(str(error))
    if isinstance(base, str) and file.sha256 is not None:
        try:
            return _from_mirror(
                f"{base}/{HOST}/datasets/{file.kaggle}/{file.name}", file, target, progress, network
            )
        except PlaceError as error:
            level = logging.INFO if isinstance(error, AbsentError) else logging.WARNING
            log.log(level, "%s; trying Kaggle", error)
            problems.append(str(error))
    try:
        return _verified(_from_client(file), file)
    except PlaceError as error:
        problems.append(str(error))
    raise FetchError(
        f"cannot fetch {file.name} of {dataset}: {'; '.join(problems)}; or download it from"
        f" https://{HOST}/datasets/{file.kaggle} and name its directory by `mirror:`, or put it"
        f" at {target}"
    )


def _from_mirror(
    url: str, file: KaggleFile, target: Path, progress: bool, network: Network
) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Partial(target)
    download(url, partial, progress, network)
    try:
        _verified(partial.path, file)
    except PlaceError as error:
        partial.discard()
        raise PlaceError(f"{url}: {error}") from None
    partial.finish(target)
    return target


def _from_client(file: KaggleFile) -> Path:
    """Through ``kagglehub``, which resumes, checks what arrives, and keeps it in its cache."""
    try:
        client = importlib.import_module("kagglehub")
    except ImportError:
        raise PlaceError(
            "Kaggle wants an account: `pip install kagglehub`, make a token at"
            f" https://{HOST}/settings/api and set KAGGLE_API_TOKEN to it (or KAGGLE_USERNAME and"
            " KAGGLE_KEY)"
        ) from None
    log.info("asking Kaggle for %s of %s", file.name, file.kaggle)
    try:
        path = Path(client.dataset_download(file.kaggle, path=file.name))
    # The client has no base class of its errors, and those of its network library pass through.
    except Exception as error:
        raise PlaceError(
            f"Kaggle did not give it ({type(error).__name__}: {_without_secrets(str(error))}); is"
            f" KAGGLE_API_TOKEN set to a token of https://{HOST}/settings/api, and have you"
            " accepted the terms of the data set there?"
        ) from None
    if not path.is_file():
        raise PlaceError(f"Kaggle's client named {path}, where there is no file")
    return path


def _verified(path: Path, file: KaggleFile) -> Path:
    """The path, if its content is the one on the card, or the card does not know it."""
    if file.sha256 is not None and (found := sha256_of(path)) != file.sha256:
        raise PlaceError(f"{path} has the SHA-256 {found} instead of {file.sha256}")
    return path


def _without_secrets(message: str) -> str:
    """One line of a message, without what gives access to the account."""
    for name in SECRETS:
        if os.environ.get(name):
            message = message.replace(os.environ[name], "...")
    return " ".join(message.split())[:200]
