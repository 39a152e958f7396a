"""Edge lists: what is read, and what is said about edges that are wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stprune.base.errors import DataError
from stprune.data.edge_list import read_edges

NODES = ["a", "b", "c"]
NONE = np.nan


def edges_of(folder: Path, text: str) -> np.ndarray:
    path = folder / "edges.csv"
    path.write_bytes(text.encode())
    return read_edges(path, NODES)


def test_an_edge_leads_from_its_row_to_its_column(tmp_path: Path) -> None:
    edges = edges_of(tmp_path, "from,to,cost\nc,a,2.5\na,b,0\n")
    np.testing.assert_array_equal(edges, [[NONE, 0.0, NONE], [NONE, NONE, NONE], [2.5, NONE, NONE]])


def test_without_numbers_every_edge_is_one(tmp_path: Path) -> None:
    edges = edges_of(tmp_path, "from,to\na,b\nb,a\n")
    assert edges[0, 1] == edges[1, 0] == 1
    assert np.isnan(edges).sum() == 7


@pytest.mark.parametrize(
    "text",
    [
        "\ufefffrom,to,distance\r\r\na,b,1\r\r\nb,c,2\r\r\n",  # PEMS03 ends its lines so
        "From, To, cost\n\n a , b , 1 \nb,c,2",
        "from,to,cost\nb,c,2\na,b,1\na,b,1.0\n",  # PEMS08 repeats edges
        "from,to,cost\na,b,1\nb,c,2\nc,c,0\n",  # PEMS03 has a loop
    ],
)
def test_the_quirks_of_published_files_change_nothing(tmp_path: Path, text: str) -> None:
    edges = edges_of(tmp_path, text)
    assert edges[0, 1] == 1
    assert edges[1, 2] == 2
    assert np.isnan(edges).sum() == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the header must be `from,to` and perhaps one more column, not ``"),
        ("0,1,2.5\n", "the header must be .* not `0,1,2.5`"),
        ("from,to,cost,lanes\na,b,1,2\n", "the header must be .* not `from,to,cost,lanes`"),
        ("from,to,cost\n", "is empty below its header"),
        ("from,to,cost\na,b\n", "line 2 has 2 columns, but the header has 3"),
        ("from,to\na,b,1\n", "line 2 has 3 columns, but the header has 2"),
        ("from,to,cost\na,b,1\nb,d,1\n", "line 3 names the node `d`, which is not one of the 3"),
        ("from,to,cost\na,,1\n", "line 2 names the node ``"),
        ("from,to,cost\na,b,near\n", "line 2, column 3: `near` is not a finite number"),
        ("from,to,cost\na,b,\n", "line 2, column 3: `` is not a finite number"),
        ("from,to,cost\na,b,nan\n", "line 2, column 3: `nan` is not a finite number"),
        ("from,to,cost\na,b,inf\n", "line 2, column 3: `inf` is not a finite number"),
        ("from,to,cost\na,b,-1\n", "line 2, column 3: `-1` is not a finite number of at least 0"),
        ("from,to,cost\na,b,1\n\na,b,2\n", "line 4 gives the edge from a to b 2, but line 2 .* 1"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"edges\.csv:? .*{message}") as caught:
        edges_of(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "edges.csv"
    path.write_bytes(b"\x93NUMPY\xff")
    with pytest.raises(DataError, match=r"edges\.csv cannot be read as csv"):
        read_edges(path, NODES)


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
            expected = edges.get((a, b), NONE) if a != b else NONE
            np.testing.assert_equal(read[row, column], expected)
