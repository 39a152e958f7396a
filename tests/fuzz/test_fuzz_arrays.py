"""Checkpoints, archives of kept windows and prepared data with changed bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from hypothesis import given
from hypothesis import strategies as st
from mutations import campaign, damaged, outcome, seeds

from stprune.base.layout import DataLayout
from stprune.data.canonical import read_canonical
from stprune.data.card import load_card
from stprune.data.prepare import damages
from stprune.records.kept import KeptArchive, read_kept
from stprune.training.checkpoint import load_checkpoint, save_checkpoint

IDENTITY = {"configuration": "1" * 64, "data": "2" * 64}
STATE = {
    "model": {"weight": torch.arange(12.0).reshape(3, 4), "count": torch.tensor(3)},
    "records": [{"epoch": 0, "validation_mae": 3.5}],
    "best": {"mae": 3.5, "epoch": 0},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@campaign
@given(seed=seeds)
def test_checkpoints(folder: Path, seed: int) -> None:
    path = folder / "last.pt"
    save_checkpoint(path, STATE, IDENTITY)
    for _, (state, _) in damaged(seed, path, load_checkpoint, path, IDENTITY):
        if state is not None:
            torch.testing.assert_close(state, STATE, rtol=0, atol=0)


@campaign
@given(seed=seeds)
def test_kept_windows(folder: Path, seed: int) -> None:
    path = folder / "kept.npz"
    archive = KeptArchive(np.datetime64("2024-01-01", "m") + np.arange(50))
    for epoch in range(3):
        archive.add(torch.arange(epoch, 50, 2), torch.arange(50.0))
    archive.write(path)
    right = read_kept(path)
    for _, found in damaged(seed, path, read_kept, path):
        np.testing.assert_array_equal(found.kept, right.kept)
        np.testing.assert_array_equal(found.times, right.times)
        np.testing.assert_array_equal(found.score_quantiles, right.score_quantiles)


@pytest.fixture(scope="module")
def copied_data(toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory of our own, to do damage in."""
    return Path(shutil.copytree(toy_data, tmp_path_factory.mktemp("fuzz") / "data"))


PARTS = (
    *("series.npy", "mask.npy", "timestamps.npy", "adjacency.npy"),
    *("nodes.json", "meta.json", "events.csv"),
)


@campaign
@given(part=st.sampled_from(PARTS), seed=seeds)
def test_prepared_data(copied_data: Path, part: str, seed: int) -> None:
    layout = DataLayout(copied_data)
    path = layout.processed(toy.DATASET) / part
    good = path.read_bytes()
    card = load_card(toy.DATASET, copied_data)
    for content, found in damaged(seed, path, read_canonical, path.parent):
        assert found.series.shape == found.mask.shape == (toy.STEPS, toy.NODES, 1)
        assert np.isfinite(found.adjacency).all()
        if content != good and part != "meta.json":
            assert outcome(damages, toy.DATASET, card, layout)
