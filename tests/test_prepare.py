"""Every card; preparing: from card and raw files to a canonical data set, and once only."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from stprune.base.errors import DataError
from stprune.base.layout import DataLayout
from stprune.base.schema import StrictModel, validate
from stprune.data.canonical import read_canonical
from stprune.data.card import (
    FORMATS,
    KaggleFile,
    RemoteFile,
    card_path,
    dataset_ids,
    load_card,
    raw_path,
)
from stprune.data.prepare import is_prepared, prepare

PINNED = re.compile(r"^https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/.+")

FILES = {"series": b"a,b\n1,2\n3,4\n5,6\n", "adjacency": b"1,0.5\n0.25,1\n"}
CARD = {
    "title": "Toy",
    "description": "Two sensors.",
    "format": "wide_csv",
    "files": {
        role: {
            "url": f"https://toy.invalid/{role}.csv",
            "git_blob_sha1": hashlib.sha1(b"blob %d\0" % len(text) + text).hexdigest(),  # noqa: S324
        }
        for role, text in FILES.items()
    },
    "licence": "none",
    "citation": "none",
    "nodes": 2,
    "steps": 3,
    "step_minutes": 5,
    "start": "2024-01-01T00:00",
    "channels": [{"name": "flow", "unit": "vehicles"}],
    "target": "flow",
    "mask_policy": "none",
}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, DataLayout]:
    """The folder of the card of a small data set that a mirror holds, and a data layout."""
    monkeypatch.setenv("STPRUNE_MIRROR", str(tmp_path / "mirror"))
    (tmp_path / "mirror" / "toy.invalid").mkdir(parents=True)
    for role, text in FILES.items():
        (tmp_path / "mirror" / "toy.invalid" / f"{role}.csv").write_bytes(text)
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "toy.yaml").write_text(yaml.safe_dump(CARD))
    return tmp_path / "cards", DataLayout(tmp_path / "data")


def test_prepare_makes_the_canonical_data_set_once(
    toy: tuple[Path, DataLayout], monkeypatch: pytest.MonkeyPatch
) -> None:
    cards, layout = toy
    assert not is_prepared("toy", layout, cards)
    directory = prepare("toy", layout, cards=cards)
    assert directory == layout.processed("toy")
    assert is_prepared("toy", layout, cards)
    dataset = read_canonical(directory)
    np.testing.assert_array_equal(dataset.series[:, :, 0], [[1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(dataset.adjacency, [[0, 0.5], [0.25, 0]])
    before = {path: path.stat().st_mtime_ns for path in directory.iterdir()}
    # Once prepared, neither a mirror nor the network is looked at.
    monkeypatch.setenv("STPRUNE_MIRROR", "gone")
    assert prepare("toy", layout, cards=cards) == directory
    assert {path: path.stat().st_mtime_ns for path in directory.iterdir()} == before


@pytest.mark.parametrize("what", ["card", "file", "meta", "damaged meta"])
def test_prepare_starts_again_when_something_changed(
    toy: tuple[Path, DataLayout], what: str
) -> None:
    cards, layout = toy
    directory = prepare("toy", layout, cards=cards)
    if what == "card":
        card = cards / "toy.yaml"
        card.write_text(card.read_text().replace("step_minutes: 5", "step_minutes: 10"))
    elif what == "damaged meta":
        (directory / "meta.json").write_text("{")
    else:
        (directory / {"file": "mask.npy", "meta": "meta.json"}[what]).unlink()
    assert not is_prepared("toy", layout, cards)
    prepare("toy", layout, cards=cards)
    assert is_prepared("toy", layout, cards)
    step = np.diff(read_canonical(directory).timestamps)[0]
    assert step == np.timedelta64(600 if what == "card" else 300, "s")


def test_raw_files_that_contradict_the_card_leave_no_data_set(
    toy: tuple[Path, DataLayout],
) -> None:
    cards, layout = toy
    (cards / "toy.yaml").write_text(yaml.safe_dump(CARD | {"steps": 4}))
    with pytest.raises(DataError, match=r"\(3, 2, 1\), but the card says \(4, 2, 1\)"):
        prepare("toy", layout, cards=cards)
    assert not is_prepared("toy", layout, cards)


@pytest.mark.parametrize("dataset", dataset_ids())
class TestEveryCard:
    def test_it_follows_the_schema_and_says_what_people_need(self, dataset: str) -> None:
        card = load_card(dataset)
        for text in (card.title, card.description, card.licence, card.citation):
            assert text.strip()
        assert all(channel.unit.strip() for channel in card.channels)
        names = [channel.name for channel in card.channels]
        assert len(set(names)) == len(names)
        # Times are local; a zone would be lost in the canonical data set.
        assert card.start.tzinfo is None

    def test_its_id_can_stand_in_a_path_and_in_a_rule(self, dataset: str) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", dataset), card_path(dataset)

    def test_its_format_has_a_loader_that_accepts_its_options(self, dataset: str) -> None:
        card = load_card(dataset)
        module = FORMATS.module(card.format)
        assert callable(module.load)
        assert issubclass(module.Options, StrictModel)
        validate(module.Options, card.options, f"options of {dataset}")

    def test_its_files_are_pinned(self, dataset: str) -> None:
        for role, remote in load_card(dataset).files.items():
            if isinstance(remote, KaggleFile):
                continue  # Kaggle has no pins; the loader checks shape, sensors and times.
            assert isinstance(remote, RemoteFile), f"{role} is on somebody's disk"
            assert PINNED.match(remote.url), f"{role} is not pinned to a commit: {remote.url}"
            assert raw_path(dataset, role, remote, DataLayout(Path())).name
            assert re.fullmatch("[0-9a-f]{40}", remote.git_blob_sha1)

    def test_each_split_holds_the_usual_windows(self, dataset: str) -> None:
        card = load_card(dataset)
        # Twelve steps in and twelve out, so that there is at least one window of each kind.
        assert min(card.splits) * card.steps >= 24
