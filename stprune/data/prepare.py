"""Makes a card's canonical data set, once; says what is here and whether its bytes are right."""

import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from stprune.base.errors import DataError
from stprune.base.files import folder_lock
from stprune.base.layout import DataLayout
from stprune.base.text import read_json_file
from stprune.data.canonical import read_canonical, sha256_of, write_canonical
from stprune.data.card import DatasetCard, KaggleFile, LocalFile, RawFile, load_card, raw_paths
from stprune.data.fetch import check_local_file, content_problem, fetch
from stprune.data.formats.base import load_raw, reading

log = logging.getLogger(__name__)


def prepare(dataset: str, layout: DataLayout, mirror: str | None = None) -> Path:
    """Make the canonical data set, unless it was made from the same card before; its folder.

    Raises a ConfigError for a card that is missing or wrong, a DataError for a raw file.
    """
    card = load_card(dataset, layout.root)
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
                files = fetch(dataset, card, layout, mirror)
                log.info("loading %s", dataset)
                raw = load_raw(card, files)
                # Not every raw file has a hash on its card.
                found = {role: sha256_of(path) for role, path in files.items()}
                write_canonical(raw, card, directory, found)
    except OSError as error:
        raise DataError(f"{dataset} cannot be prepared in {directory}: {error}") from None
    return directory


def is_prepared(dataset: str, layout: DataLayout) -> bool:
    """Whether the canonical data set is there, complete, and made from the present card."""
    return _made_from(load_card(dataset, layout.root), layout.processed(dataset))


def _made_from(card: DatasetCard, directory: Path) -> bool:
    path = directory / "meta.json"
    try:
        meta = read_json_file(path)
        # Through the schema: a key that cards did not have then stands for its default.
        made_from = DatasetCard.model_validate(meta["card"])
        whole = all((directory / name).is_file() for name in meta["sha256"])
        return whole and made_from.model_dump(mode="json") == card.model_dump(mode="json")
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    except (ValueError, KeyError, TypeError):
        log.warning("%s is damaged; the data set will be prepared again", path)
        return False


def source(card: DatasetCard) -> str:
    """Where the raw files come from, in a few words."""
    return ", ".join(sorted({_host(file) for file in card.files.values()})) or "simulated"


def state(dataset: str, card: DatasetCard, layout: DataLayout) -> str:
    """What is here, unchecked: `prepared`, `fetched`, `partly fetched` or nothing, in words."""
    there = [path.is_file() for path in raw_paths(dataset, card, layout).values()]
    words = ["fetched" if all(there) else "partly fetched"] if any(there) else []
    if is_prepared(dataset, layout):
        words.append("prepared")
    elif (layout.processed(dataset) / "meta.json").is_file():
        words.append("prepared from another card")
    return ", ".join(words) or "-"


def damages(dataset: str, card: DatasetCard, layout: DataLayout) -> list[str]:
    """What is wrong with a data set, one line each, after reading every byte that is here.

    Raw files may be deleted once the data set is prepared; before that, a missing one counts. A
    file that cannot be read is a DataError.
    """
    if state(dataset, card, layout) == "-":
        command = "fetch" if card.files else "prepare"
        return [f"{dataset}: nothing is here; run `stprune data {command} {dataset}`"]
    with reading(layout.root, f"the data set {dataset}"):
        return [f"{dataset}: {line}" for line in _damages(dataset, card, layout)]


def _damages(dataset: str, card: DatasetCard, layout: DataLayout) -> Iterator[str]:
    directory, meta, digests = layout.processed(dataset), {}, {}
    prepared = (meta_path := directory / "meta.json").is_file()
    again = f"delete {directory} and run `stprune data prepare {dataset}`"
    if prepared:
        try:
            digests = dict((meta := read_json_file(meta_path))["sha256"])
        except (ValueError, KeyError, TypeError):
            yield f"{meta_path} is damaged; {again}"
            meta = {}
    for role, path in raw_paths(dataset, card, layout).items():
        file = card.files[role]
        if not path.is_file():
            if not prepared:
                yield f"{path} is not there; run `stprune data fetch {dataset}`"
        # Where the card has no hash, that of the file which the data set was made from counts.
        elif problem := content_problem(path, file, meta.get("raw_sha256", {}).get(role)):
            advice = f"delete it and run `stprune data fetch {dataset}`"
            if isinstance(file, LocalFile):
                advice = "put the file back that the card was made from, or make the card anew"
            yield f"{path} is damaged: {problem}; {advice}"
    for name, digest in digests.items():
        path = directory / name
        if not path.is_file() or sha256_of(path) != digest:
            meta = {}
            yield f"{path} is damaged: its SHA-256 is not {digest}; {again}"
    if meta:
        try:
            read_canonical(directory)
            if not is_prepared(dataset, layout):
                yield f"{directory} was made from another card; {again}"
        except DataError as error:
            yield str(error)


def _host(file: RawFile) -> str:
    if isinstance(file, LocalFile):
        return "own files"
    if isinstance(file, KaggleFile):
        return "kaggle.com"
    parts = urlsplit(file.url)
    if parts.hostname == "raw.githubusercontent.com":
        return "/".join(["github.com", *parts.path.split("/")[1:3]])
    return parts.hostname or file.url
