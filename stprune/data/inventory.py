"""What of each data set is on this machine; looked at, not checked (``verify`` does that)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from stprune.base.layout import DataLayout
from stprune.data.card import DatasetCard, LocalFile, RawFile, RemoteFile
from stprune.data.fetch import raw_path
from stprune.data.local_file import local_path
from stprune.data.partial import Partial
from stprune.data.prepare import is_prepared


@dataclass(frozen=True)
class RawState:
    """One raw file.

    Args:
        role: Its role on the card.
        file: Its entry on the card.
        path: Where it lies, or will lie once it is fetched.
        size: Its bytes; None if it is not there.
        arrived: Bytes of a download under way.
    """

    role: str
    file: RawFile
    path: Path
    size: int | None
    arrived: int


def raw_states(dataset: str, card: DatasetCard, layout: DataLayout) -> list[RawState]:
    """The raw files of a card, in its order; none for a simulated data set."""
    states = []
    for role, file in card.files.items():
        if isinstance(file, LocalFile):
            path, arrived = local_path(file, layout), 0
        else:
            path = raw_path(dataset, role, file, layout)
            arrived = Partial(path).size
        size = path.stat().st_size if path.is_file() else None
        states.append(RawState(role, file, path, size, arrived))
    return states


def source(card: DatasetCard) -> str:
    """Where the raw files come from, in a few words."""
    names = {_host(file) for file in card.files.values()}
    return ", ".join(sorted(names)) or "simulated"


def state(dataset: str, card: DatasetCard, layout: DataLayout) -> str:
    """What is here: `prepared`, `fetched`, `partly fetched` or nothing, in words."""
    raw = raw_states(dataset, card, layout)
    there = sum(one.size is not None for one in raw)
    words = []
    if raw and there == len(raw):
        words.append("fetched")
    elif there or any(one.arrived for one in raw):
        words.append("partly fetched")
    if is_prepared(dataset, layout, layout.root):
        words.append("prepared")
    elif (layout.processed(dataset) / "meta.json").is_file():
        words.append("prepared from another card")
    return ", ".join(words) or "-"


def is_here(dataset: str, card: DatasetCard, layout: DataLayout) -> bool:
    """Whether anything of a data set is here that can be checked."""
    raw = any(one.size is not None for one in raw_states(dataset, card, layout))
    return raw or (layout.processed(dataset) / "meta.json").is_file()


def _host(file: RawFile) -> str:
    if isinstance(file, RemoteFile):
        parts = urlsplit(file.url)
        if parts.hostname == "raw.githubusercontent.com":
            return "/".join(["github.com", *parts.path.split("/")[1:3]])
        return parts.hostname or file.url
    return "own files" if isinstance(file, LocalFile) else "kaggle.com"
