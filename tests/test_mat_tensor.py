"""The MATLAB tensor loader: small files made as published, mistakes, and the real metro."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from stprune.base.errors import ConfigError, DataError
from stprune.base.layout import DataLayout
from stprune.data.canonical import RawSeries, read_canonical, write_canonical
from stprune.data.card import DatasetCard
from stprune.data.dataset import forecast_data
from stprune.data.formats import mat_tensor
from stprune.data.prepare import prepare

# Three stations, two days, four slots from 20:00 to 24:00; station 2 of a line of four is closed.
TENSOR = np.arange(24, dtype=np.uint16).reshape(3, 2, 4)
GRAPH = ",0,1,2,3\n0,0,1,0,0\n1,1,0,1,0\n2,0,1,0,1\n3,0,0,1,0\n"


def card_with(**changes: Any) -> DatasetCard:
    values: dict[str, Any] = {
        "title": "Toy",
        "description": "Three stations.",
        "format": "mat_tensor",
        "options": {"missing_stations": ["2"]},
        "licence": "none",
        "citation": "none",
        "nodes": 3,
        "steps": 8,
        "step_minutes": 60,
        "start": "2024-02-28T20:00",
        "breaks": "daily",
        "channels": [{"name": "boardings", "unit": "passengers"}],
        "target": "boardings",
        "mask_policy": "none",
    }
    return DatasetCard.model_validate(values | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    savemat(tmp_path / "series.mat", {"tensor": TENSOR})
    (tmp_path / "graph.csv").write_text(GRAPH)
    return tmp_path


def load(folder: Path, **changes: Any) -> RawSeries:
    files = {"series": folder / "series.mat", "graph": folder / "graph.csv"}
    return mat_tensor.load(card_with(**changes), files)


def test_days_follow_each_other_and_nights_are_left_out(folder: Path) -> None:
    raw = load(folder)
    assert raw.values.dtype == np.float32
    np.testing.assert_array_equal(raw.values[:, 1, 0], [8, 9, 10, 11, 12, 13, 14, 15])
    assert raw.mask.all()
    hours = [str(time) for time in raw.timestamps.astype("datetime64[h]")]
    assert hours[:5] == [f"2024-02-28T{h}" for h in (20, 21, 22, 23)] + ["2024-02-29T20"]
    write_canonical(raw, card_with(), folder / "processed")


def test_the_neighbours_of_a_closed_station_are_linked(folder: Path) -> None:
    raw = load(folder)
    assert raw.node_ids == ["0", "1", "3"]
    np.testing.assert_array_equal(raw.adjacency, [[0, 1, 0], [1, 0, 1], [0, 1, 0]])


def test_a_zero_is_missing_if_the_policy_says_so(folder: Path) -> None:
    assert np.argwhere(~load(folder, mask_policy="zero").mask).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"counts": TENSOR}, "has no array `tensor`, only counts"),
        (
            {"tensor": TENSOR[0]},
            r"must be numbers in \(stations, days, slots\), not uint16 \(2, 4\)",
        ),
        ({"tensor": TENSOR.reshape(3, 1, 8)}, "8 slots a day from 20:00 on go beyond midnight"),
        ({"tensor": TENSOR[:2]}, "3 stations besides the 1 missing ones, but the series has 2"),
        ({"tensor": np.full((3, 2, 4), np.nan)}, "step 0 of station 0 is NaN"),
    ],
)
def test_a_wrong_array_is_one_clear_line(
    folder: Path, content: dict[str, Any], message: str
) -> None:
    savemat(folder / "series.mat", content)
    with pytest.raises(DataError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no MATLAB file at all, but some text", b"\x00" * 200])
def test_what_is_no_matlab_file_is_one_clear_line(folder: Path, content: bytes) -> None:
    (folder / "series.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"series\.mat") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (GRAPH.replace("\n3,", "\n4,"), "must list the stations of the header in order"),
        (GRAPH.replace("1,1,0,1,0", "1,1,0,1"), "line 3 has 3 columns"),
        (GRAPH.replace("1,1,0,1,0", "1,1,0,,0"), r"line 3, column 3 \(sensor 2\): a link without"),
        (",0,1,3\n0,0,1,0\n1,1,0,1\n3,0,1,0\n", "has no station `2`, which the card calls missing"),
    ],
)
def test_a_wrong_graph_is_one_clear_line(folder: Path, text: str, message: str) -> None:
    (folder / "graph.csv").write_text(text)
    with pytest.raises(DataError, match=rf"graph\.csv:? .*{message}") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_a_card_that_does_not_fit_the_format(folder: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key `name`"):
        load(folder, options={"name": "tensor"})
    with pytest.raises(ConfigError, match="takes the files series, graph, not series"):
        mat_tensor.load(card_with(), {"series": folder / "series.mat"})


@pytest.mark.real_data
def test_the_real_hangzhou_metro(tmp_path: Path) -> None:
    if not os.environ.get("STPRUNE_MIRROR"):
        pytest.skip("set STPRUNE_MIRROR to a mirror that holds the files of the Hangzhou metro")
    dataset = read_canonical(prepare("hangzhou_metro", DataLayout(tmp_path)))
    assert dataset.series.shape == (2700, 80, 1)
    assert dataset.mask.all()
    assert dataset.series.max() == 3334
    # The first hours of the first station, read off the file.
    np.testing.assert_array_equal(dataset.series[:6, 0, 0], [17, 21, 30, 44, 31, 66])
    assert str(dataset.timestamps[108]) == "2019-01-02T06:00:00"
    place = {name: row for row, name in enumerate(dataset.node_ids)}
    assert "54" not in place
    assert dataset.adjacency[place["53"], place["55"]] == 1
    np.testing.assert_array_equal(dataset.adjacency, dataset.adjacency.T)
    opened = forecast_data(dataset, history=12, horizon=12)
    assert sum(map(len, (opened.train, opened.validation, opened.test))) == 25 * (108 - 23)
    slots = opened.train.gather(torch.arange(len(opened.train))).time_of_day
    assert (int(slots.min()), int(slots.max())) == (36, 143 - 12)
    assert (slots.diff(dim=1) == 1).all()
