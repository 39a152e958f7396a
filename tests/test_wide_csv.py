"""The wide csv loader: what it reads, and what it says about files that are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stprune.base.errors import ConfigError, DataError
from stprune.data.canonical import RawSeries, write_canonical
from stprune.data.card import DatasetCard
from stprune.data.formats import wide_csv

SERIES = "s1,s2,s3\n1,2.5,3\n4,0,6\n"
ADJACENCY = "1,0.5,0\n0.25,1,0\n0,0,1\n"


def card_with(**changes: Any) -> DatasetCard:
    values: dict[str, Any] = {
        "title": "Toy",
        "description": "Three sensors.",
        "format": "wide_csv",
        "licence": "none",
        "citation": "none",
        "nodes": 3,
        "steps": 2,
        "step_minutes": 15,
        "start": "2024-02-28T23:45",
        "channels": [{"name": "flow", "unit": "vehicles"}],
        "target": "flow",
        "mask_policy": "none",
    }
    return DatasetCard.model_validate(values | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "series.csv").write_text(SERIES)
    (tmp_path / "adjacency.csv").write_text(ADJACENCY)
    return tmp_path


def load(folder: Path, **changes: Any) -> RawSeries:
    files = {role: folder / f"{role}.csv" for role in wide_csv.ROLES}
    return wide_csv.load(card_with(**changes), files)


@pytest.mark.parametrize("sign", ["\u2028", "\x85", "\x1c", "\x0c"])
def test_only_the_end_of_a_line_ends_a_line(folder: Path, sign: str) -> None:
    text = SERIES.replace("3\n4", f"3{sign}4")
    (folder / "series.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="line 2 has 5 columns, but the series has 3 sensors"):
        load(folder)
    (folder / "series.csv").write_bytes(SERIES.replace("\n", "\r").encode())
    assert load(folder).values.shape == (2, 3, 1)


def test_series_graph_and_times(folder: Path) -> None:
    raw = load(folder)
    assert raw.values.dtype == np.float32
    np.testing.assert_array_equal(raw.values, [[[1], [2.5], [3]], [[4], [0], [6]]])
    assert raw.mask.all()
    assert raw.node_ids == ["s1", "s2", "s3"]
    # Row to column as in the file, without the loops.
    np.testing.assert_array_equal(raw.adjacency, [[0, 0.5, 0], [0.25, 0, 0], [0, 0, 0]])
    assert [str(time) for time in raw.timestamps] == ["2024-02-28T23:45:00", "2024-02-29T00:00:00"]
    write_canonical(raw, card_with(), folder / "processed")


def test_a_zero_is_missing_if_the_policy_says_so(folder: Path) -> None:
    raw = load(folder, mask_policy="zero")
    np.testing.assert_array_equal(raw.mask[:, :, 0], [[True, True, True], [True, False, True]])
    assert raw.values[1, 1, 0] == 0


@pytest.mark.parametrize("cell", ["", "NaN", "nan", " "])
def test_a_nan_is_missing_if_the_policy_says_so(folder: Path, cell: str) -> None:
    (folder / "series.csv").write_text(f"s1,s2,s3\n1,{cell},3\n4,0,6\n")
    raw = load(folder, mask_policy="nan")
    np.testing.assert_array_equal(raw.mask[:, :, 0], [[True, False, True], [True, True, True]])
    assert raw.values[0, 1, 0] == 0
    assert raw.values[1, 1, 0] == 0, "a zero is a value here"
    write_canonical(raw, card_with(mask_policy="nan"), folder / "processed")


@pytest.mark.parametrize("policy", ["none", "zero"])
def test_a_nan_under_another_policy_is_named(folder: Path, policy: str) -> None:
    (folder / "series.csv").write_text("s1,s2,s3\n1,2,3\n4,,6\n")
    with pytest.raises(
        DataError, match=rf"line 3, column 2 \(sensor s2\) is NaN.* Toy is `{policy}`"
    ):
        load(folder, mask_policy=policy)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n\r\n"])
def test_line_ends_and_a_byte_order_mark_do_not_matter(folder: Path, ending: str) -> None:
    text = "\ufeff" + SERIES.strip().replace("\n", "\r\n") + ending
    (folder / "series.csv").write_bytes(text.encode())
    raw = load(folder)
    assert raw.node_ids[0] == "s1"
    assert raw.values.shape == (2, 3, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("s1,s2,s3\n", "is empty below its header"),
        ("s1,s2,s3\n1,2,3\n4,x,6\n", r"line 3, column 2 \(sensor s2\): `x` is not a finite number"),
        ("s1,s2,s3\n1,2,3\n4,5,inf\n", r"line 3, column 3 \(sensor s3\): `inf` is not a finite"),
        ("s1,s2,s3\n1,2,3\n4,5\n", "line 3 has 2 columns, but the series has 3 sensors"),
        ("s1,s2,s3\n1,2,3,\n4,5,6,\n", "line 2 has 4 columns"),
        ("s1,s2,s3\n1,2,3\n\n4,5,6\n", "line 3 has 0 columns"),
        ("s1,s2,s1\n1,2,3\n4,5,6\n", "column 3 of the header repeats the sensor id `s1`"),
        ("s1,,s3\n1,2,3\n4,5,6\n", "column 2 of the header has no sensor id"),
    ],
)
def test_a_wrong_series_is_one_clear_line(folder: Path, text: str, message: str) -> None:
    (folder / "series.csv").write_text(text)
    with pytest.raises(DataError, match=rf"series\.csv:? .*{message}") as caught:
        load(folder, mask_policy="nan")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("1,0\n0,1\n", "line 1 has 2 columns, but the series has 3 sensors"),
        ("1,0,0\n0,1,0\n", "2 rows and 3 columns, but must be square"),
        (ADJACENCY + "0,0,0\n", "4 rows and 3 columns, but must be square"),
        ("1,0,0\n0,1,\n0,0,1\n", r"line 2, column 3 \(sensor s3\): an edge without weight"),
        ("1,0,0\n0,1,near\n0,0,1\n", r"line 2, column 3 \(sensor s3\): `near` is not a finite"),
    ],
)
def test_a_wrong_graph_is_one_clear_line(folder: Path, text: str, message: str) -> None:
    (folder / "adjacency.csv").write_text(text)
    with pytest.raises(DataError, match=rf"adjacency\.csv:? .*{message}") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_text_or_not_there(folder: Path) -> None:
    (folder / "series.csv").write_bytes(b"\x89HDF\xff\x00")
    with pytest.raises(DataError, match=r"series\.csv cannot be read as csv"):
        load(folder)
    (folder / "series.csv").unlink()
    with pytest.raises(DataError, match=r"series\.csv cannot be read as csv"):
        load(folder)


def test_a_card_that_does_not_fit_the_format(folder: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key `separator`"):
        load(folder, options={"separator": ";"})
    two = [{"name": "flow", "unit": "vehicles"}, {"name": "speed", "unit": "km/h"}]
    with pytest.raises(ConfigError, match=r"holds one channel, not 2 \(flow, speed\)"):
        load(folder, channels=two)
    with pytest.raises(ConfigError, match="takes the files series, adjacency, not series"):
        wide_csv.load(card_with(), {"series": folder / "series.csv"})
