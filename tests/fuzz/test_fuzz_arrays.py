"""Checkpoints, archives of kept windows and prepared data with changed bytes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy
from hypothesis import given
from hypothesis import strategies as st
from mutations import byte_changes, campaign, mutated, outcome, seeds

from stprune.base.layout import DataLayout
from stprune.data.canonical import read_canonical
from stprune.data.card import load_card
from stprune.data.inventory import damages
from stprune.records.kept import KeptArchive, read_kept
from stprune.training.checkpoint import load_checkpoint, save_checkpoint

IDENTITY = {"configuration": "1" * 64, "data": "2" * 64}
STATE = {
    "model": {"weight": torch.arange(12.0).reshape(3, 4), "count": torch.tensor(3)},
    "records": [{"epoch": 0, "validation_mae": 3.5}],
    "best": {"mae": 3.5, "epoch": 0, "weights": None},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def same(one: Any, other: Any) -> bool:
    """Whether two states hold the same numbers."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@campaign
@given(seed=seeds)
def test_checkpoints(folder: Path, seed: int) -> None:
    for changes, cut in byte_changes(seed):
        good = folder / "good.pt"
        if not good.exists():
            save_checkpoint(good, STATE, IDENTITY)
        path = folder / "last.pt"
        path.write_bytes(mutated(good.read_bytes(), changes, cut))
        found = outcome("checkpoint, bytes", load_checkpoint, path, IDENTITY)
        if found is not None and found[0] is not None:
            assert same(STATE, found[0])


@campaign
@given(seed=seeds)
def test_kept_windows(folder: Path, seed: int) -> None:
    for changes, cut in byte_changes(seed):
        good = folder / "good.npz"
        if not good.exists():
            times = np.datetime64("2024-01-01", "m") + np.arange(50)
            archive = KeptArchive(times)
            for epoch in range(3):
                archive.add(torch.arange(epoch, 50, 2), torch.arange(50.0))
            archive.write(good)
        path = folder / "kept.npz"
        path.write_bytes(mutated(good.read_bytes(), changes, cut))
        found = outcome("kept windows, bytes", read_kept, path)
        if found is not None:
            right = read_kept(good)
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
    for changes, cut in byte_changes(seed):
        layout = DataLayout(copied_data)
        path = layout.processed(toy.DATASET) / part
        good = path.read_bytes()
        content = mutated(good, changes, cut)
        path.write_bytes(content)
        try:
            found = outcome("prepared data, bytes", read_canonical, path.parent)
            if found is None:
                continue
            assert found.series.shape == found.mask.shape == (toy.STEPS, toy.NODES, 1)
            assert np.isfinite(found.adjacency).all()
            if content != good and part != "meta.json":
                card = load_card(toy.DATASET, copied_data)
                assert outcome("verify", damages, toy.DATASET, card, layout)
        finally:
            path.write_bytes(good)
