"""Raw files of the user's own: where they lie, and that they are what the card was made from."""

from __future__ import annotations

from pathlib import Path

from stprune.base.errors import DataError
from stprune.base.layout import DataLayout
from stprune.data.canonical import sha256_of
from stprune.data.card import DatasetCard, LocalFile


def local_path(file: LocalFile, layout: DataLayout) -> Path:
    """The file's path: absolute as it stands, else below the data directory."""
    return layout.root / Path(file.path).expanduser()


def local_paths(card: DatasetCard, layout: DataLayout) -> list[Path]:
    """The user's own files of a card that are there now."""
    files = [file for file in card.files.values() if isinstance(file, LocalFile)]
    return [path for path in (local_path(file, layout) for file in files) if path.is_file()]


def refuse_changed(dataset: str, card: DatasetCard, layout: DataLayout, since: Path) -> None:
    """Let no file of the user's own be another one than the data set was made of.

    Only files newer than ``since`` are read: the others were verified when it was written.

    Raises:
        DataError: If a file has changed, or cannot be read.
    """
    for file in card.files.values():
        if isinstance(file, LocalFile):
            path = local_path(file, layout)
            if path.is_file() and path.stat().st_mtime_ns > since.stat().st_mtime_ns:
                verified_local_file(dataset, file, layout)


def verified_local_file(dataset: str, file: LocalFile, layout: DataLayout) -> Path:
    """The path of a file, once its content is known to be the one on the card.

    Raises:
        DataError: If the file is not there, cannot be read, or has changed.
    """
    path = local_path(file, layout)
    try:
        found = sha256_of(path)
    except OSError as error:
        raise DataError(f"{path} of {dataset} cannot be read: {error.strerror or error}") from None
    if found != file.sha256:
        raise DataError(
            f"{path} has changed since the card of {dataset} was made: SHA-256 {found} instead of"
            f" {file.sha256}; put the old file back, or make the card anew with"
            f" `stprune data add {dataset} --replace ...`"
        )
    return path
