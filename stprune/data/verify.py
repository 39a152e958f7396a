"""Checks every byte of what is here of a data set against the hashes on record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stprune.base.errors import DataError
from stprune.base.layout import DataLayout
from stprune.base.text import read_json_file
from stprune.data.archive import holds
from stprune.data.canonical import read_canonical, sha256_of
from stprune.data.card import DatasetCard, LocalFile, RemoteFile
from stprune.data.fetch import git_blob_sha1, unpacked_path
from stprune.data.inventory import RawState, is_here, raw_states
from stprune.data.prepare import is_prepared


def damages(dataset: str, card: DatasetCard, layout: DataLayout) -> list[str]:
    """What is wrong with a data set, one line each; empty if all that is here is right.

    Raw files may be deleted once the data set is prepared; before that, a missing one counts.

    Raises:
        DataError: If a file is there and cannot be read.
    """
    raw = raw_states(dataset, card, layout)
    prepared = (layout.processed(dataset) / "meta.json").is_file()
    if not is_here(dataset, card, layout):
        command = "fetch" if raw else "prepare"
        return [f"{dataset}: nothing is here; run `stprune data {command} {dataset}`"]
    try:
        meta = _meta(layout.processed(dataset)) if prepared else None
        found = [line for one in raw for line in _raw_damages(dataset, one, layout, meta)]
        if prepared:
            found += _prepared_damages(dataset, layout, meta)
    except OSError as error:
        raise DataError(f"{dataset} cannot be checked: {error}") from None
    return found


@dataclass(frozen=True)
class _Meta:
    """The checksums in ``meta.json``: of the prepared files by name, of the raw ones by role."""

    prepared: dict[str, str]
    raw: dict[str, str]


def _meta(directory: Path) -> _Meta | None:
    """What the prepared data set says of itself; None if that is damaged."""
    try:
        values = read_json_file(directory / "meta.json")
        return _Meta(dict(values["sha256"]), dict(values.get("raw_sha256", {})))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _raw_damages(
    dataset: str, raw: RawState, layout: DataLayout, meta: _Meta | None
) -> Iterator[str]:
    again = f"run `stprune data fetch {dataset}`"
    if raw.size is None:
        if not (layout.processed(dataset) / "meta.json").is_file():
            yield f"{dataset}: {raw.path} is not there; {again}"
        return
    pinned: str | None
    if isinstance(raw.file, RemoteFile):
        what, pinned, found = "git blob SHA-1", raw.file.git_blob_sha1, git_blob_sha1(raw.path)
    else:
        what, pinned, found = "SHA-256", raw.file.sha256, sha256_of(raw.path)
    if isinstance(raw.file, LocalFile):
        again = "put the file back that the card was made from, or make the card anew"
    elif pinned is None and meta is not None:
        # No hash is published, but the prepared data set tells what it was made from.
        pinned, again = meta.raw.get(raw.role), f"delete it and {again}"
    if pinned is not None and found != pinned:
        yield f"{dataset}: {raw.path} is damaged: {what} {found} instead of {pinned}; {again}"
    elif isinstance(raw.file, RemoteFile) and raw.file.member is not None:
        taken = unpacked_path(dataset, raw.role, raw.file.member, layout)
        if not holds(raw.path, raw.file.member, taken):
            yield f"{dataset}: {taken} is not the `{raw.file.member}` of {raw.path.name}; {again}"


def _prepared_damages(dataset: str, layout: DataLayout, meta: _Meta | None) -> Iterator[str]:
    directory = layout.processed(dataset)
    again = f"delete {directory} and run `stprune data prepare {dataset}`"
    if meta is None:
        yield f"{dataset}: {directory / 'meta.json'} is damaged; {again}"
        return
    pinned = meta.prepared.items()
    wrong = [line for name, digest in pinned for line in _differs(directory / name, digest)]
    yield from (f"{dataset}: {line}; {again}" for line in wrong)
    if wrong:
        return
    try:
        read_canonical(directory)
    except DataError as error:
        yield f"{dataset}: {error}"
        return
    if not is_prepared(dataset, layout, layout.root):
        yield f"{dataset}: {directory} was made from another card; {again}"


def _differs(path: Path, pinned: str) -> Iterator[str]:
    if not path.is_file():
        yield f"{path} is not there"
    elif (found := sha256_of(path)) != pinned:
        yield f"{path} is damaged: SHA-256 {found} instead of {pinned}"
