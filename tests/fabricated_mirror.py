"""Puts made-up raw files where a mirror has them, and pins a card to what was put there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stprune.data.card import DatasetCard, RemoteFile
from stprune.data.fetch import git_blob_sha1


def mirror_path(folder: Path, url: str) -> Path:
    """Where a mirror in ``folder`` has the file of ``url``; its folder is made."""
    parts = urlsplit(url)
    path = folder / parts.netloc / parts.path.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def real_file(url: str) -> Path | None:
    """The published file of ``url`` if the variable ``STPRUNE_MIRROR`` names a folder with it."""
    mirror = os.environ.get("STPRUNE_MIRROR", "")
    parts = urlsplit(url)
    path = Path(mirror) / parts.netloc / parts.path.lstrip("/")
    return path if mirror and path.is_file() else None


def adapted(card: DatasetCard, folder: Path, **changes: Any) -> DatasetCard:
    """The card with ``changes``, its remote files pinned to what lies in the mirror ``folder``."""
    values = card.model_dump(mode="json") | changes
    for role, file in card.files.items():
        if isinstance(file, RemoteFile):
            sha1 = git_blob_sha1(mirror_path(folder, file.url))
            values["files"][role]["git_blob_sha1"] = sha1
    return DatasetCard.model_validate(values)
