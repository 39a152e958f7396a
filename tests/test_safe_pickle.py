"""Pickles are read without running what they name: hostile ones are refused in one line."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stprune.base.errors import DataError
from stprune.data.safe_pickle import read_pickle

MIRROR = os.environ.get("STPRUNE_MIRROR")
GRAPH = (["10", "20"], {"10": 0, "20": 1}, np.array([[1.0, 0.5], [0.0, 1.0]], dtype=np.float32))
REFUSED = "only lists, mappings, text, numbers and arrays of numbers are read from pickles"


def write(folder: Path, content: bytes) -> Path:
    path = folder / "graph.pkl"
    path.write_bytes(content)
    return path


def refusal(folder: Path, content: bytes) -> str:
    with pytest.raises(DataError) as caught:
        read_pickle(write(folder, content))
    message = str(caught.value)
    assert message.startswith(f"{folder / 'graph.pkl'} ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("kind", [list, tuple])
def test_a_graph_comes_back_as_it_was_pickled(
    tmp_path: Path, protocol: int, kind: type[Any]
) -> None:
    ids, index, weights = read_pickle(write(tmp_path, pickle.dumps(kind(GRAPH), protocol)))
    assert (ids, index) == GRAPH[:2]
    np.testing.assert_array_equal(weights, GRAPH[2])
    assert weights.dtype == np.float32


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<i4", "|b1", "|u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_numbers_in_any_order(tmp_path: Path, dtype: str, order: Any) -> None:
    array = np.asarray(np.arange(6).reshape(2, 3), dtype=dtype, order=order)
    read = read_pickle(write(tmp_path, pickle.dumps([array], 2)))[0]
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype


def test_a_pickle_of_python_2_keeps_its_bytes_as_text(tmp_path: Path) -> None:
    """The same instructions that Python 2 wrote: byte strings, and NumPy's older module."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    numbers = np.array([0.25, -1.5], dtype="<f4").tobytes()
    dtype = b"cnumpy\ndtype\n" + text(b"f4") + b"K\x00K\x01\x87R(K\x03" + text(b"<")
    dtype += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b")
    array += b"\x87R(K\x01K\x02\x85" + dtype + b"\x89" + text(numbers) + b"tb"
    content = b"\x80\x02](" + text(b"s\xe9") + array + b"e."
    assert pickle.loads(content, encoding="latin1")[0] == "sé"  # noqa: S301 (our own bytes)
    name, values = read_pickle(write(tmp_path, content))
    assert name == "sé"
    np.testing.assert_array_equal(values, np.array([0.25, -1.5], dtype=np.float32))


class Command:
    """Runs a command in whoever reads its pickle without care."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize(
    ("call", "name"),
    [(os.system, "system"), (eval, "eval"), (getattr, "getattr"), (np.load, "load")],
)
def test_a_pickle_that_would_run_something_is_refused(
    tmp_path: Path, protocol: int, call: Any, name: str
) -> None:
    trace = tmp_path / "ran"
    hostile = Command(call, f"touch {trace}" if call is os.system else "1")
    message = refusal(tmp_path, pickle.dumps((*GRAPH[:2], hostile), protocol))
    assert not trace.exists()
    assert f".{name};" in message
    assert REFUSED in message


def test_the_reader_that_would_run_it_does_run_it(tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    trace = tmp_path / "ran"
    pickle.loads(pickle.dumps(Command(os.system, f"touch {trace}"), 2))  # noqa: S301 (that is the point)
    assert trace.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pickle.dumps(np.array([None, 1], dtype=object), 2), "the type `O8`"),
        (pickle.dumps(np.array(["a"]), 2), "the type `U1`"),
        (pickle.dumps(np.zeros(2, dtype=[("a", "f4")]), 2), "the type `V4`"),
        (pickle.dumps({1, 2}, 2), "names .*builtin.*.set"),
        (pickle.dumps({1, 2}, 4), "has the instruction EMPTY_SET"),
        (pickle.dumps(GRAPH, 0), "has the instruction"),
        (pickle.dumps(Path("x"), 4), "names pathlib"),
        (b"\x80\x02cnumpy\nndarray\nK\x05\x85R.", "calls what only names a type"),
        (b"\x80\x02cnumpy\nndarray\n.", "holds only part of an array"),
        (b"\x80\x02cnumpy\ndtype\nU\x02f4\x85R.", "holds only part of an array"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.", "encodes"),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "numbers an object 2147483647"),
        (b"\x80\x02\x82\x01.", "has the instruction EXT1"),
        (b"\x80\x02K\x01Q.", "has the instruction BINPERSID"),
        (b"\x80\x02cnumpy\ndtype\nK\x00\x85\x81.", "has the instruction NEWOBJ"),
    ],
)
def test_whatever_else_a_pickle_can_do_is_refused(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    message = refusal(tmp_path, content)
    assert REFUSED in message
    with pytest.raises(DataError, match=reason):
        read_pickle(write(tmp_path, content))


@pytest.mark.parametrize(
    "state",
    [
        b"}X\x01\x00\x00\x00aK\x01s",  # a mapping of attributes
        b"N}X\x08\x00\x00\x00__call__Ns\x86",  # what would go past it, to the slots
    ],
)
def test_a_stand_in_cannot_be_changed_from_a_pickle(tmp_path: Path, state: bytes) -> None:
    refusal(tmp_path, b"\x80\x02cnumpy\nndarray\n" + state + b"b.")
    ids, _, _ = read_pickle(write(tmp_path, pickle.dumps(GRAPH, 2)))
    assert ids == GRAPH[0]


def test_an_array_has_as_many_bytes_as_its_shape_says(tmp_path: Path) -> None:
    content = pickle.dumps(np.zeros(4), 2)
    assert b"K\x04\x85" in content
    message = refusal(tmp_path, content.replace(b"K\x04\x85", b"K\x09\x85"))
    assert "has 32 bytes for an array of shape (9,)" in message
    # More than any memory: refused by arithmetic, not by trying.
    huge = content.replace(b"K\x04\x85", b"\x8a\x08" + struct.pack("<q", 2**62) + b"\x85")
    assert f"shape ({2**62},)" in refusal(tmp_path, huge)
    below = content.replace(b"K\x04\x85", b"J" + struct.pack("<i", -4) + b"\x85")
    assert "shape is not made of whole numbers" in refusal(tmp_path, below)


@pytest.mark.parametrize("content", [b"", b"\x80", b"no pickle", b"\x89HDF\r\n\x1a\n"])
def test_a_file_that_is_no_pickle(tmp_path: Path, content: bytes) -> None:
    refusal(tmp_path, content)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"graph\.pkl cannot be read as a pickle: .*No such file"):
        read_pickle(tmp_path / "graph.pkl")


VALID = pickle.dumps(GRAPH, 2)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_pickle_is_one_line_or_plain_values(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    keep = data.draw(st.sampled_from([len(content), 10, len(content) // 2, len(content) - 1]))
    path = write(tmp_path, bytes(content[:keep]))
    with contextlib.suppress(DataError):
        value = read_pickle(path)
        assert isinstance(value, str | int | float | list | tuple | dict | np.ndarray | None)


@pytest.mark.skipif(not MIRROR, reason="the published graph is only there with STPRUNE_MIRROR")
def test_the_published_graph_is_what_an_ordinary_reader_finds() -> None:
    (path,) = Path(str(MIRROR)).glob("**/METR-LA/adj_mx.pkl")
    ids, index, weights = read_pickle(path)
    content = path.read_bytes()
    # It names nothing but NumPy's arrays, so that the ordinary reader may be trusted with it.
    names = {arg for op, arg, _ in pickletools.genops(content) if op.name == "GLOBAL"}
    assert {str(name).split()[0] for name in names} == {
        "numpy.core.multiarray", "numpy", "_codecs"
    }  # fmt: skip
    expected = pickle.load(io.BytesIO(content), encoding="latin1")  # noqa: S301 (see above)
    assert (ids, index) == (expected[0], expected[1])
    np.testing.assert_array_equal(weights, expected[2])
    assert weights.shape == (207, 207)
