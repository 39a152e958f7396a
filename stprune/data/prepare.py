"""From a card to a canonical data set: fetch, load, write; nothing if that was done before."""

from __future__ import annotations

import logging
from pathlib import Path

from stprune.base.errors import DataError
from stprune.base.files import folder_lock
from stprune.base.layout import DataLayout
from stprune.base.text import read_json_file
from stprune.data.canonical import sha256_of, write_canonical
from stprune.data.card import CARD_DIRECTORY, DatasetCard, LocalFile, load_card, raw_paths
from stprune.data.fetch import check_local_file, fetch
from stprune.data.formats.base import load_raw

log = logging.getLogger(__name__)


def prepare(
    dataset: str,
    layout: DataLayout,
    mirror: str | None = None,
    progress: bool = False,
    cards: Path = CARD_DIRECTORY,
) -> Path:
    """Make the canonical data set, unless it was made from the same card before; its folder.

    Raises:
        ConfigError: If there is no such card, or it does not follow the schema.
        DataError: If a raw file is not to be had or not what the card says.
    """
    card = load_card(dataset, cards)
    directory = layout.processed(dataset)
    if _made_from(card, directory):
        # The user's own files may have changed since; the others are pinned, and may be gone.
        prepared = (directory / "meta.json").stat().st_mtime_ns
        for role, path in raw_paths(dataset, card, layout).items():
            file, changed = card.files[role], path.is_file() and path.stat().st_mtime_ns > prepared
            if changed and isinstance(file, LocalFile):
                check_local_file(dataset, file, path)
        return directory
    try:
        with folder_lock(directory):
            # Another process may have prepared it while this one waited.
            if not _made_from(card, directory):
                files = fetch(dataset, card, layout, mirror, progress)
                log.info("loading %s", dataset)
                raw = load_raw(card, files)
                # Not every raw file has a hash on its card.
                found = {role: sha256_of(path) for role, path in files.items()}
                write_canonical(raw, card, directory, found)
    except OSError as error:
        raise DataError(f"{dataset} cannot be prepared in {directory}: {error}") from None
    return directory


def is_prepared(dataset: str, layout: DataLayout, cards: Path = CARD_DIRECTORY) -> bool:
    """Whether the canonical data set is there, complete, and made from the present card."""
    return _made_from(load_card(dataset, cards), layout.processed(dataset))


def _made_from(card: DatasetCard, directory: Path) -> bool:
    path = directory / "meta.json"
    try:
        meta = read_json_file(path)
        # Through the schema: a key that cards did not have then stands for its default.
        made_from = DatasetCard.model_validate(meta["card"]).model_dump(mode="json")
        return made_from == card.model_dump(mode="json") and all(
            (directory / name).is_file() for name in meta["sha256"]
        )
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    except (ValueError, KeyError, TypeError):
        log.warning("%s is damaged; the data set will be prepared again", path)
        return False
