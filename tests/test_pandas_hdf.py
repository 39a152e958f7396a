"""The fixed layout of pandas is read exactly, and nothing of it is unpickled."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from made_up_files import attributes, write_frame

from stprune.base.errors import DataError
from stprune.data import pandas_hdf
from stprune.data.pandas_hdf import open_frame

TIMES = np.datetime64("2019-01-01T00:00:00") + np.arange(7) * np.timedelta64(300, "s")
VALUES = np.arange(21.0).reshape(7, 3)
NAMES = ["317802", "317814", "400001"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_frame(tmp_path / "series.h5", "t", NAMES, TIMES, VALUES)
    return tmp_path / "series.h5"


@pytest.mark.parametrize("kind", ["datetime64", "datetime64[us]", "datetime64[s]"])
def test_names_times_and_rows_come_back(tmp_path: Path, kind: str) -> None:
    values = VALUES.copy()
    values[2, 1] = np.nan
    write_frame(tmp_path / "series.h5", "df", NAMES, TIMES, values, kind)
    with open_frame(tmp_path / "series.h5") as frame:
        assert (frame.shape, frame.names) == ((7, 3), NAMES)
        assert frame.times().dtype == "datetime64[s]"
        assert (frame.times() == TIMES).all()
        np.testing.assert_array_equal(frame.rows(1, 4), values[1:4])


def test_columns_of_two_types_lie_in_two_blocks(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        group = file["t"]
        del group["block0_items"], group["block0_values"]
        for number, columns in enumerate(([2, 0], [1])):
            items = np.array([NAMES[column].encode() for column in columns])
            group.create_dataset(f"block{number}_items", data=items)
            values = VALUES[:, columns].astype([np.float64, np.int64][number])
            group.create_dataset(f"block{number}_values", data=values)
        attributes(group, nblocks=2)
    with open_frame(path) as frame:
        np.testing.assert_array_equal(frame.rows(0, 7), VALUES)


def test_chunks_hold_whole_groups_of_rows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 100 bytes are four rows of three numbers, so groups of three rows fit once.
    monkeypatch.setattr(pandas_hdf, "CHUNK_BYTES", 100)
    with open_frame(path) as frame:
        chunks = list(frame.chunks(multiple=3))
    assert [len(rows) for rows in chunks] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(chunks), VALUES)


class Bomb:
    """Fails the test if it is ever unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return pytest.fail, ("unpickled",)


def test_pickles_in_attributes_are_never_read(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        for place in (file["t"], file["t/axis0"], file["t/axis1"], file["t/block0_values"]):
            for name in ("name", "freq", "shape"):
                place.attrs[name] = np.bytes_(pickle.dumps(Bomb(), protocol=0))
    with open_frame(path) as frame:
        assert (frame.times() == TIMES).all()
        assert frame.names == NAMES


def pickled_names(file: h5py.File) -> None:
    del file["t/axis0"]
    names = file["t"].create_dataset("axis0", (1,), dtype=h5py.vlen_dtype(np.uint8))
    names[0] = np.frombuffer(pickle.dumps(Bomb()), np.uint8)


@pytest.mark.parametrize(
    "change",
    [
        pickled_names,
        lambda file: file.copy("t", "u"),
        lambda file: attributes(file["t"], pandas_type=b"frame_table"),
        lambda file: file.__delitem__("t/axis1"),
        lambda file: file["t"].move("block0_values", "block1_values"),
        lambda file: file["t/axis0"].__setitem__(1, b"317802"),  # twice
        lambda file: file["t/axis0"].__setitem__(1, b"\xff17814"),
        lambda file: attributes(file["t"], nblocks=0),
        # An index that is no plain time, has a part of a second, or a gap.
        lambda file: attributes(file["t/axis1"], kind=b"integer"),
        lambda file: attributes(file["t/axis1"], tz=b"UTC"),
        lambda file: file["t/axis1"].write_direct(np.arange(7)),
        lambda file: file["t/axis1"].__setitem__(4, np.iinfo(np.int64).min),
    ],
)
def test_damage_is_one_line_that_names_the_file(
    path: Path, change: Callable[[h5py.File], object]
) -> None:
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(DataError, match=str(path)) as caught, open_frame(path) as frame:
        frame.times()
    assert "\n" not in str(caught.value)
