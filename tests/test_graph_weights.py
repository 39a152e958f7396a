"""Edges and their weights: numbers worked by hand, and what must hold for any distances."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stprune.base.errors import DataError
from stprune.data.formats.base import read_edges
from stprune.data.graph_weights import binary, gaussian, nearest, spread, symmetrised

NONE = np.nan
DISTANCES = np.array([[NONE, 1.0, NONE], [3.0, NONE, 0.0], [NONE, NONE, NONE]])


def test_gaussian_by_hand() -> None:
    # 1, 3 and 0: mean 4/3, squares 1/9 + 25/9 + 16/9 = 42/9, so the variance is 14/9.
    assert spread(DISTANCES) == pytest.approx(math.sqrt(14 / 9))
    weights = gaussian(DISTANCES, threshold=0.0)
    expected = [[0, math.exp(-9 / 14), 0], [math.exp(-81 / 14), 0, 1], [0, 0, 0]]
    np.testing.assert_allclose(weights, expected)
    # exp(-81/14) is 0.003: DCRNN's threshold leaves it out.
    np.testing.assert_allclose(gaussian(DISTANCES)[1], [0, 0, 1])
    np.testing.assert_allclose(gaussian(DISTANCES, sigma=2.0)[0], [0, math.exp(-0.25), 0])
    np.testing.assert_allclose(gaussian(DISTANCES, sigma=2.0)[1], [math.exp(-2.25), 0, 1])
    # A diagonal of zeros does not narrow the kernel.
    with_zeros = DISTANCES.copy()
    np.fill_diagonal(with_zeros, 0.0)
    np.testing.assert_array_equal(gaussian(with_zeros), gaussian(DISTANCES))
    np.testing.assert_array_equal(binary(DISTANCES), [[0, 1, 0], [1, 0, 1], [0, 0, 0]])


@pytest.mark.parametrize("distance", [NONE, 5.0])
def test_distances_that_do_not_differ_give_no_sigma(distance: float) -> None:
    alike = np.array([[0.0, distance], [distance, 0.0]])
    with pytest.raises(ValueError, match="sigma"):
        gaussian(alike)


def test_nearest_by_hand() -> None:
    distances = np.array([[0.0, 2, 1, 2], [2, 0, 4, NONE], [1, 4, 0, 3], [2, NONE, 3, 0]])
    # Row 0: nodes 1 and 3 are equally far, the first one stays.
    expected = np.array([[0, 1, 1, 0], [1, 0, 1, 0], [1, 0, 0, 1], [1, 0, 1, 0]])
    np.testing.assert_array_equal(binary(nearest(distances, 2)), expected)
    # Node 1 has only two neighbours at all.
    assert binary(nearest(distances, 3))[1].sum() == 2


@given(
    arrays(
        np.float64,
        (5, 5),
        elements=st.one_of(st.just(math.nan), st.floats(0, 100, allow_subnormal=False)),
    ),
    st.integers(1, 6),
)
def test_weights_of_any_distances(distances: np.ndarray, count: int) -> None:
    before = distances.copy()
    kept = nearest(distances, count)
    edges = binary(kept)
    weights = gaussian(kept, sigma=10.0)
    np.testing.assert_array_equal(distances, before)
    assert ((weights >= 0.1) | (weights == 0)).all()
    assert not weights[edges == 0].any()
    assert not weights.diagonal().any()
    available = binary(distances).sum(axis=1)
    np.testing.assert_array_equal(edges.sum(axis=1), np.minimum(available, count))
    for row in range(5):
        left_out = (binary(distances)[row] == 1) & (edges[row] == 0)
        if left_out.any() and edges[row].any():
            assert distances[row, left_out].min() >= distances[row, edges[row] == 1].max()
    both = symmetrised(weights, "mean")
    np.testing.assert_array_equal(both, both.T)
    assert both.sum() == pytest.approx(weights.sum())


NODES = ["a", "b", "c"]


def edges_of(folder: Path, text: str) -> np.ndarray:
    path = folder / "edges.csv"
    path.write_bytes(text.encode())
    return read_edges(path, NODES)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0,1,2.5\n",
        "from,to,cost,lanes\na,b,1,2\n",
        "from,to,cost\na,b\n",
        "from,to,cost\na,b,1\nb,d,1\n",
        "from,to,cost\na,b,near\n",
        "from,to,cost\na,b,-1\n",
        "from,to,cost\na,b,1\n\na,b,2\n",
    ],
)
def test_a_wrong_file_of_edges_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=str(tmp_path / "edges.csv")) as caught:
        edges_of(tmp_path, text)
    assert "\n" not in str(caught.value)


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)),
        st.floats(0, 1e6, allow_nan=False),
        min_size=1,
    )
)
def test_every_edge_is_read_once_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, edges: dict[tuple[str, str], float]
) -> None:
    lines = ["from,to,cost", *(f"{a},{b},{number!r}" for (a, b), number in edges.items())]
    read = edges_of(tmp_path_factory.mktemp("edges"), "\n".join(lines))
    for row, a in enumerate(NODES):
        for column, b in enumerate(NODES):
            np.testing.assert_equal(read[row, column], edges.get((a, b), NONE) if a != b else NONE)
