"""Preparing: from card and raw files to a canonical data set, and once only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from toy import card_values
from web_site import blob_sha1

from stprune.base.errors import DataError
from stprune.base.layout import DataLayout
from stprune.data.canonical import read_canonical
from stprune.data.prepare import is_prepared, prepare

FILES = {"series": b"a,b\n1,2\n3,4\n5,6\n", "adjacency": b"1,0.5\n0.25,1\n"}
CARD = card_values(
    step_minutes=5,
    files={
        role: {"url": f"https://toy.invalid/{role}.csv", "git_blob_sha1": blob_sha1(text)}
        for role, text in FILES.items()
    },
)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, DataLayout]:
    """The folder of the card of a small data set that a mirror holds, and a data layout."""
    monkeypatch.setenv("STPRUNE_MIRROR", str(tmp_path / "mirror"))
    for role, text in FILES.items():
        path = tmp_path / "mirror" / "toy.invalid" / f"{role}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
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
