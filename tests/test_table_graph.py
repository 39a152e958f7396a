"""The graph of a user's data: aligned by sensor id, weighed as told, refused with its place."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from toy import canonical

from stprune.base.errors import ConfigError, DataError
from stprune.base.schema import validate
from stprune.data.dataset import forecast_data
from stprune.data.table.graph import read_graph
from stprune.data.table.options import Options

NODES = ["a", "b", "c"]
WEIGHTS = np.array([[0, 0.5, 0], [0.25, 0, 2], [0, 1, 0]])
BOTH = ",b,a,c\nb,9,0.25,2\na,0.5,9,0\nc,1,0,9\n"


def read(
    tmp_path: Path, role: str, content: str | bytes, name: str = "graph.csv", **graph: Any
) -> np.ndarray:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    options = validate(Options, {"graph": graph}, "options")
    return read_graph(role, tmp_path / name, NODES, options)


@pytest.mark.parametrize(
    "content",
    [
        "0,0.5,0\n0.25,7,2\n0,1,0\n",
        "b,a,c\n0,0.25,2\n0.5,0,0\n1,0,0\n",
        BOTH,
        "\ufeff" + BOTH.replace("\n", "\r\n"),
    ],
)
def test_a_csv_matrix_with_and_without_ids(tmp_path: Path, content: str) -> None:
    weights = read(tmp_path, "adjacency", content)
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, WEIGHTS)


def test_binary_files(tmp_path: Path) -> None:
    options = Options()
    np.save(tmp_path / "graph.npy", WEIGHTS)
    np.testing.assert_array_equal(
        read_graph("adjacency", tmp_path / "graph.npy", NODES, options), WEIGHTS
    )
    for kind in (sparse.csr_array, sparse.csc_array):
        sparse.save_npz(tmp_path / "graph.npz", kind(WEIGHTS))
        np.testing.assert_array_equal(
            read_graph("adjacency", tmp_path / "graph.npz", NODES, options), WEIGHTS
        )
    sparse.save_npz(tmp_path / "graph.npz", sparse.coo_array(WEIGHTS))
    with pytest.raises(DataError, match="has the arrays"):
        read_graph("adjacency", tmp_path / "graph.npz", NODES, options)
    np.savez(tmp_path / "graph.npz", near=WEIGHTS, far=WEIGHTS)
    named = Options.model_validate({"graph": {"array": "near"}})
    np.testing.assert_array_equal(
        read_graph("adjacency", tmp_path / "graph.npz", NODES, named), WEIGHTS
    )
    sparse.save_npz(tmp_path / "graph.npz", sparse.csr_array((4, 4)))
    with pytest.raises(DataError, match="no sparse matrix of the sensors: its shape is"):
        read_graph("adjacency", tmp_path / "graph.npz", NODES, options)


def test_edges_in_any_order(tmp_path: Path) -> None:
    content = "from,to,cost\nc,b,1\nb,a,0.25\na,b,0.5\nb,c,2\n"
    np.testing.assert_array_equal(read(tmp_path, "edges", content), WEIGHTS)
    binary = read(tmp_path, "edges", content, weights="binary")
    np.testing.assert_array_equal(binary, WEIGHTS != 0)
    one_way = "from,to\na,b\n"
    np.testing.assert_array_equal(
        read(tmp_path, "edges", one_way, symmetrise="max"), [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    )
    with pytest.raises(DataError, match="line 3 names the node `d`"):
        read(tmp_path, "edges", "from,to\na,b\na,d\n")


def test_distances_become_gaussian_weights(tmp_path: Path) -> None:
    content = "from,to,km\na,b,1\nb,a,3\nb,c,2\n"
    weights = read(tmp_path, "edges", content, weights="gaussian", sigma=2)
    expected = [[0, math.exp(-0.25), 0], [math.exp(-2.25), 0, math.exp(-1)], [0, 0, 0]]
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    weights = read(tmp_path, "edges", content, weights="gaussian", sigma=2, threshold=0.5)
    np.testing.assert_allclose(weights[0, 1], math.exp(-0.25), rtol=1e-6)
    assert np.count_nonzero(weights) == 1
    matrix = "0,1,\n3,0,2\ninf,,0\n"
    weights = read(tmp_path, "adjacency", matrix, weights="gaussian", sigma=2)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    with pytest.raises(DataError, match=r"graph\.csv: the graph has 2 distances that do not diff"):
        read(tmp_path, "edges", "from,to,km\na,b,1\nb,a,1\n", weights="gaussian")


def test_a_graph_may_be_separated_otherwise_than_the_series(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text("from;to;weight\na;b;2\n")
    (tmp_path / "matrix.csv").write_text("0;0;0\n0,5;0;0\n0;0;0\n")
    for role, name in (("edges", "edges.csv"), ("adjacency", "matrix.csv")):
        with pytest.raises(DataError, match=r"line 1 has one column, .*; say `graph\.separator`"):
            read_graph(role, tmp_path / name, NODES, Options())
        for options in (
            {"graph": {"separator": ";", "decimal": ","}},
            {"separator": ";", "decimal": ","},
        ):
            found = read_graph(role, tmp_path / name, NODES, Options.model_validate(options))
            assert (found[0, 1] == 2) if role == "edges" else (found[1, 0] == 0.5)


def test_a_kernel_that_leaves_no_edge_is_refused(tmp_path: Path) -> None:
    # Distances that differ little have a small standard deviation: 0.5 here.
    content = "from,to,km\na,b,2\nb,c,3\n"
    with pytest.raises(DataError, match=r"with sigma 0\.5 every weight .* shortest distance is 2"):
        read(tmp_path, "edges", content, weights="gaussian")
    weights = read(tmp_path, "edges", content, weights="gaussian", sigma=2)
    assert weights[0, 1] == pytest.approx(math.exp(-1))


def test_a_distance_of_zero_must_be_explained(tmp_path: Path) -> None:
    matrix = "0,0,1\n1,0,1\n1,1,0\n"
    with pytest.raises(DataError, match="the distance from a to b is 0; say"):
        read(tmp_path, "adjacency", matrix, weights="gaussian", sigma=1)
    for meaning, weight in (("no_edge", 0.0), ("same_place", 1.0)):
        found = read(
            tmp_path, "adjacency", matrix, weights="gaussian", sigma=1, zero_distance=meaning
        )
        assert found[0, 1] == weight


def test_nearest_neighbours_of_places(tmp_path: Path) -> None:
    # On one meridian: a at 0, c 1 and b 3 degrees north of it.
    content = "id,latitude,longitude\nb,3,10\nc,1,10\na,0,10\n"
    weights = read(tmp_path, "coordinates", content, weights="binary", nearest=1)
    np.testing.assert_array_equal(weights, [[0, 0, 1], [0, 0, 1], [1, 0, 0]])
    both = read(tmp_path, "coordinates", content, weights="binary", nearest=1, symmetrise="mean")
    np.testing.assert_array_equal(both, [[0, 0, 1], [0, 0, 0.5], [1, 0.5, 0]])
    degree = 6371.0088 * math.pi / 180
    weights = read(tmp_path, "coordinates", content, weights="gaussian", sigma=degree, threshold=0)
    np.testing.assert_allclose(weights[0], [0, math.exp(-9), math.exp(-1)], rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("0,1\n1,0\n", r"2 rows and 2 columns, but must be square .* each of the 3 sensors"),
        ("0,1,0\n1,0,1\n", "2 rows and 3 columns, but must be square"),
        ("0,1,0\n1,0\n0,1,0\n", "line 2 has 2 columns, the first line 3"),
        ("0,1,0\n1,0,x\n0,1,0\n", "line 2, column 3: `x` is no number"),
        ("0,1,0\n1,0,\n0,1,0\n", "the weight from b to c is missing or not finite; 0 means no"),
        ("0,1,0\n1,0,inf\n0,1,0\n", "the weight from b to c is missing or not finite"),
        ("0,1,0\n1,0,-2\n0,1,0\n", "the number from b to c is -2; .* at least 0"),
        ("0,1,0\n1,0,1e20\n0,1,0\n", r"the weight from b to c is 1e\+20, beyond"),
        ("a,b,d\n0,1,0\n1,0,1\n0,1,0\n", "has no sensor `c`, which the series has"),
        (BOTH.replace("c", "d"), "has no sensor `c`, which the series has"),
        (",a,b\na,0,1\nb,1,0\n", "has no sensor `c`, which the series has"),
        (
            ",a,b,c,d\na,0,1,0,0\nb,1,0,0,0\nc,1,0,0,0\nd,1,0,0,0\n",
            "sensor `d`, which the series has not",
        ),
        ("a,b,b\n0,1,0\n1,0,1\n0,1,0\n", "sensors 2 and 3 have the same id `b`"),
        (BOTH.replace("\na,", "\nx,").replace("\nb,", "\na,"), "line 2 is of `a`, but column 2"),
    ],
)
def test_a_wrong_matrix_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, "adjacency", content)
    assert "\n" not in str(caught.value)


def test_numbers_that_might_be_ids_are_refused(tmp_path: Path) -> None:
    (tmp_path / "graph.csv").write_text("0,1,2\n1,0,5\n2,5,0\n")
    path, nodes = tmp_path / "graph.csv", ["0", "1", "2"]
    with pytest.raises(DataError, match=r"might be sensor ids or numbers; say which"):
        read_graph("adjacency", path, nodes, Options())
    plain = Options.model_validate({"graph": {"ids": "none"}})
    np.testing.assert_array_equal(
        read_graph("adjacency", path, nodes, plain), [[0, 1, 2], [1, 0, 5], [2, 5, 0]]
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,latitude,longitude\na,1,1\nb,91,1\nc,3,3\n", "line 3, column `latitude`: 91 is not"),
        ("id,latitude,longitude\na,1,1\nb,1,\nc,3,3\n", "line 3, column `longitude`: nan is not"),
        ("id,latitude,longitude\na,1,1\nb,1,1\n", "has no sensor `c`"),
        ("id,latitude,longitude\na,1,1\nb,1,1\nc,1,1\nd,1,1\n", "sensor `d`, which the series has"),
        ("id,latitude,longitude\na,1,1\nb,1,1\nb,1,1\n", "sensors 2 and 3 have the same id `b`"),
        ("id,lat,lon\na,1,1\n", "has no column `latitude`; it has `id`, `lat`, `lon`"),
    ],
)
def test_wrong_coordinates_are_one_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, "coordinates", content, weights="gaussian")


@pytest.mark.parametrize(
    ("role", "graph", "message"),
    [
        ("coordinates", {}, "coordinates give distances, not weights"),
        ("coordinates", {"weights": "binary"}, "need the number of neighbours"),
        ("edges", {"nearest": 2}, "only distances tell what is near"),
        ("edges", {"sigma": 0}, "greater than 0"),
    ],
)
def test_options_that_do_not_fit(
    tmp_path: Path, role: str, graph: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, role, "from,to\na,b\n", **graph)


def test_a_graph_in_parts_is_allowed_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read(tmp_path, "edges", "from,to\na,b\n")
    assert "the graph falls into 2 parts; 1 sensor(s) have no edge" in caplog.text


def test_the_record_has_the_checksum_of_the_graph_that_was_trained_on() -> None:
    series = np.random.default_rng(0).random((60, 4, 1), dtype=np.float32)
    dataset = canonical(series)
    whole = forecast_data(dataset, history=2, horizon=2).description["graph_sha256"]
    assert whole == hashlib.sha256(np.ascontiguousarray(dataset.adjacency).tobytes()).hexdigest()
    part = forecast_data(dataset, history=2, horizon=2, node_stride=2).description["graph_sha256"]
    kept = np.ascontiguousarray(dataset.adjacency[::2, ::2])
    assert part == hashlib.sha256(kept.tobytes()).hexdigest() != whole
