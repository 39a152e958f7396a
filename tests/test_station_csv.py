"""The loader of one csv a station: small files made as published, mistakes, and the real air."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stprune.base.errors import ConfigError, DataError
from stprune.base.layout import DataLayout
from stprune.data.canonical import RawSeries, read_canonical, write_canonical
from stprune.data.card import DatasetCard
from stprune.data.formats import station_csv
from stprune.data.prepare import prepare

HEADER = '"No","year","month","day","hour","PM2.5","TEMP","wd","station"\n'
EAST = HEADER + '1,2016,2,29,23,4,-0.7,"N","East"\n2,2016,3,1,0,NA,-1.1,NA,"East"\n'
WEST = HEADER + '1,2016,2,29,23,0,NA,"N","West"\n2,2016,3,1,0,9,2.5,"N","West"\n'


def card_with(**changes: Any) -> DatasetCard:
    values: dict[str, Any] = {
        "title": "Toy",
        "description": "Two stations.",
        "format": "station_csv",
        "options": {"columns": ["PM2.5", "TEMP"]},
        "licence": "none",
        "citation": "none",
        "nodes": 2,
        "steps": 2,
        "step_minutes": 60,
        "start": "2016-02-29T23:00",
        "channels": [{"name": "dust", "unit": "ug"}, {"name": "temperature", "unit": "C"}],
        "target": "dust",
        "mask_policy": "nan",
    }
    return DatasetCard.model_validate(values | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "West.csv").write_text(WEST)
    (tmp_path / "East.csv").write_text(EAST)
    return tmp_path


def load(folder: Path, **changes: Any) -> RawSeries:
    files = {name: folder / f"{name}.csv" for name in ("West", "East")}
    return station_csv.load(card_with(**changes), files)


def test_values_gaps_and_graph(folder: Path) -> None:
    raw = load(folder)
    assert raw.node_ids == ["East", "West"]
    assert raw.values.dtype == np.float32
    np.testing.assert_allclose(raw.values[:, 0], [[4.0, -0.7], [0.0, -1.1]])
    np.testing.assert_allclose(raw.values[:, 1], [[0.0, 0.0], [9.0, 2.5]])
    # A zero is a value, NA is none.
    np.testing.assert_array_equal(raw.mask[:, 0], [[True, True], [False, True]])
    np.testing.assert_array_equal(raw.mask[:, 1], [[True, False], [True, True]])
    np.testing.assert_array_equal(raw.adjacency, [[0, 1], [1, 0]])
    assert [str(time) for time in raw.timestamps] == ["2016-02-29T23:00:00", "2016-03-01T00:00:00"]
    write_canonical(raw, card_with(), folder / "processed")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as csv"),
        (EAST.replace('"TEMP"', '"T"'), "has no column `TEMP`; it has No, year"),
        (EAST.replace('"hour",', '"h",'), "has no column `hour`"),
        (EAST + '3,2016,3,1,1,4,1,"N","East"\n', "has 3 rows, but the card says 2 steps"),
        (EAST.replace("3,1,0", "3,1,1"), "line 3 is not of 2016-03-01T00:00:00"),
        (WEST, "line 2 is of station `West`, not `East`"),
        (EAST.replace("-1.1", "cold"), "line 3, column TEMP: `cold` is not a finite number"),
        (EAST.replace("-1.1", "inf"), "line 3, column TEMP: `inf` is not a finite number"),
    ],
)
def test_a_wrong_file_is_one_clear_line(folder: Path, text: str, message: str) -> None:
    (folder / "East.csv").write_text(text)
    with pytest.raises(DataError, match=rf"East\.csv:? .*{message}") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_a_gap_under_another_policy_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match=r"East\.csv: line 3, column PM2\.5 is NaN.*`none`"):
        load(folder, mask_policy="none")


def test_a_file_that_is_not_there(folder: Path) -> None:
    (folder / "West.csv").unlink()
    with pytest.raises(DataError, match=r"West\.csv cannot be read as csv"):
        load(folder)


def test_a_card_that_does_not_fit_the_format(folder: Path) -> None:
    with pytest.raises(ConfigError, match="1 columns for 2 channels"):
        load(folder, options={"columns": ["PM2.5"]})
    with pytest.raises(ConfigError, match="each of the 3 stations, not 2"):
        load(folder, nodes=3)


@pytest.mark.real_data
def test_the_real_beijing_air(tmp_path: Path) -> None:
    if not os.environ.get("STPRUNE_MIRROR"):
        pytest.skip("set STPRUNE_MIRROR to a mirror that holds the files of Beijing's air")
    dataset = read_canonical(prepare("beijing_air", DataLayout(tmp_path)))
    assert dataset.series.shape == (35064, 12, 5)
    # First rows of the first file and the last of the eleventh, read off the files.
    np.testing.assert_allclose(
        dataset.series[:2, 0], [[4, -0.7, 1023, -18.8, 4.4], [8, -1.1, 1023.2, -18.2, 4.7]]
    )
    assert dataset.node_ids[10] == "Wanliu"
    np.testing.assert_allclose(dataset.series[-1, 10], [7, 7, 1012.6, -11.2, 1.1])
    assert 0.02 < 1 - dataset.mask[..., 0].mean() < 0.05
    assert str(dataset.timestamps[-1]) == "2017-02-28T23:00:00"
