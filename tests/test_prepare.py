"""Preparing: from card and raw files to a canonical data set, and once only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toy
import yaml

from stprune.base.errors import DataError
from stprune.base.layout import DataLayout
from stprune.data.canonical import read_canonical
from stprune.data.prepare import is_prepared, prepare


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataLayout:
    """A data directory with the toy card, whose raw files a mirror holds."""
    toy.write_toy(tmp_path / "data", tmp_path / "mirror")
    monkeypatch.setenv("STPRUNE_MIRROR", str(tmp_path / "mirror"))
    return DataLayout(tmp_path / "data")


def test_prepare_makes_the_canonical_data_set_once(
    layout: DataLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_prepared("toy", layout, layout.root)
    directory = prepare("toy", layout, cards=layout.root)
    assert directory == layout.processed("toy")
    assert is_prepared("toy", layout, layout.root)
    dataset = read_canonical(directory)
    np.testing.assert_allclose(dataset.series[:, :, 0], toy.toy_series(), atol=1e-3)
    np.testing.assert_array_equal(dataset.mask, dataset.series != 0)
    expected = toy.toy_adjacency() * (1 - np.eye(toy.NODES))
    np.testing.assert_allclose(dataset.adjacency, expected, atol=1e-3)
    before = {path: path.stat().st_mtime_ns for path in directory.iterdir()}
    # Once prepared, neither a mirror nor the network is looked at.
    monkeypatch.setenv("STPRUNE_MIRROR", "gone")
    assert prepare("toy", layout, cards=layout.root) == directory
    assert {path: path.stat().st_mtime_ns for path in directory.iterdir()} == before


@pytest.mark.parametrize("what", ["mape_floor", "mask.npy", "meta.json", "damaged meta"])
def test_prepare_starts_again_when_something_changed(layout: DataLayout, what: str) -> None:
    directory = prepare("toy", layout, cards=layout.root)
    if what == "mape_floor":
        _change_card(layout, mape_floor=7.0)
    elif what == "damaged meta":
        (directory / "meta.json").write_text("{")
    else:
        (directory / what).unlink()
    assert not is_prepared("toy", layout, layout.root)
    prepare("toy", layout, cards=layout.root)
    assert is_prepared("toy", layout, layout.root)
    assert (read_canonical(directory).card.mape_floor == 7.0) == (what == "mape_floor")


def test_raw_files_that_contradict_the_card_leave_no_data_set(layout: DataLayout) -> None:
    _change_card(layout, steps=toy.STEPS + 1)
    with pytest.raises(DataError, match=f"but the card says .{toy.STEPS + 1}, "):
        prepare("toy", layout, cards=layout.root)
    assert not is_prepared("toy", layout, layout.root)


def _change_card(layout: DataLayout, **changes: float) -> None:
    path = layout.root / "toy.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))
