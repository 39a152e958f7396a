"""The published data sets: numbers that were read off the real files or counted independently.

Without a mirror of the published files (``STPRUNE_MIRROR``) all of this is skipped.
"""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
from made_up_files import mirrored

from stprune.base.layout import DataLayout
from stprune.base.settings import ProtocolKind
from stprune.data.canonical import CanonicalDataset, read_canonical
from stprune.data.card import load_card
from stprune.data.dataset import forecast_data
from stprune.data.formats import windows_npz
from stprune.data.formats.base import read_edges
from stprune.data.formats.dcrnn_hdf import read_pickled_graph
from stprune.data.prepare import prepare

Opened = Callable[[str], CanonicalDataset]


def real(dataset: str, role: str, name: str = "") -> Path:
    """The published file of a role, or the one called ``name`` beside it."""
    mirror = os.environ.get("STPRUNE_MIRROR", "")
    path = mirrored(load_card(dataset).files[role], Path(mirror))
    if not mirror or not path.is_file():
        pytest.skip(f"set STPRUNE_MIRROR to a mirror that holds the files of {dataset}")
    return path.with_name(name) if name else path


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """A data set by id, prepared from the mirror once."""
    layout = DataLayout(tmp_path_factory.mktemp("published"))

    @cache
    def open_published(dataset: str) -> CanonicalDataset:
        real(dataset, next(iter(load_card(dataset).files)))
        return read_canonical(prepare(dataset, layout))

    return open_published


@pytest.mark.parametrize(
    ("dataset", "edges", "one_way", "shortest", "longest"),
    [
        ("pems03", 546, 546, 0.035, 10.194),
        ("pems04", 340, 340, 3.2, 2712.1),
        ("pems07", 866, 866, 0.032, 20.539),
        ("pems08", 277, 271, 6.3, 3274.4),
    ],
)
def test_the_real_graphs_of_pems(dataset, edges, one_way, shortest, longest):
    card = load_card(dataset)
    node_ids = [str(position) for position in range(card.nodes)]
    if "ids" in card.files:
        node_ids = real(dataset, "ids").read_text().split()
    distances = read_edges(real(dataset, "edges"), node_ids)
    there = ~np.isnan(distances)
    assert (there.sum(), (there & ~there.T).sum()) == (edges, one_way)
    assert (distances[there].min(), distances[there].max()) == (shortest, longest)
    assert (there | there.T).any(axis=0).all(), "every sensor has an edge"


def test_the_real_beijing_air(opened):
    dataset = opened("beijing_air")
    assert dataset.series.shape == (35064, 12, 5)
    # First rows of the first file and the last of the eleventh.
    np.testing.assert_allclose(
        dataset.series[:2, 0], [[4, -0.7, 1023, -18.8, 4.4], [8, -1.1, 1023.2, -18.2, 4.7]]
    )
    assert dataset.node_ids[10] == "Wanliu"
    np.testing.assert_allclose(dataset.series[-1, 10], [7, 7, 1012.6, -11.2, 1.1])
    assert 0.02 < 1 - dataset.mask[..., 0].mean() < 0.05
    assert str(dataset.timestamps[-1]) == "2017-02-28T23:00:00"


def test_the_first_week_of_metr_la_is_los_loop(opened):
    data = opened("metr_la_29")
    week = pd.read_csv(real("los_loop", "series"))[data.node_ids].to_numpy()
    seen = data.mask[: len(week), :, 0]
    np.testing.assert_allclose(data.series[: len(week), :, 0][seen], week[seen], rtol=1e-6)
    assert len(week) == 2016
    assert 0.94 < seen.mean() < 0.95, "the rest are the gaps that the publishers of los_loop filled"
    assert round(1 - data.mask.mean(), 3) == 0.077
    assert str(data.timestamps[-1]) == "2012-06-27T23:55:00"


def test_the_columns_of_route_87_are_those_of_another_publication(opened):
    """June of both sensors is in caailab/features_injection too; these lines were read there."""
    data = opened("pems_bay_67")
    # A sensor that is published twice is there once.
    assert data.node_ids.count("400823") == 1
    assert (len(data.node_ids), round(1 - data.mask.mean(), 6)) == (67, 0.000034)
    for sensor, time, speeds in (
        ("400040", "2017-06-01T15:45", [33.5, 37.0, 47.6, 53.0, 54.0, 47.1, 42.1, 38.0]),
        ("400065", "2017-06-01T17:00", [22.3, 24.0, 17.2, 17.8, 15.7, 15.7, 12.7, 11.8]),
    ):
        step = int(np.flatnonzero(data.timestamps == np.datetime64(time))[0])
        column = data.series[step : step + 8, data.node_ids.index(sensor), 0]
        np.testing.assert_allclose(column, speeds, rtol=1e-6)


def test_no_window_crosses_the_hour_that_clocks_skipped(opened):
    data = opened("pems_bay_67")
    jumps = np.flatnonzero(np.diff(data.timestamps) != np.timedelta64(300, "s"))
    around = data.timestamps[jumps[0] : jumps[0] + 2].astype(str).tolist()
    assert around == ["2017-03-12T01:55:00", "2017-03-12T03:00:00"]
    assert (len(jumps), len(data.timestamps)) == (1, 52116)
    for protocol in get_args(ProtocolKind):
        split = forecast_data(data, history=12, horizon=12, node_stride=30, protocol=protocol)
        starts = torch.cat([part.starts for part in (split.train, split.validation, split.test)])
        assert not ((starts <= jumps[0]) & (starts + 23 > jumps[0])).any()
        assert (starts == jumps[0] + 1).any()


def test_the_last_two_fifths_of_pems08(opened):
    data = opened("pems08_tail")
    assert data.series.shape == (7156, 170, 1)
    assert str(data.timestamps[-1]) == "2016-08-31T23:55:00"
    assert round(100 * float((data.series == 0).mean()), 2) == 0.36
    assert data.series.max() == 1147
    np.testing.assert_array_equal(data.adjacency.sum(), 277)
    # The test windows are the published ones, and all of them.
    test = forecast_data(data, history=12, horizon=12).test
    with np.load(real("pems08_tail", "series_test")) as arrays:
        assert len(test) == len(arrays["y"]) == 3567
        ends = test.gather(torch.tensor([0, len(test) - 1])).targets
        np.testing.assert_array_equal(ends, arrays["y"][[0, -1], ..., 0])


def test_the_graphs_are_the_published_pickles(opened):
    path = real("pems_bay_67", "distances")
    sensors = pd.read_csv(path, header=None, dtype=str)[0].unique().tolist()
    pickled = read_pickled_graph(path.with_name("adj_mx_bay.pkl"), sensors)
    assert pickled.shape == (325, 325)
    made = windows_npz.road_kernel(path, sensors)
    np.fill_diagonal(made, 1.0)  # as published; ours have no loops
    np.testing.assert_allclose(made, pickled, rtol=1e-6, atol=1e-7)
    for dataset, graph in (
        ("pems_bay_67", path.with_name("adj_mx_bay.pkl")),
        ("metr_la_29", real("metr_la", "graph")),
    ):
        data = opened(dataset)
        loops = np.eye(len(data.node_ids))
        expected = read_pickled_graph(graph, data.node_ids)
        np.testing.assert_allclose(data.adjacency + loops, expected, rtol=1e-6, atol=1e-7)


def test_the_zones_of_urban_ev(opened):
    data = opened("urban_ev_45")
    assert data.node_ids[:4] == ["109", "204", "215", "227"]
    assert data.node_ids[35:39] == ["1167", "1074", "1096", "326"]
    assert data.node_ids.count("1088") == 1
    assert (data.series.shape, data.mask.all()) == ((4344, 45, 1), True)
    means = data.series[..., 0].mean(axis=0)
    assert (int(means.min()), int(means.max())) == (13, 6745)
