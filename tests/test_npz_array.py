"""Arrays out of npz files: only numbers, only of the shape that is expected, never a traceback."""

from __future__ import annotations

import contextlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stprune.base.errors import DataError
from stprune.data.npz_array import read_npz_array

ARRAY = np.arange(24.0).reshape(4, 3, 2)


def refusal(path: Path, key: str = "data", shape: tuple[int | None, ...] = (4, 3, 2)) -> str:
    with pytest.raises(DataError) as caught:
        read_npz_array(path, key, shape)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("array", [ARRAY, ARRAY.astype(">f4"), ARRAY.astype(np.int16), ARRAY.T.T])
def test_numbers_come_back_as_they_are(tmp_path: Path, save: Any, array: np.ndarray) -> None:
    save(tmp_path / "a.npz", data=array, other=np.zeros(2))
    read = read_npz_array(tmp_path / "a.npz", "data", (None, 3, 2))
    np.testing.assert_array_equal(read, array)
    assert read.dtype == array.dtype


def test_the_order_of_fortran_is_read_rightly(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", data=np.asfortranarray(ARRAY))
    np.testing.assert_array_equal(read_npz_array(tmp_path / "a.npz", "data", (4, 3, 2)), ARRAY)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"flow": ARRAY, "x": ARRAY}, "has no array `data`, only `flow`, `x`"),
        ({"data": ARRAY[:3]}, r"`data` has the shape (3, 3, 2), but the card says (4, 3, 2)"),
        ({"data": ARRAY[..., 0]}, r"`data` has the shape (4, 3), but the card says (4, 3, 2)"),
        ({"data": ARRAY.astype(str)}, "`data` holds <U32, not numbers"),
        ({"data": ARRAY.astype(bool)}, "`data` holds bool, not numbers"),
        ({"data": ARRAY.astype(complex)}, "`data` holds complex128, not numbers"),
        ({"data": ARRAY.astype(object)}, "`data` holds Python objects, which are not read"),
    ],
)
def test_what_is_not_the_array_is_one_clear_line(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    assert message in refusal(tmp_path / "a.npz")


def test_a_small_file_cannot_ask_for_much_memory(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (2**40, 3, 2)}
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("data.npy", header.getvalue())
    assert f"has the shape ({2**40}, 3, 2)" in refusal(tmp_path / "a.npz")


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    assert "cannot be read as npz: " in refusal(path)
    for content in (b"", b"<html>", b"PK\x03\x04"):
        path.write_bytes(content)
        assert "cannot be read as npz: File is not a zip file" in refusal(path)
    np.save(path.with_suffix(".npy"), ARRAY)
    assert "cannot be read as npz" in refusal(path.with_suffix(".npy"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", "x")
    assert "has no array `data`, only `data`" in refusal(path)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_one_line_or_the_array(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, data=ARRAY)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.sampled_from([len(content), 100, -1]))]))
    # zipfile checks the sum of what it unpacks: nothing wrong goes unnoticed.
    with contextlib.suppress(DataError):
        np.testing.assert_array_equal(read_npz_array(path, "data", (4, 3, 2)), ARRAY)
