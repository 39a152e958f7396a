"""Published data sets: files as published load by their cards, and the real ones are as they say.

Numbers of the real files were read off them or counted independently.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import made_up_files
import numpy as np
import pandas as pd
import pytest
import yaml
from made_up_files import fabricate, published

from stprune.base.layout import DataLayout
from stprune.data.canonical import CanonicalDataset, read_canonical
from stprune.data.card import FORMATS, DatasetCard, dataset_ids, load_card
from stprune.data.dataset import forecast_data
from stprune.data.fetch import fetch
from stprune.data.formats.base import read_edges, read_numbers
from stprune.data.formats.zone_csv import chargers_of_zones
from stprune.data.prepare import prepare

DATASETS = [name for name in dataset_ids() if load_card(name).format in made_up_files.WAYS]


def prepared(dataset: str, folder: Path) -> tuple[DatasetCard, CanonicalDataset, dict[str, Path]]:
    """Fetch from a mirror that holds made-up files, check hashes, load and write."""
    card = fabricate(dataset, folder / "mirror")
    (folder / "data").mkdir()
    (folder / "data" / f"{dataset}.yaml").write_text(yaml.safe_dump(card.model_dump(mode="json")))
    layout, mirror = DataLayout(folder / "data"), str(folder / "mirror")
    directory = prepare(dataset, layout, mirror, cards=folder / "data")
    return card, read_canonical(directory), fetch(dataset, card, layout, mirror)


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("real_graph", [True, False])
def test_files_as_published_are_prepared_by_the_shipped_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, real_graph: bool
) -> None:
    if not real_graph:
        monkeypatch.delenv("STPRUNE_MIRROR", raising=False)
    card, data, paths = prepared(dataset, tmp_path)
    assert data.series.shape == (card.steps, card.nodes, len(card.channels))
    assert data.adjacency.any()
    assert not data.adjacency.diagonal().any()
    assert ((data.adjacency >= 0) & (data.adjacency <= 1)).all()
    missing = np.prod(data.series.shape) - np.broadcast_to(data.mask, data.series.shape).sum()
    if card.format == "largest_hdf":
        # The publishers' own steps, in pandas: choose, resample, round.
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


def test_the_shipped_sizes_are_whole_days() -> None:
    """Each published series ends with a day, which says that no step is lost on the way."""
    for dataset in DATASETS:
        card = load_card(dataset)
        if dataset not in ("hangzhou_metro", "pems08_tail"):
            hour = 12 if card.breaks == "clock" else 0
            assert (card.steps + hour) % card.steps_per_day == 0, dataset


def real(dataset: str, role: str) -> Path:
    path = published(load_card(dataset), role)
    if path is None:
        pytest.skip(f"set STPRUNE_MIRROR to a mirror that holds the files of {dataset}")
    return path


@pytest.mark.parametrize(
    ("dataset", "edges", "one_way", "shortest", "longest"),
    [
        ("pems03", 546, 546, 0.035, 10.194),
        ("pems04", 340, 340, 3.2, 2712.1),
        ("pems07", 866, 866, 0.032, 20.539),
        ("pems08", 277, 271, 6.3, 3274.4),
    ],
)
def test_the_real_graphs_of_pems(
    dataset: str, edges: int, one_way: int, shortest: float, longest: float
) -> None:
    card = load_card(dataset)
    node_ids = [str(position) for position in range(card.nodes)]
    if "ids" in card.files:
        node_ids = real(dataset, "ids").read_text().split()
    distances = read_edges(real(dataset, "edges"), node_ids)
    there = ~np.isnan(distances)
    assert (there.sum(), (there & ~there.T).sum()) == (edges, one_way)
    assert (distances[there].min(), distances[there].max()) == (shortest, longest)
    assert (there | there.T).any(axis=0).all(), "every sensor has an edge"


@pytest.mark.parametrize(
    ("dataset", "edges", "symmetric"), [("metr_la", 1515, False), ("pems_bay", 38_562, True)]
)
def test_the_real_graphs_of_dcrnn(
    tmp_path: Path, dataset: str, edges: int, symmetric: bool
) -> None:
    real(dataset, "graph")
    card = fabricate(dataset, tmp_path)
    files = fetch(dataset, card, DataLayout(tmp_path / "data"), str(tmp_path))
    graph = FORMATS.module(card.format).load(card, files).adjacency
    assert np.count_nonzero(graph) == edges
    assert (graph == graph.T).all() == symmetric
    assert graph[graph > 0].min() >= 0.1


def test_the_real_zones_of_urban_ev() -> None:
    frame = read_numbers(real("urban_ev", "adjacency"))
    zones, borders = list(frame.columns), frame.to_numpy()
    # Each zone touches itself, and 20 links are published in one direction only.
    assert borders.sum() == 275 + 2 * 590 + 20
    assert (borders != borders.T).sum() == 2 * 20
    weather = read_numbers(real("urban_ev_exogenous", "weather"), index=True)
    assert weather.iloc[0].to_dict() == {
        **{"T": 27.3, "P0": 750.6, "P": 756.1},
        **{"U": 87, "nRAIN": 0, "Td": 24.9},
    }
    chargers = chargers_of_zones(real("urban_ev_share", "stations"), zones)
    assert (len(chargers), chargers.sum()) == (275, 17532)
    assert (chargers.min(), chargers.max()) == (4, 373)


def test_the_real_hangzhou_metro(tmp_path: Path) -> None:
    real("hangzhou_metro", "series")
    dataset = read_canonical(prepare("hangzhou_metro", DataLayout(tmp_path)))
    assert dataset.series.shape == (2700, 80, 1)
    assert dataset.mask.all()
    assert dataset.series.max() == 3334
    # The first hours of the first station.
    np.testing.assert_array_equal(dataset.series[:6, 0, 0], [17, 21, 30, 44, 31, 66])
    assert str(dataset.timestamps[108]) == "2019-01-02T06:00:00"
    place = {name: row for row, name in enumerate(dataset.node_ids)}
    assert "54" not in place
    assert dataset.adjacency[place["53"], place["55"]] == 1
    np.testing.assert_array_equal(dataset.adjacency, dataset.adjacency.T)
    opened = forecast_data(dataset, history=12, horizon=12)
    assert sum(map(len, (opened.train, opened.validation, opened.test))) == 25 * (108 - 23)


def test_the_real_beijing_air(tmp_path: Path) -> None:
    real("beijing_air", "Aotizhongxin")
    dataset = read_canonical(prepare("beijing_air", DataLayout(tmp_path)))
    assert dataset.series.shape == (35064, 12, 5)
    # First rows of the first file and the last of the eleventh.
    np.testing.assert_allclose(
        dataset.series[:2, 0], [[4, -0.7, 1023, -18.8, 4.4], [8, -1.1, 1023.2, -18.2, 4.7]]
    )
    assert dataset.node_ids[10] == "Wanliu"
    np.testing.assert_allclose(dataset.series[-1, 10], [7, 7, 1012.6, -11.2, 1.1])
    assert 0.02 < 1 - dataset.mask[..., 0].mean() < 0.05
    assert str(dataset.timestamps[-1]) == "2017-02-28T23:00:00"


def test_the_real_los_loop(tmp_path: Path) -> None:
    real("los_loop", "series")
    dataset = read_canonical(prepare("los_loop", DataLayout(tmp_path)))
    assert dataset.series.shape == (2016, 207, 1)
    assert dataset.mask.all()
    assert (float(dataset.series.min()), float(dataset.series.max())) == (1.0, 70.0)
    assert dataset.node_ids[:3] == ["773869", "767541", "767542"]
    # First and last cells.
    np.testing.assert_allclose(dataset.series[0, :4, 0], [64.375, 67.625, 67.125, 61.5])
    np.testing.assert_allclose(dataset.series[-1, -3:, 0], [58.75, 68.25, 58.875])
    assert str(dataset.timestamps[-1]) == "2012-03-07T23:55:00"
    assert dataset.adjacency[1, 2] == pytest.approx(0.717438, abs=1e-6)
    assert np.count_nonzero(dataset.adjacency) == 2833 - 207
