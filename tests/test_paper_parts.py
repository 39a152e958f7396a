"""The paper's own data in public parts: what was measured of the real files holds here.

Without a mirror of the published files (``STPRUNE_MIRROR``) only the refusals are tested.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from made_up_files import published, write_windows
from toy import card_values
from web_site import Answer, serving

from stprune.__main__ import main
from stprune.base.errors import DataError
from stprune.base.layout import DataLayout, ExperimentLayout, RunKey
from stprune.base.settings import ProtocolKind
from stprune.data.canonical import CanonicalDataset, RawSeries, read_canonical
from stprune.data.card import Channel, DatasetCard, RemoteFile, load_card
from stprune.data.dataset import forecast_data
from stprune.data.formats import renumbered_zones, windows_npz
from stprune.data.formats.dcrnn_hdf import read_pickled_graph
from stprune.data.prepare import prepare

PARTS = ("pems_bay_67", "metr_la_29", "pems08_tail", "urban_ev_45")
ROOT = Path(__file__).resolve().parents[1]
Opened = Callable[[str], CanonicalDataset]


def real(dataset: str, role: str, name: str = "") -> Path:
    """The published file of a role, or the one called ``name`` beside it."""
    path = published(load_card(dataset), role)
    if path is None:
        pytest.skip(f"set STPRUNE_MIRROR to a mirror that holds the files of {dataset}")
    return path.with_name(name) if name else path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where data are prepared once, and where the workflow runs."""
    return tmp_path_factory.mktemp("paper_parts")


@pytest.fixture(scope="module")
def opened(root: Path) -> Opened:
    """A data set by id, prepared from the mirror."""

    def open_part(dataset: str) -> CanonicalDataset:
        real(dataset, next(iter(load_card(dataset).files)))
        return read_canonical(prepare(dataset, DataLayout(root / "data")))

    return open_part


def test_the_first_week_of_metr_la_is_los_loop(opened: Opened) -> None:
    data = opened("metr_la_29")
    week = pd.read_csv(real("los_loop", "series"))[data.node_ids].to_numpy()
    seen = data.mask[: len(week), :, 0]
    np.testing.assert_allclose(data.series[: len(week), :, 0][seen], week[seen], rtol=1e-6)
    assert len(week) == 2016
    assert 0.94 < seen.mean() < 0.95, "the rest are the gaps that the publishers of los_loop filled"
    assert round(1 - data.mask.mean(), 3) == 0.077
    assert str(data.timestamps[-1]) == "2012-06-27T23:55:00"


def test_a_doubled_sensor_of_pems_bay_has_equal_columns(opened: Opened) -> None:
    ids = real("pems_bay_67", "I280_ids").read_text().split(",")
    first, second = (place for place, sensor in enumerate(ids) if sensor == "400823")
    for part in ("train", "val", "test"):
        values, _ = windows_npz.read_windows(real("pems_bay_67", f"I280_{part}"))
        np.testing.assert_array_equal(values[:, first], values[:, second])
    data = opened("pems_bay_67")
    assert data.node_ids.count("400823") == 1
    assert (len(data.node_ids), round(1 - data.mask.mean(), 6)) == (67, 0.000034)


def test_the_columns_of_route_87_are_those_of_another_publication(opened: Opened) -> None:
    """June of both sensors is in caailab/features_injection too; these lines were read there."""
    data = opened("pems_bay_67")
    for sensor, time, speeds in (
        ("400040", "2017-06-01T15:45", [33.5, 37.0, 47.6, 53.0, 54.0, 47.1, 42.1, 38.0]),
        ("400065", "2017-06-01T17:00", [22.3, 24.0, 17.2, 17.8, 15.7, 15.7, 12.7, 11.8]),
    ):
        step = int(np.flatnonzero(data.timestamps == np.datetime64(time))[0])
        column = data.series[step : step + 8, data.node_ids.index(sensor), 0]
        np.testing.assert_allclose(column, speeds, rtol=1e-6)


def test_no_window_crosses_the_hour_that_clocks_skipped(opened: Opened) -> None:
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


def test_the_last_two_fifths_of_pems08(opened: Opened) -> None:
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


def test_the_graphs_are_the_published_pickles(opened: Opened) -> None:
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


def test_the_zones_of_urban_ev(opened: Opened) -> None:
    data = opened("urban_ev_45")
    assert data.node_ids[:4] == ["109", "204", "215", "227"]
    assert data.node_ids[35:39] == ["1167", "1074", "1096", "326"]
    assert data.node_ids.count("1088") == 1
    assert (data.series.shape, data.mask.all()) == ((4344, 45, 1), True)
    means = data.series[..., 0].mean(axis=0)
    assert (int(means.min()), int(means.max())) == (13, 6745)
    # Prices are further channels, where a card asks for them.
    card = load_card("urban_ev_45")
    names = ["volume", "e_price", "s_price"]
    paths = {role: real("urban_ev_45", role) for role in card.files}
    for group, price in ((group, price) for group in ("thirty_six", "ten") for price in names[1:]):
        paths[f"{group}_{price}"] = real("urban_ev_45", f"{group}_volume", f"{price}.csv")
    channels = [Channel(name=name, unit="x") for name in names]
    options = card.options | {"channels": names}
    priced = card.model_copy(update={"options": options, "channels": channels})
    raw = renumbered_zones.load(priced, paths)
    assert isinstance(raw, RawSeries)
    assert raw.values.shape == (4344, 45, 3)
    np.testing.assert_array_equal(raw.values[..., :1], data.series)
    # The first line of the files.
    np.testing.assert_allclose(raw.values[0, 0], [58.9166667, 1.004, 0.76], rtol=1e-6)


SERIES = np.arange(20.0).reshape(10, 2, 1)


def write_series(folder: Path, changes: dict[str, Any]) -> dict[str, Path]:
    """Windows of 2 and 1 steps of the numbers 0 to 19 of two sensors, published in two parts."""
    said: dict[str, Any] = {"val": SERIES[:6], "test": SERIES[4:], "ids": "7,8"} | changes
    paths = {f"series_{role}": folder / role for role in said}
    for role, content in said.items():
        with (folder / role).open("wb") as file:
            if isinstance(content, str):
                file.write(content.encode())
            elif isinstance(content, tuple):
                np.savez(file, x=content[0], y=content[1])
            else:
                write_windows(file, content, 2, 1)
    paths["edges"] = folder / "edges.csv"
    paths["edges"].write_text("from,to\n7,8\n")
    return paths


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"val": SERIES[:7]}, "test", "does not begin with the last 2 steps"),
    ({"test": SERIES[4:] + 1}, "test", "does not begin with the last 2 steps"),
    # Every second window, and a target that does not follow its inputs.
    ({"val": (SERIES[[[0, 1], [2, 3]]], SERIES[[[2], [4]]])}, "val", "one step"),
    ({"val": (SERIES[[[0, 1], [1, 2]]], SERIES[[[3], [4]]])}, "val", "one step"),
    ({"ids": "7"}, "ids", "2 columns for 1 node"),
    ({"ids": "8,8"}, "ids", "`8` is there twice"),
]


@pytest.mark.parametrize(("changes", "file", "reason"), WRONG)
def test_windows_that_are_no_series_are_refused(
    tmp_path: Path, changes: dict[str, Any], file: str, reason: str
) -> None:
    options = {"parts": ["val", "test"]}
    card = DatasetCard.model_validate(card_values(format="windows_npz", options=options))
    raw = windows_npz.load(card, write_series(tmp_path, {}))
    assert isinstance(raw, RawSeries)
    np.testing.assert_array_equal(raw.values, SERIES)
    with pytest.raises(DataError, match=reason) as caught:
        windows_npz.load(card, write_series(tmp_path, changes))
    assert str(tmp_path / file) in str(caught.value)


@pytest.mark.parametrize("over_http", [False, True])
def test_it_is_fetched_from_a_mirror(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, over_http: bool
) -> None:
    files = {role: real("pems08_tail", role) for role in load_card("pems08_tail").files}
    words = ["pems08_tail", "--data-directory", str(tmp_path)]
    with serving() as site:
        if over_http:
            monkeypatch.setenv("STPRUNE_MIRROR", site.url(""))
        for role, file in load_card("pems08_tail").files.items():
            assert isinstance(file, RemoteFile)
            path = file.url.removeprefix("https:/")
            site.answers[path] = [Answer(files[role].read_bytes())]
        assert main(["data", "fetch", *words]) == 0
        assert len(site.requests) == (len(files) if over_http else 0)
    for role, file in files.items():
        raw = DataLayout(tmp_path).raw("pems08_tail", role, file.name)
        assert raw.read_bytes() == file.read_bytes()
    assert main(["data", "verify", *words]) == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_part_trains_through_the_workflow(root: Path, opened: Opened) -> None:
    """An epoch of STID and of a small Graph WaveNet on a few sensors."""
    sizes = {dataset: len(opened(dataset).node_ids) for dataset in PARTS}
    small = {"residual_channels": 4, "skip_channels": 8, "end_channels": 8, "blocks": 1}
    entries = {
        dataset: {"node_stride": nodes // 8, "window_stride": 37, "evaluation_stride": 37}
        for dataset, nodes in sizes.items()
    }
    config = {
        "experiment": "parts",
        "datasets": entries,
        "backbones": {"stid": None, "gwnet": {"options": small}},
        "pruners": {"full": None},
        "prune_ratios": [0.0],
        "seeds": [0],
        "training": {"epochs": 1, "batch_size": 64},
        "compute": {"own_cores": False},
        "tracking": {"mode": "disabled"},
    }
    (root / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--keep-going"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(root)]
    command += ["--configfile", str(root / "config.yaml"), "--until", "train"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    layout = ExperimentLayout(root / "results/parts")
    for dataset in PARTS:
        for backbone in ("stid", "gwnet"):
            record = layout.metrics(RunKey(dataset, backbone, "full", 0.0, 0))
            assert math.isfinite(json.loads(record.read_text())["test"]["mae"])
        assert main(["data", "verify", dataset, "--data-directory", str(root / "data")]) == 0
