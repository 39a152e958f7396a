"""The HDF and pickle loader: what it reads, how graph and series meet, mistakes, the real graph."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fabricated_pems import pickled_graph
from numpy.typing import NDArray
from pandas_layout import write_frame

from stprune.base.errors import ConfigError, DataError
from stprune.data.canonical import RawSeries, write_canonical
from stprune.data.card import DatasetCard, RemoteFile, load_card
from stprune.data.formats import dcrnn_hdf

MIRROR = os.environ.get("STPRUNE_MIRROR")
IDS = ["773869", "767541", "767542"]
SPEED = np.array([[64.375, 0.0, 61.5], [62.0, 60.25, 0.0]])
# Row to column, with loops; 773869 leads to 767541 leads to 767542.
WEIGHTS = np.array([[1, 0.5, 0], [0, 1, 0.25], [0, 0, 1]], dtype=np.float32)
TIMES = np.array(["2012-03-01T00:00", "2012-03-01T00:05"], dtype="datetime64[s]")


def card_with(**changes: Any) -> DatasetCard:
    values: dict[str, Any] = {
        "title": "Toy",
        "description": "Three sensors.",
        "format": "dcrnn_hdf",
        "licence": "none",
        "citation": "none",
        "nodes": 3,
        "steps": 2,
        "step_minutes": 5,
        "start": "2012-03-01T00:00",
        "channels": [{"name": "speed", "unit": "miles per hour"}],
        "target": "speed",
        "mask_policy": "zero",
    }
    return DatasetCard.model_validate(values | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_series(tmp_path)
    (tmp_path / "graph.pkl").write_bytes(pickled_graph(IDS, WEIGHTS))
    return tmp_path


def write_series(
    folder: Path, speed: NDArray[Any] = SPEED, times: NDArray[np.datetime64] = TIMES
) -> None:
    write_frame(folder / "series.h5", "df", IDS, times, speed)


def load(folder: Path, **changes: Any) -> RawSeries:
    files = {"series": folder / "series.h5", "graph": folder / "graph.pkl"}
    return dcrnn_hdf.load(card_with(**changes), files)


def test_series_graph_and_times(folder: Path) -> None:
    raw = load(folder)
    assert raw.values.dtype == np.float32
    np.testing.assert_array_equal(raw.values[:, :, 0], SPEED)
    np.testing.assert_array_equal(raw.mask[:, :, 0], SPEED != 0)
    assert raw.node_ids == IDS
    np.testing.assert_array_equal(raw.adjacency, WEIGHTS - np.eye(3))
    np.testing.assert_array_equal(raw.timestamps, TIMES)
    write_canonical(raw, card_with(), folder / "processed")


def test_a_graph_in_another_order_is_put_into_that_of_the_series(folder: Path) -> None:
    order = [2, 0, 1]
    moved = pickled_graph([IDS[at] for at in order], WEIGHTS[np.ix_(order, order)])
    (folder / "graph.pkl").write_bytes(moved)
    np.testing.assert_array_equal(load(folder).adjacency, WEIGHTS - np.eye(3))


def test_whole_numbers_as_ids_on_either_side(folder: Path) -> None:
    numbers = np.array(IDS, dtype=np.int64)
    write_frame(folder / "series.h5", "df", numbers, TIMES, SPEED)
    assert load(folder).node_ids == IDS
    write_series(folder)
    content = [numbers.tolist(), {name: at for at, name in enumerate(numbers.tolist())}, WEIGHTS]
    (folder / "graph.pkl").write_bytes(pickle.dumps(content, 2))
    np.testing.assert_array_equal(load(folder).adjacency, WEIGHTS - np.eye(3))


def test_a_zero_is_a_value_under_another_policy(folder: Path) -> None:
    assert load(folder, mask_policy="none").mask.all()


LATER = np.array(["2012-03-01T00:05", "2012-03-01T00:10"], dtype="datetime64[s]")


@pytest.mark.parametrize(
    ("speed", "times", "message"),
    [
        (np.where(SPEED == 62, np.nan, SPEED), TIMES, "2012-03-01T00:05:00, sensor 773869 is NaN"),
        (np.where(SPEED == 62, np.inf, SPEED), TIMES, "00:05:00, sensor 773869 is not a finite"),
        (SPEED, LATER, "begins at 2012-03-01T00:05:00, but the card says 2012-03-01T00:00:00"),
        (SPEED[:1], TIMES[:1], r"the table is \(steps, sensors\) = \(1, 3\), but .* \(2, 3\)"),
    ],
)
def test_a_wrong_series_is_one_clear_line(
    folder: Path, speed: NDArray[Any], times: NDArray[np.datetime64], message: str
) -> None:
    write_series(folder, speed, times)
    with pytest.raises(DataError, match=rf"series\.h5.* ?{message}") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_a_gap_in_time_is_named_when_it_is_written(folder: Path) -> None:
    times = np.array(["2012-03-01T00:00", "2012-03-01T01:00"], dtype="datetime64[s]")
    write_series(folder, SPEED, times)
    with pytest.raises(DataError, match="the step after 2012-03-01T00:00:00 is 3600 s long"):
        write_canonical(load(folder), card_with(), folder / "processed")


POSITIONS = {name: at for at, name in enumerate(IDS)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (IDS[:2], "must hold three things: sensor ids, positions, edge weights"),
        (WEIGHTS, "must hold three things"),
        ([WEIGHTS, POSITIONS, IDS], "must hold a list of sensor ids and a mapping"),
        ([IDS[:2], POSITIONS, WEIGHTS], "has 2 sensors and the series 3, .*: 767542"),
        ([["1", *IDS[1:]], POSITIONS, WEIGHTS], "has 3 sensors and the series 3, .*: 1, 773869"),
        ([IDS + IDS[:1], POSITIONS, WEIGHTS], "has 4 sensors .*: some stand twice"),
        ([IDS, POSITIONS | {"767541": 2}, WEIGHTS], "the positions .* are not those of their list"),
        ([IDS, POSITIONS, WEIGHTS[:2]], r"must be numbers of shape \(3, 3\), not \(2, 3\)"),
        ([IDS, POSITIONS, "none"], r"must be numbers of shape \(3, 3\), not str"),
        (
            [IDS, POSITIONS, np.where(WEIGHTS == 0.25, np.nan, WEIGHTS)],
            "the edge from 767541 to 767542 has the weight nan",
        ),
        (
            [IDS, POSITIONS, np.where(WEIGHTS == 0.5, -0.5, WEIGHTS)],
            r"the edge from 773869 to 767541 has the weight -0\.5, but it must be finite",
        ),
    ],
)
def test_a_wrong_graph_is_one_clear_line(folder: Path, content: Any, message: str) -> None:
    (folder / "graph.pkl").write_bytes(pickle.dumps(content, 2))
    with pytest.raises(DataError, match=rf"graph\.pkl:? .*{message}") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_files_in_each_others_place(folder: Path) -> None:
    files = {"series": folder / "graph.pkl", "graph": folder / "series.h5"}
    with pytest.raises(DataError, match=r"graph\.pkl cannot be read as HDF"):
        dcrnn_hdf.load(card_with(), files)
    with pytest.raises(DataError, match=r"series\.h5 (cannot be read as|is) a pickle"):
        dcrnn_hdf.load(card_with(), {"series": folder / "series.h5", "graph": folder / "series.h5"})


def test_a_card_that_does_not_fit_the_format(folder: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key `table`"):
        load(folder, options={"table": "df"})
    with pytest.raises(DataError, match="has no table `speed`; its tables are df"):
        load(folder, options={"key": "speed"})
    with pytest.raises(ConfigError, match="takes the files series, graph, not series"):
        dcrnn_hdf.load(card_with(), {"series": folder / "series.h5"})


@pytest.mark.skipif(not MIRROR, reason="the published graph is only there with STPRUNE_MIRROR")
def test_the_published_graph_goes_with_the_week_that_is_there(tmp_path: Path) -> None:
    """Los-loop is the first week of METR-LA: it has the same sensors in the same order."""
    week, whole = load_card("los_loop"), load_card("metr_la")
    header = path_of(week, "series").read_text().split("\n", 1)[0].split(",")
    write_frame(tmp_path / "s.h5", "df", header, TIMES, np.ones((2, 207)))
    card = card_with(nodes=207, options=whole.options)
    raw = dcrnn_hdf.load(card, {"series": tmp_path / "s.h5", "graph": path_of(whole, "graph")})
    assert raw.node_ids == header
    # Directed, 1,515 edges besides the loops, none below the kernel's threshold.
    assert np.count_nonzero(raw.adjacency) == 1515
    assert (raw.adjacency != raw.adjacency.T).any()
    assert raw.adjacency[raw.adjacency > 0].min() >= 0.1


def path_of(card: DatasetCard, role: str) -> Path:
    file = card.files[role]
    assert isinstance(file, RemoteFile)
    return Path(str(MIRROR), file.url.removeprefix("https://"))
