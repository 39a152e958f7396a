"""The PeMS loader: the array, the edges and their weights, mistakes, and the real graphs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stprune.base.errors import ConfigError, DataError
from stprune.data.canonical import RawSeries, write_canonical
from stprune.data.card import DatasetCard, load_card
from stprune.data.edge_list import read_edges
from stprune.data.formats import pems_npz

MIRROR = os.environ.get("STPRUNE_MIRROR")
SERIES = np.array([[[1, 0.5], [2, 0.25], [3, 0]], [[4, 0.5], [0, 0.25], [6, 0]]])
EDGES = "from,to,cost\r\n0,1,300.0\r\n1,2,100.0\r\n2,0,500.0\r\n"


def card_with(**changes: Any) -> DatasetCard:
    values: dict[str, Any] = {
        "title": "Toy",
        "description": "Three sensors.",
        "format": "pems_npz",
        "licence": "none",
        "citation": "none",
        "nodes": 3,
        "steps": 2,
        "step_minutes": 5,
        "start": "2018-02-28T23:55",
        "channels": [{"name": "flow", "unit": "vehicles"}, {"name": "occupancy", "unit": "share"}],
        "target": "flow",
        "mask_policy": "none",
    }
    return DatasetCard.model_validate(values | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.savez(tmp_path / "series.npz", data=SERIES)
    (tmp_path / "edges.csv").write_bytes(EDGES.encode())
    return tmp_path


def load(folder: Path, **changes: Any) -> RawSeries:
    names = ("series.npz", "edges.csv", "ids.txt")
    files = {name.split(".")[0]: folder / name for name in names if (folder / name).exists()}
    return pems_npz.load(card_with(**changes), files)


def test_series_edges_and_times(folder: Path) -> None:
    raw = load(folder)
    assert raw.values.dtype == np.float32
    np.testing.assert_array_equal(raw.values, SERIES)
    assert raw.mask.all(), "a zero is a value here"
    assert raw.node_ids == ["0", "1", "2"]
    np.testing.assert_array_equal(raw.adjacency, [[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    assert [str(time) for time in raw.timestamps] == ["2018-02-28T23:55:00", "2018-03-01T00:00:00"]
    write_canonical(raw, card_with(), folder / "processed")


def test_ids_say_which_row_of_the_array_an_edge_means(folder: Path) -> None:
    (folder / "ids.txt").write_bytes(b"317842\r\n9\r\n313344")
    (folder / "edges.csv").write_text("from,to,distance\n\n9,313344,1.5\n\n317842,317842,0\n\n")
    raw = load(folder)
    assert raw.node_ids == ["317842", "9", "313344"]
    np.testing.assert_array_equal(raw.adjacency, [[0, 0, 0], [0, 0, 1], [0, 0, 0]])


def test_gaussian_weights(folder: Path) -> None:
    # Of 300, 100 and 500 the mean is 300 and the deviation 163.299: squares 3.375, 0.375, 9.375.
    raw = load(folder, options={"weights": "gaussian", "threshold": 0})
    expected = np.exp([-3.375, -0.375, -9.375])
    found = raw.adjacency[[0, 1, 2], [1, 2, 0]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    raw = load(folder, options={"weights": "gaussian", "sigma": 400, "threshold": 0.5})
    np.testing.assert_allclose(raw.adjacency[0, 1], np.exp(-0.5625), rtol=1e-6)
    assert raw.adjacency[2, 0] == 0, "exp(-1.5625) is below the threshold"
    assert (raw.adjacency > 0).sum() == 2


def test_edges_can_be_made_to_lead_both_ways(folder: Path) -> None:
    raw = load(folder, options={"symmetrise": "max"})
    np.testing.assert_array_equal(raw.adjacency, 1 - np.eye(3))
    raw = load(folder, options={"symmetrise": "mean"})
    np.testing.assert_array_equal(raw.adjacency, (1 - np.eye(3)) / 2)


def test_a_zero_is_missing_if_the_policy_says_so(folder: Path) -> None:
    raw = load(folder, mask_policy="zero")
    np.testing.assert_array_equal(raw.mask, SERIES != 0)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (SERIES[:, :2], r"series\.npz: `data` has the shape \(2, 2, 2\), but the card says"),
        (SERIES[..., :1], r"series\.npz: `data` has the shape \(2, 3, 1\), but the card says"),
        (
            np.where(SERIES == 0.25, np.nan, SERIES),
            r"series\.npz: step 0, sensor 1, channel 1 of the array is NaN, but the mask policy",
        ),
        (
            np.where(SERIES == 6, np.inf, SERIES),
            r"series\.npz: step 1, sensor 2, channel 0 of `data` is not a finite number",
        ),
    ],
)
def test_a_wrong_series_is_one_clear_line(folder: Path, array: np.ndarray, message: str) -> None:
    np.savez(folder / "series.npz", data=array)
    with pytest.raises(DataError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (b"1\n2\n", "has 2 ids, but Toy has 3 sensors"),
        (b"1\n2\n3\n4\n", "has 4 ids, but Toy has 3 sensors"),
        (b"1\n2\n1\n", "line 3 repeats the id of line 1"),
        (b"1\n\n3\n", "line 2 is empty"),
        (b"", "has 0 ids"),
        (b"\xff\xfe1\n", "cannot be read as text"),
    ],
)
def test_wrong_ids_are_one_clear_line(folder: Path, ids: bytes, message: str) -> None:
    (folder / "ids.txt").write_bytes(ids)
    with pytest.raises(DataError, match=rf"ids\.txt:? {message}") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_edges_of_other_sensors(folder: Path) -> None:
    (folder / "edges.csv").write_text("from,to,cost\n0,3,1\n")
    with pytest.raises(DataError, match=r"edges\.csv: line 2 names the node `3`"):
        load(folder)


def test_equal_distances_give_no_gaussian_width(folder: Path) -> None:
    (folder / "edges.csv").write_text("from,to,cost\n0,1,5\n1,2,5\n")
    with pytest.raises(DataError, match="2 distances that do not differ"):
        load(folder, options={"weights": "gaussian"})


def test_a_card_that_does_not_fit_the_format(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown key `weight`.*did you mean `weights`"):
        load(folder, options={"weight": "binary"})
    with pytest.raises(ConfigError, match="Input should be 'binary' or 'gaussian'"):
        load(folder, options={"weights": "inverse"})
    message = "takes the files series, edges and perhaps ids, not ids, series"
    with pytest.raises(ConfigError, match=message):
        pems_npz.load(card_with(), {"series": folder, "ids": folder})


@pytest.mark.skipif(not MIRROR, reason="the published graphs are only there with STPRUNE_MIRROR")
@pytest.mark.parametrize(
    ("dataset", "edges", "one_way", "shortest", "longest"),
    [
        ("pems03", 546, 546, 0.035, 10.194),
        ("pems04", 340, 340, 3.2, 2712.1),
        ("pems07", 866, 866, 0.032, 20.539),
        ("pems08", 277, 271, 6.3, 3274.4),
    ],
)
def test_the_published_graphs(
    dataset: str, edges: int, one_way: int, shortest: float, longest: float
) -> None:
    """Counts made independently, by a plain reading of the lines."""
    card = load_card(dataset)
    paths = {
        role: Path(str(MIRROR), file.model_dump()["url"].removeprefix("https://"))
        for role, file in card.files.items()
    }
    node_ids = [str(position) for position in range(card.nodes)]
    if "ids" in paths:
        node_ids = paths["ids"].read_text().split()
    distances = read_edges(paths["edges"], node_ids)
    there = ~np.isnan(distances)
    assert there.sum() == edges
    assert (there & ~there.T).sum() == one_way
    assert distances[there].min() == shortest
    assert distances[there].max() == longest
    assert (there | there.T).any(axis=0).all(), "every sensor has an edge"
