"""Every shipped card, from short files in the published format to a trained run.

The cards are the shipped ones but for sizes and hashes. A new card needs a way to make such
files, or this fails.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from made_up_files import DAYS, WAYS, fabricate

from stprune.__main__ import main
from stprune.base.layout import DataLayout, RunKey
from stprune.config.experiment import parse_config
from stprune.data.canonical import CanonicalDataset, read_canonical
from stprune.data.card import KaggleFile, RemoteFile, dataset_ids, load_card
from stprune.data.fetch import fetch
from stprune.data.prepare import prepare
from stprune.training.run import train

# The routes of PEMS-BAY are single groups of `pems_bay_67`, which stands for them.
TRAINED = [name for name in dataset_ids() if not re.fullmatch(r"pems_bay_(ca|i)\d+", name)]
PINNED = re.compile(r"^https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/.+")


@pytest.mark.parametrize("dataset", dataset_ids())
def test_a_shipped_card_says_what_people_need_and_pins_its_files(dataset: str) -> None:
    card = load_card(dataset)
    assert re.fullmatch(r"[a-z][a-z0-9_]*", dataset)
    for text in (card.title, card.description, card.licence, card.citation):
        assert text.strip()
    assert all(channel.unit.strip() for channel in card.channels)
    # Times are local; a zone would be lost in the canonical data set.
    assert card.start.tzinfo is None
    # Twelve steps in and twelve out, so that there is at least one window of each kind.
    assert min(card.splits) * card.steps >= 24
    # A published series ends with a day, which says that no step is lost on the way.
    if dataset not in ("hangzhou_metro", "pems08_tail"):
        hour = 12 if card.breaks == "clock" else 0
        assert (card.steps + hour) % card.steps_per_day == 0
    for role, remote in card.files.items():
        if not isinstance(remote, KaggleFile):  # Kaggle has no pins; the loader checks more
            assert isinstance(remote, RemoteFile), f"{role} is on somebody's disk"
            assert PINNED.match(remote.url), f"{role} is not pinned to a commit: {remote.url}"


def check_values(dataset: str, data: CanonicalDataset, paths: dict[str, Path]) -> None:
    """Compare with the files as pandas reads them, or with the gaps that were made."""
    card = data.card
    missing = np.prod(data.series.shape) - np.broadcast_to(data.mask, data.series.shape).sum()
    if card.format == "largest_hdf":
        # The publishers' own steps: choose, resample, round.
        with h5py.File(paths["series"]) as file:
            names = [name.decode() for name in file["t/axis0"][:]]
            index = pd.to_datetime(file["t/axis1"][:])
            flow = pd.DataFrame(file["t/block0_values"][:], index=index, columns=names)
        means = flow[data.node_ids].resample("15min").mean().round(0)
        np.testing.assert_array_equal(data.series[:, :, 0], means.fillna(0).to_numpy())
        np.testing.assert_array_equal(data.mask[:, :, 0], means.notna().to_numpy())
    elif card.format == "zone_csv":
        target = pd.read_csv(paths[card.target], index_col=0)
        assert data.node_ids == target.columns.tolist()
        if dataset == "urban_ev_share":
            stations = pd.read_csv(paths["stations"]).groupby("TAZID").charge_count.sum()
            target /= stations[[int(zone) for zone in target]].to_numpy()
        np.testing.assert_allclose(data.series[:, :, 0], target.to_numpy(), rtol=1e-6)
    elif card.format != "station_csv":
        # METR-LA lacks an hour and a reading; PEMS-BAY a reading, and an hour of every sensor.
        assert missing == {"metr_la": 13, "pems_bay": 1 + 12 * card.nodes}.get(dataset, 0)
    if dataset == "pems_bay":
        gap = data.timestamps[~data.mask[:, :, 0].any(axis=1)]
        assert gap[[0, -1]].astype(str).tolist() == ["2017-03-12T02:00:00", "2017-03-12T02:55:00"]


@pytest.mark.parametrize("dataset", TRAINED)
def test_a_card_leads_to_a_trained_run(
    tmp_path: Path, toy_values: dict[str, Any], dataset: str
) -> None:
    shipped = load_card(dataset)
    assert shipped.format in WAYS.keys() | DAYS, "made_up_files.py has no way to make such files"
    layout, mirror = DataLayout(tmp_path / "data"), tmp_path / "mirror"
    card = fabricate(dataset, mirror)
    layout.root.mkdir()
    text = yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False)
    (layout.root / f"{dataset}.yaml").write_text(text, encoding="utf-8")
    changed = {name for name, value in shipped if getattr(card, name) != value}
    assert changed <= {"title", "description", "nodes", "steps", "start", "files", "options"}

    data = read_canonical(prepare(dataset, layout, str(mirror)))
    assert data.series.shape == (card.steps, card.nodes, len(card.channels))
    assert data.adjacency.any()
    assert not data.adjacency.diagonal().any()
    assert ((data.adjacency >= 0) & (data.adjacency <= 1)).all()
    check_values(dataset, data, fetch(dataset, card, layout, str(mirror)))
    words = ["data", "verify", dataset, "--data-directory", str(layout.root)]
    assert main(words) == 0

    toy_values["datasets"] = {dataset: {"node_stride": max(1, card.nodes // 16)}}
    toy_values |= {"training": {"epochs": 1}, "data_directory": str(layout.root)}
    key = RunKey(dataset, "stid", "full", 0.0, 0)
    record = train(parse_config(toy_values, "every card"), key, [])
    assert all(math.isfinite(error or math.nan) for error in (record.test.mae, record.test.rmse))
