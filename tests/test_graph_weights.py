"""Graphs: weights of any distances, edges of a csv, and the graph of a user's own data."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from stprune.base.errors import DataError
from stprune.base.schema import validate
from stprune.data.formats.base import binary, gaussian, spread
from stprune.data.formats.table import Options, read_graph

NODES = ["a", "b", "c"]
WEIGHTS = np.array([[0, 0.5, 0], [0.25, 0, 2], [0, 1, 0]])
BOTH = ",b,a,c\nb,9,0.25,2\na,0.5,9,0\nc,1,0,9\n"


def read(tmp_path: Path, role: str, content: str, **graph: Any) -> np.ndarray:
    (tmp_path / "graph.csv").write_text(content)
    options = validate(Options, {"graph": graph}, "options")
    return read_graph(role, tmp_path / "graph.csv", NODES, options)


@pytest.mark.parametrize(
    "content",
    [
        "0,0.5,0\n0.25,7,2\n0,1,0\n",
        "b,a,c\n0,0.25,2\n0.5,0,0\n1,0,0\n",
        BOTH,
        "\ufeff" + BOTH.replace("\n", "\r\n"),
    ],
)
def test_a_csv_matrix_with_and_without_ids(tmp_path, content):
    weights = read(tmp_path, "adjacency", content)
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, WEIGHTS)


def test_binary_files(tmp_path):
    np.save(tmp_path / "graph.npy", WEIGHTS)
    np.savez(tmp_path / "two.npz", near=WEIGHTS, far=WEIGHTS)
    sparse.save_npz(tmp_path / "csr.npz", sparse.csr_array(WEIGHTS))
    sparse.save_npz(tmp_path / "csc.npz", sparse.csc_array(WEIGHTS))
    keys = {"graph.npy": None, "two.npz": "near", "csr.npz": None, "csc.npz": None}
    for name, key in keys.items():
        options = Options.model_validate({"graph": {"array": key}})
        found = read_graph("adjacency", tmp_path / name, NODES, options)
        np.testing.assert_array_equal(found, WEIGHTS)
    sparse.save_npz(tmp_path / "four.npz", sparse.csr_array((4, 4)))
    np.save(tmp_path / "text.npy", WEIGHTS.astype(str))
    for name in ("two.npz", "four.npz", "text.npy", "absent.npz"):
        with pytest.raises(DataError, match=name):
            read_graph("adjacency", tmp_path / name, NODES, Options())


def test_edges_in_any_order(tmp_path):
    content = "from,to,cost\nc,b,1\nb,a,0.25\na,b,0.5\nb,c,2\n"
    np.testing.assert_array_equal(read(tmp_path, "edges", content), WEIGHTS)
    ones = read(tmp_path, "edges", content, weights="binary")
    np.testing.assert_array_equal(ones, WEIGHTS != 0)


def test_distances_become_gaussian_weights(tmp_path):
    content = "from,to,km\na,b,1\nb,a,3\nb,c,2\n"
    weights = read(tmp_path, "edges", content, weights="gaussian", sigma=2)
    expected = [[0, math.exp(-0.25), 0], [math.exp(-2.25), 0, math.exp(-1)], [0, 0, 0]]
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    matrix = "0,1,\n3,0,2\ninf,,0\n"
    weights = read(tmp_path, "adjacency", matrix, weights="gaussian", sigma=2)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    # Without sigma it is the standard deviation: 0 of equal distances and of none; of 2 and 3 it is
    # 0.5, which leaves no edge above the threshold.
    for rows in ("a,b,1\nb,a,1\n", "a,b,2\nb,c,3\n", ""):
        with pytest.raises(DataError, match=r"graph\.csv"):
            read(tmp_path, "edges", f"from,to,km\n{rows}", weights="gaussian")
    with pytest.raises(DataError, match=r"0 from a to b"):
        read(tmp_path, "adjacency", "0,0,1\n1,0,1\n1,1,0\n", weights="gaussian", sigma=1)


def test_a_csv_has_the_separator_and_decimal_sign_of_the_series(tmp_path):
    (tmp_path / "edges.csv").write_text("from;to;weight\na;b;2\n")
    (tmp_path / "matrix.csv").write_text("0;2;0\n0,5;0;0\n0;0;0\n")
    for role, name in (("edges", "edges.csv"), ("adjacency", "matrix.csv")):
        with pytest.raises(DataError, match=rf"{name}.*`separator`"):
            read_graph(role, tmp_path / name, NODES, Options())
        options = Options.model_validate({"separator": ";", "decimal": ","})
        found = read_graph(role, tmp_path / name, NODES, options)
        assert found[0, 1] == 2
        assert found[1, 0] == (0.5 if role == "adjacency" else 0)


@pytest.mark.parametrize(
    ("role", "content", "place"),
    [
        ("adjacency", "", ""),
        ("adjacency", "0,1,0\n1,0,1\n", "3 sensors"),
        ("adjacency", "0,1,0\n1,0\n0,1,0\n", "#2"),
        ("adjacency", "0,1,0\n1,0,x\n0,1,0\n", "line 2.*`x`"),
        ("adjacency", "0,1,0\n1,0,\n0,1,0\n", "from b to c"),
        ("adjacency", "0,1,0\n1,0,1e20\n0,1,0\n", "1e[+]20"),
        ("adjacency", "a,b,d\n0,1,0\n1,0,1\n0,1,0\n", "sensor `[cd]`"),
        ("adjacency", "a,b,b\n0,1,0\n1,0,1\n0,1,0\n", "sensor `b`"),
        ("adjacency", BOTH.replace("\na,", "\nx,").replace("\nb,", "\na,"), ""),
        ("edges", "", ""),
        ("edges", "0,1,2.5\n", ""),
        ("edges", "from,to,cost,lanes\na,b,1,2\n", ""),
        ("edges", "from,to,cost\na,b\n", ""),
        ("edges", "from,to\na,b\na,d\n", "line 3.*`d`"),
        ("edges", "from,to,cost\na,b,near\n", ""),
        ("edges", "from,to,cost\na,b,-1\n", ""),
        ("edges", "from,to,cost\na,b,1\n\na,b,2\n", ""),
    ],
)
def test_a_wrong_graph_is_one_line(tmp_path, role, content, place):
    with pytest.raises(DataError, match=rf"graph\.csv.*{place}"):
        read(tmp_path, role, content)


NONE = np.nan
DISTANCES = np.array([[NONE, 1.0, NONE], [3.0, NONE, 0.0], [NONE, NONE, NONE]])


def test_gaussian_by_hand():
    # 1, 3 and 0: mean 4/3, squares 1/9 + 25/9 + 16/9 = 42/9, so the variance is 14/9.
    assert spread(DISTANCES) == pytest.approx(math.sqrt(14 / 9))
    weights = gaussian(DISTANCES, threshold=0.0)
    expected = [[0, math.exp(-9 / 14), 0], [math.exp(-81 / 14), 0, 1], [0, 0, 0]]
    np.testing.assert_allclose(weights, expected)
    # exp(-81/14) is 0.003: DCRNN's threshold leaves it out.
    np.testing.assert_allclose(gaussian(DISTANCES)[1], [0, 0, 1])
    # A diagonal of zeros does not narrow the kernel.
    with_zeros = DISTANCES.copy()
    np.fill_diagonal(with_zeros, 0.0)
    np.testing.assert_array_equal(gaussian(with_zeros), gaussian(DISTANCES))
    np.testing.assert_array_equal(binary(DISTANCES), [[0, 1, 0], [1, 0, 1], [0, 0, 0]])


SOME = st.one_of(st.just(math.nan), st.floats(0, 100, allow_subnormal=False))


@given(arrays(np.float64, (5, 5), elements=SOME))
def test_weights_of_any_distances(distances):
    before = distances.copy()
    edges = binary(distances)
    weights = gaussian(distances, sigma=10.0)
    np.testing.assert_array_equal(distances, before)
    assert ((weights >= 0.1) | (weights == 0)).all()
    assert not weights[edges == 0].any()
    assert not weights.diagonal().any()
