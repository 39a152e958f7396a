"""The csv and sparse matrix loader: with and without a header, the skipped hour, mistakes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse

from stprune.base.errors import ConfigError, DataError
from stprune.data.canonical import RawSeries, write_canonical
from stprune.data.card import DatasetCard, RemoteFile, load_card
from stprune.data.formats import csv_sparse_graph
from stprune.data.sparse_npz import read_sparse_graph

MIRROR = os.environ.get("STPRUNE_MIRROR")
# Half hours from 01:00 on, of which 02:00 and 02:30 did not exist.
ROWS = "71.4,0.0\n67.6,68.5\n70,66.1\n"
WEIGHTS = np.array([[1.0, 0.5], [0.25, 1.0]])


def card_with(**changes: Any) -> DatasetCard:
    values: dict[str, Any] = {
        "title": "Toy",
        "description": "Two sensors.",
        "format": "csv_sparse_graph",
        "options": {"clock_forward": "2017-03-12T02:00"},
        "licence": "none",
        "citation": "none",
        "nodes": 2,
        "steps": 5,
        "step_minutes": 30,
        "start": "2017-03-12T01:00",
        "channels": [{"name": "speed", "unit": "miles per hour"}],
        "target": "speed",
        "mask_policy": "zero",
    }
    return DatasetCard.model_validate(values | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "series.csv").write_text("400001,400017\n" + ROWS)
    sparse.save_npz(tmp_path / "graph.npz", sparse.csc_matrix(WEIGHTS))
    return tmp_path


def load(folder: Path, **changes: Any) -> RawSeries:
    files = {"series": folder / "series.csv", "graph": folder / "graph.npz"}
    return csv_sparse_graph.load(card_with(**changes), files)


def test_series_graph_and_the_hour_that_clocks_skipped(folder: Path) -> None:
    raw = load(folder)
    assert raw.node_ids == ["400001", "400017"]
    expected = np.array([[71.4, 0], [67.6, 68.5], [0, 0], [0, 0], [70, 66.1]], dtype=np.float32)
    np.testing.assert_array_equal(raw.values[:, :, 0], expected)
    np.testing.assert_array_equal(raw.mask[:, :, 0], expected != 0)
    clock = [str(time)[11:16] for time in raw.timestamps]
    assert clock == ["01:00", "01:30", "02:00", "02:30", "03:00"]
    np.testing.assert_array_equal(raw.adjacency, [[0, 0.5], [0.25, 0]])
    write_canonical(raw, card_with(), folder / "processed")


def test_the_skipped_hour_is_unobserved_under_any_policy(folder: Path) -> None:
    raw = load(folder, mask_policy="none")
    np.testing.assert_array_equal(raw.mask[:, 0, 0], [True, True, False, False, True])
    assert raw.mask[0, 1, 0], "a zero is a value here"


def test_without_a_header_sensors_are_numbered(folder: Path) -> None:
    with_header = load(folder)
    for ending in ("", "\n", "\r\n"):
        (folder / "series.csv").write_bytes((ROWS.strip() + ending).encode())
        raw = load(folder)
        assert raw.node_ids == ["0", "1"]
        np.testing.assert_array_equal(raw.values, with_header.values)
        np.testing.assert_array_equal(raw.mask, with_header.mask)


def test_without_a_skipped_hour_every_row_is_a_step(folder: Path) -> None:
    raw = load(folder, options={}, steps=3)
    assert str(raw.timestamps[-1]) == "2017-03-12T02:00:00"
    np.testing.assert_allclose(raw.values[:, 0, 0], [71.4, 67.6, 70])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has 0 lines, but the card says 3 steps with rows"),
        ("a,b\n" + ROWS + "1,2\n", "has 5 lines, but the card says 3 steps with rows"),
        ("71.4,1\n1,2\n", "has 2 lines, but the card says 3 steps with rows"),
        ("a,b,c\n" + ROWS, "line 1 has 3 columns, but the card says 2"),
        ("a,a\n" + ROWS, "column 2 of the header repeats the sensor id `a`"),
        ("a,b\n1,2\n1,fast\n3,4\n", r"line 3, column 2 \(sensor b\): `fast` is not a finite"),
        ("1,2\n1,fast\n3,4\n", r"line 2, column 2 \(sensor 1\): `fast` is not a finite number"),
        ("a,b\n1,2\n1\n3,4\n", "line 3 has 1 columns"),
        ("a,b\n1,2\n1,2\n3,\n", r"line 4, column 2 \(sensor b\) is NaN, but the mask policy"),
        ("1,2\n1,2\n3,\n", r"line 3, column 2 \(sensor 1\) is NaN, but the mask policy"),
    ],
)
def test_a_wrong_series_is_one_clear_line(folder: Path, text: str, message: str) -> None:
    (folder / "series.csv").write_text(text)
    with pytest.raises(DataError, match=rf"series\.csv:? .*{message}") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_a_series_that_is_not_there(folder: Path) -> None:
    (folder / "series.csv").unlink()
    with pytest.raises(DataError, match=r"series\.csv cannot be read"):
        load(folder)


def test_a_card_that_does_not_fit_the_format(folder: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key `skip`"):
        load(folder, options={"skip": 1})
    for at in ("2017-03-12T03:00", "2017-03-12T00:30", "2018-03-11T02:00"):
        with pytest.raises(ConfigError, match=rf"the hour from `clock_forward` {at}:00 on is not"):
            load(folder, options={"clock_forward": at})
    with pytest.raises(ConfigError, match="holds one channel, not 2"):
        load(folder, channels=[{"name": name, "unit": "x"} for name in ("speed", "flow")])
    with pytest.raises(ConfigError, match="takes the files series, graph, not graph"):
        csv_sparse_graph.load(card_with(), {"graph": folder / "graph.npz"})


@pytest.mark.parametrize("layout", ["csc", "csr", "coo"])
@pytest.mark.parametrize("kind", [sparse.coo_matrix, sparse.coo_array])
def test_any_usual_layout_of_a_sparse_graph(tmp_path: Path, layout: str, kind: Any) -> None:
    sparse.save_npz(tmp_path / "g.npz", kind(WEIGHTS).asformat(layout))
    graph = read_sparse_graph(tmp_path / "g.npz", 2)
    np.testing.assert_array_equal(graph, [[0, 0.5], [0.25, 0]])
    assert graph.dtype == np.float32


def refusal(path: Path, nodes: int = 2) -> str:
    with pytest.raises(DataError) as caught:
        read_sparse_graph(path, nodes)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (sparse.csc_matrix(np.eye(3)), "has the shape (3, 3), but the series has 2 sensors"),
        (sparse.csc_matrix(WEIGHTS[:1]), "has the shape (1, 2), but the series has 2 sensors"),
        (sparse.csc_matrix(-WEIGHTS), "row 0, column 0 is -1, but a weight must be finite and"),
        (sparse.csc_matrix(WEIGHTS * [np.inf, 1]), "row 0, column 0 is inf"),
        (sparse.csc_matrix(WEIGHTS * 1j), "holds complex128, not numbers"),
        (sparse.dia_matrix(WEIGHTS), "has the layout dia; save it as csc, csr, coo"),
    ],
)
def test_a_wrong_graph_is_one_clear_line(tmp_path: Path, graph: Any, message: str) -> None:
    sparse.save_npz(tmp_path / "g.npz", graph)
    assert message in refusal(tmp_path / "g.npz")


def write_parts(path: Path, **changes: NDArray[Any]) -> None:
    """A file as SciPy writes it, but for the changes."""
    graph = sparse.csc_matrix(WEIGHTS)
    parts: dict[str, Any] = {
        "format": np.array(b"csc"),
        "shape": np.array([2, 2]),
        "data": graph.data,
        "indices": graph.indices,
        "indptr": graph.indptr,
    }
    np.savez(path, **parts | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"indices": np.array([0, 1, 0, 7], dtype=np.int32)},  # would be written outside
        {"indices": np.array([0, 1, 0, -9], dtype=np.int32)},
        {"indices": np.array([0, 1, 0, 1.5])},
        {"indptr": np.array([0, 9, 4], dtype=np.int32)},
        {"indptr": np.array([0, 3, 2], dtype=np.int32)},
        {"indptr": np.array([0, 4], dtype=np.int32)},
        {"format": np.array(b"exe")},
        {"format": np.array(b"\xff")},
        {"data": np.array([None] * 4, dtype=object)},  # would be unpickled
    ],
)
def test_a_file_that_lies_about_its_places_is_refused(
    tmp_path: Path, changes: dict[str, NDArray[Any]]
) -> None:
    write_parts(tmp_path / "g.npz")
    read_sparse_graph(tmp_path / "g.npz", 2)
    write_parts(tmp_path / "g.npz", **changes)
    assert "cannot be read as a sparse matrix of SciPy" in refusal(tmp_path / "g.npz")


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path: Path) -> None:
    graph = sparse.csc_matrix(WEIGHTS)
    np.savez_compressed(tmp_path / "g.npz", data=np.zeros(2**22), indices=graph.indices)
    assert (tmp_path / "g.npz").stat().st_size < 2**16
    assert "unpacks to 33554" in refusal(tmp_path / "g.npz")


def test_files_that_are_no_sparse_matrix(tmp_path: Path) -> None:
    path = tmp_path / "g.npz"
    assert "No such file" in refusal(path)
    path.write_bytes(b"<html>")
    assert "File is not a zip file" in refusal(path)
    np.savez(path, data=WEIGHTS)
    assert "does not contain a sparse array" in refusal(path)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_graph_is_one_line_or_the_graph(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "g.npz"
    sparse.save_npz(path, sparse.csc_matrix(WEIGHTS))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        np.testing.assert_array_equal(read_sparse_graph(path, 2), [[0, 0.5], [0.25, 0]])


@pytest.mark.skipif(not MIRROR, reason="the published graph is only there with STPRUNE_MIRROR")
def test_the_published_graph() -> None:
    file = load_card("pems_bay").files["graph"]
    assert isinstance(file, RemoteFile)
    graph = read_sparse_graph(Path(str(MIRROR), file.url.removeprefix("https://")), 325)
    # As the card says: symmetric, weights of 0.1 to 1.
    assert np.count_nonzero(graph) == 38_562
    np.testing.assert_array_equal(graph, graph.T)
    assert graph[graph > 0].min() >= 0.1
    assert graph.max() <= 1
