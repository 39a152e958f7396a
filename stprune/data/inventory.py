"""What of each data set is on this machine, shown as text, and whether its bytes are right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from stprune.base.errors import DataError
from stprune.base.layout import DataLayout
from stprune.base.text import read_json_file
from stprune.data.canonical import read_canonical, sha256_of
from stprune.data.card import DatasetCard, KaggleFile, LocalFile, RawFile, card_path, raw_paths
from stprune.data.fetch import content_problem
from stprune.data.prepare import is_prepared


def source(card: DatasetCard) -> str:
    """Where the raw files come from, in a few words."""
    return ", ".join(sorted({_host(file) for file in card.files.values()})) or "simulated"


def state(dataset: str, card: DatasetCard, layout: DataLayout) -> str:
    """What is here, unchecked: `prepared`, `fetched`, `partly fetched` or nothing, in words."""
    there = [path.is_file() for path in raw_paths(dataset, card, layout).values()]
    words = ["fetched" if all(there) else "partly fetched"] if any(there) else []
    if is_prepared(dataset, layout, layout.root):
        words.append("prepared")
    elif _meta_path(dataset, layout).is_file():
        words.append("prepared from another card")
    return ", ".join(words) or "-"


def card_text(dataset: str, card: DatasetCard, layout: DataLayout) -> str:
    """The card of ``dataset`` as YAML, and what of the data set is here."""
    values = card.model_dump(mode="json", exclude_none=True)
    lines = [
        f"# {dataset}: {card_path(dataset, layout.root)}",
        yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=96),
        f"source: {source(card)}",
        f"prepared in: {layout.processed(dataset)}",
        *(f"here: {p}" for p in raw_paths(dataset, card, layout).values() if p.is_file()),
        f"state: {state(dataset, card, layout)}",
    ]
    return "\n".join(lines) + "\n"


def damages(dataset: str, card: DatasetCard, layout: DataLayout) -> list[str]:
    """What is wrong with a data set, one line each, after reading every byte that is here.

    Raw files may be deleted once the data set is prepared; before that, a missing one counts. A
    file that cannot be read is a DataError.
    """
    if state(dataset, card, layout) == "-":
        command = "fetch" if card.files else "prepare"
        return [f"{dataset}: nothing is here; run `stprune data {command} {dataset}`"]
    try:
        return [f"{dataset}: {line}" for line in _damages(dataset, card, layout)]
    except OSError as error:
        raise DataError(f"{dataset} cannot be checked: {error}") from None


def _damages(dataset: str, card: DatasetCard, layout: DataLayout) -> Iterator[str]:
    meta_path, meta, digests = _meta_path(dataset, layout), {}, {}
    directory, prepared = meta_path.parent, meta_path.is_file()
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
            if not is_prepared(dataset, layout, layout.root):
                yield f"{directory} was made from another card; {again}"
        except DataError as error:
            yield str(error)


def _meta_path(dataset: str, layout: DataLayout) -> Path:
    return layout.processed(dataset) / "meta.json"


def _host(file: RawFile) -> str:
    if isinstance(file, LocalFile):
        return "own files"
    if isinstance(file, KaggleFile):
        return "kaggle.com"
    parts = urlsplit(file.url)
    if parts.hostname == "raw.githubusercontent.com":
        return "/".join(["github.com", *parts.path.split("/")[1:3]])
    return parts.hostname or file.url
