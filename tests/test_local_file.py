"""Cards whose files are the user's own: found where they lie, never changed unseen."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from stprune.base.errors import ConfigError, DataError
from stprune.base.layout import DataLayout
from stprune.base.schema import validate
from stprune.data.card import DatasetCard, LocalFile, RemoteFile
from stprune.data.fetch import fetch
from stprune.data.local_file import local_paths

CONTENT = b"a,b\n1,2\n"


def card_with(files: Any) -> DatasetCard:
    return validate(
        DatasetCard,
        {
            "title": "Toy",
            "description": "Two sensors.",
            "format": "table",
            "files": files,
            "licence": "none",
            "citation": "none",
            "nodes": 2,
            "steps": 2,
            "step_minutes": 5,
            "start": "2024-01-01",
            "channels": [{"name": "flow", "unit": "vehicles"}],
            "target": "flow",
            "mask_policy": "none",
        },
        "toy.yaml",
    )


def entry(path: str) -> dict[str, str]:
    return {"path": path, "sha256": hashlib.sha256(CONTENT).hexdigest()}


@pytest.mark.parametrize("absolute", [False, True])
def test_a_local_file_is_taken_where_it_lies(tmp_path: Path, absolute: bool) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.csv").write_bytes(CONTENT)
    name = str(tmp_path / "own" / "a.csv") if absolute else "own/a.csv"
    card = card_with({"series": entry(name)})
    assert isinstance(card.files["series"], LocalFile)
    found = fetch("toy", card, DataLayout(tmp_path), mirror="")
    assert found == {"series": tmp_path / "own" / "a.csv"}
    # The workflow makes the data set anew after one of these.
    assert local_paths(card, DataLayout(tmp_path)) == [tmp_path / "own" / "a.csv"]


def test_a_changed_or_missing_local_file_is_one_line(tmp_path: Path) -> None:
    card = card_with({"series": entry("a.csv")})
    with pytest.raises(DataError, match=r"a\.csv of toy cannot be read: No such file"):
        fetch("toy", card, DataLayout(tmp_path), mirror="")
    (tmp_path / "a.csv").write_bytes(CONTENT + b"3,4\n")
    with pytest.raises(DataError, match=r"a\.csv has changed since the card of toy was made"):
        fetch("toy", card, DataLayout(tmp_path), mirror="")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"s": {"path": "a", "sha": "0"}}, r"unknown key `sha` .* at `files\.s`, .*`sha256`"),
        ({"s": {"path": "a"}}, r"`files\.s\.sha256`: Field required"),
        ({"s": {"path": "a", "sha256": "0"}}, r"`files\.s\.sha256`: String should match"),
        ({"s": {"url": "x", "git_blob_sha1": "0" * 40}}, r"`files\.s\.url`: String should match"),
        ({"s": 3}, r"`files\.s`: Input should be"),
    ],
)
def test_a_wrong_entry_names_its_key(files: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        card_with(files)


def test_remote_files_are_told_apart() -> None:
    remote = {"url": "https://host.invalid/a.csv", "git_blob_sha1": "0" * 40}
    assert isinstance(card_with({"series": remote}).files["series"], RemoteFile)
