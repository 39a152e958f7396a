"""A user's own series: what is read of each kind of file, and which line refuses what is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from own_data import FLOW_AND_SPEED, LONG, LONG_OPTIONS, WIDE, card_with, load_text
from pandas_layout import write_frame

from stprune.base.errors import ConfigError, DataError
from stprune.data.canonical import RawSeries, write_canonical
from stprune.data.formats import table
from stprune.data.table.options import GraphOptions, Options

TIME = {"time": "time"}
HOURS = pd.date_range("2024-01-01", periods=3, freq="h")
VALUES = np.array([[1, 2.5], [3, 4], [5, 0]])
NAN = {"mask_policy": "nan"}


def check_wide(raw: RawSeries) -> None:
    assert raw.values.dtype == np.float32
    np.testing.assert_array_equal(raw.values[:, :, 0], VALUES)
    assert raw.mask.all()
    assert raw.node_ids == ["a", "b"]
    assert [str(time) for time in raw.timestamps] == [f"2024-01-01T0{h}:00:00" for h in range(3)]


def test_a_wide_csv(tmp_path: Path) -> None:
    raw = load_text(tmp_path, WIDE, TIME)
    check_wide(raw)
    assert not raw.adjacency.any()
    assert raw.adjacency.shape == (2, 2)
    write_canonical(raw, card_with(TIME), tmp_path / "processed")


def test_a_long_csv_in_any_order(tmp_path: Path) -> None:
    options = {**LONG_OPTIONS, "columns": ["flow", "speed"]}
    lines = LONG.splitlines()
    text = "\n".join([lines[0], *reversed(lines[1:])])
    raw = load_text(tmp_path, text, options, channels=FLOW_AND_SPEED)
    # Sensors are in the order in which they come.
    assert raw.node_ids == ["a", "b"]
    np.testing.assert_array_equal(raw.values[:, :, 0], VALUES)
    np.testing.assert_array_equal(raw.values[:, :, 1], [[10, 20], [30, 40], [50, 60]])


@pytest.mark.parametrize("kind", ["parquet", "parquet of texts", "parquet with an index"])
def test_parquet(tmp_path: Path, kind: str) -> None:
    frame = pd.DataFrame(VALUES, columns=["a", "b"])
    frame.insert(0, "time", HOURS)
    if kind == "parquet of texts":
        frame = frame.astype(str)
    elif kind == "parquet with an index":
        frame = frame.set_index("time")
    frame.to_parquet(tmp_path / "series.parquet")
    check_wide(table.load(card_with(TIME), {"series": tmp_path / "series.parquet"}))


def test_a_long_parquet_with_whole_numbers_as_ids(tmp_path: Path) -> None:
    frame = pd.DataFrame({"t": HOURS.repeat(2), "id": [7.0, 8.0] * 3, "flow": VALUES.ravel()})
    frame.to_parquet(tmp_path / "series.pq")
    options = {"layout": "long", "time": "t", "node": "id"}
    raw = table.load(card_with(options), {"series": tmp_path / "series.pq"})
    assert raw.node_ids == ["7", "8"]
    np.testing.assert_array_equal(raw.values[:, :, 0], VALUES)


@pytest.mark.parametrize("times", ["none", "datetime64", "texts", "seconds"])
@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_arrays(tmp_path: Path, suffix: str, times: str) -> None:
    path = tmp_path / f"series{suffix}"
    seconds = HOURS.to_numpy().astype("datetime64[s]").astype(int)
    stored: dict[str, Any] = {
        "none": None,
        "datetime64": HOURS.to_numpy() if suffix == ".npz" else None,
        "texts": np.array([str(hour) for hour in HOURS], "S19"),
        "seconds": seconds,
    }
    arrays = {"values": VALUES, "ids": np.array([b"a", b"b"])}
    if stored[times] is not None:
        arrays["when"] = stored[times]
    if suffix == ".npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[f"deep/{name}"] = array
    prefix = "" if suffix == ".npz" else "deep/"
    options = {"layout": "array", "array": f"{prefix}values", "node": f"{prefix}ids"}
    if stored[times] is not None:
        options["time"] = f"{prefix}when"
    if times == "seconds":
        options["time_format"] = "seconds"
    check_wide(table.load(card_with(options), {"series": path}))


def test_an_npy_and_channels_in_the_third_axis(tmp_path: Path) -> None:
    both = np.stack([VALUES, VALUES * 10], axis=2)
    np.save(tmp_path / "series.npy", both)
    card = card_with({"layout": "array"}, channels=FLOW_AND_SPEED)
    raw = table.load(card, {"series": tmp_path / "series.npy"})
    np.testing.assert_array_equal(raw.values, both)
    assert raw.node_ids == ["0", "1"]
    with pytest.raises(DataError, match=r"shape \(3, 2, 2\), not .* with 1 channel"):
        table.load(card_with({"layout": "array"}), {"series": tmp_path / "series.npy"})


def test_a_file_for_each_channel_in_any_order_of_sensors(tmp_path: Path) -> None:
    (tmp_path / "flow.csv").write_text(WIDE)
    speed = "time,b,a\n2024-01-01T00,20,10\n2024-01-01T01,40,30\n2024-01-01T02,60,50\n"
    (tmp_path / "speed.csv").write_text(speed)
    files = {"speed": tmp_path / "speed.csv", "flow": tmp_path / "flow.csv"}
    card = card_with(TIME, channels=FLOW_AND_SPEED)
    raw = table.load(card, files)
    assert raw.node_ids == ["a", "b"]
    np.testing.assert_array_equal(raw.values[:, :, 0], VALUES)
    np.testing.assert_array_equal(raw.values[:, :, 1], [[10, 20], [30, 40], [50, 60]])
    (tmp_path / "speed.csv").write_text(speed.replace("b,a", "b,c"))
    with pytest.raises(DataError, match=r"speed\.csv has no sensor `a`, which the series has"):
        table.load(card, files)
    with pytest.raises(ConfigError, match=r"a wide file holds one channel"):
        table.load(card, {"series": tmp_path / "flow.csv"})
    with pytest.raises(ConfigError, match="takes the file `series`, or one called as each"):
        table.load(card, {"flow": tmp_path / "flow.csv"})


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("\ufeff" + WIDE.replace("\n", "\r\n") + "\r\n \n", {}),
        (WIDE.replace(",", ";").replace("2.5", "2,5"), {"separator": ";", "decimal": ","}),
        (WIDE.replace(",", "\t"), {"separator": "\t"}),
        (WIDE.encode("utf-16"), {"encoding": "utf-16"}),
        (WIDE.replace("T0", " 0").replace(":00,", ":00:00,"), {}),
        (WIDE.replace("2024-01-01T", "1.1.2024 "), {"time_format": "%d.%m.%Y %H:%M"}),
        (WIDE.replace(":00,", ":00Z,"), {}),
        (WIDE.replace(":00,", ":00+02:00,"), {}),
        (WIDE.replace("time,", ","), {"time": ""}),
        ("".join(line.partition(",")[2] for line in WIDE.splitlines(True)), {"time": None}),
        ("\n".join([WIDE.splitlines()[0], *WIDE.splitlines()[:0:-1]]), {}),
    ],
)
def test_what_spreadsheets_and_locales_do_is_read(
    tmp_path: Path, content: str | bytes, options: dict[str, Any]
) -> None:
    check_wide(load_text(tmp_path, content, TIME | options))


@pytest.mark.parametrize("cell", ["", " ", "NaN", "NA", "null", "None", "-999"])
def test_missing_cells(tmp_path: Path, cell: str) -> None:
    text = WIDE.replace("3,4", f"{cell},4")
    raw = load_text(tmp_path, text, TIME | {"missing_numbers": [-999]}, **NAN)
    np.testing.assert_array_equal(raw.mask[:, 0, 0], [True, False, True])
    np.testing.assert_array_equal(raw.values[:, 0, 0], [1, 0, 5])
    if cell != "-999":
        with pytest.raises(DataError, match=r"line 3, column `a` is NaN, but the mask policy"):
            load_text(tmp_path, text, TIME)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "is empty, or its first line is"),
        ("time,a,b\n", {}, "is empty below its header"),
        ("time\n2024-01-01\n", {}, "has no column of numbers"),
        (WIDE.replace("3,4", "3,x"), {}, r"line 3, column `b`: `x` is not a finite number"),
        (WIDE.replace("3,4", "3,inf"), {}, r"line 3, column `b`: `inf` is not a finite number"),
        (WIDE.replace("3,4", "3,1_0"), {}, r"line 3, column `b`: `1_0` is not a finite number"),
        (WIDE.replace("3,4", '3,"1,234"'), {}, r"line 3, column `b`: `1,234` is not a finite"),
        (WIDE.replace("3,4", "3,1e16"), {}, r"line 3, column `b`: 1e\+16 is beyond 1e\+15"),
        (WIDE.replace("3,4", "3,-4"), {}, r"line 3, column `b`: -4 is negative; name its channel"),
        (WIDE.replace("3,4", "3,4,5"), {}, "line 3 has 4 columns, the header 3"),
        (WIDE.replace("3,4", "3"), {}, "line 3 has 2 columns, the header 3"),
        (WIDE.replace("a,b", "a,a"), {}, "column 3 of the header repeats the name `a` of column 2"),
        (WIDE.replace("a,b", "a,"), {}, "column 3 of the header has no name"),
        (WIDE, {"time": "when"}, "has no column `when`; it has `time`, `a`, `b`"),
        (WIDE.replace(",", ";"), {}, "line 1 has one column, `time;a;b`; say which sign"),
        (WIDE.replace("T01:00", "T01:05"), {}, "line 3 is of 2024-01-01T01:05:00, which is on no"),
        (WIDE.replace("T01", "T02"), {}, "line 4 repeats the time .* of line 3; .* `duplicates`"),
        (WIDE.replace("T02", "T03"), {}, "line 4 .* outside of the card's 3 steps of 60 min"),
        (WIDE.replace("2024-01-01T00", "2023-12-31T23"), {}, "line 2 .* outside of the card's"),
        (WIDE.replace("2024-01-01T01:00,3,4\n", ""), {}, "has no row for 2024-01-01T01:00:00"),
        (WIDE.replace("2024-01-01T02:00,5,0\n", ""), {}, "covers .*00:00:00 to .*01:00:00, but"),
        (WIDE.replace("T01:00", "T25:00"), {}, "line 3: the time `2024-01-01T25:00` is no ISO"),
        (WIDE.replace("2024-01-01T01:00", ""), {}, "line 3: there is no time"),
        (WIDE.replace("2024-01-01T01:00", "0824-01-01"), {}, "line 3 is of 0824.*1900 to 2199"),
        (WIDE.replace("T01:00", "T01:00:00.5"), {}, "line 3 has the time .*no whole second"),
        (WIDE.replace("T01:00", "T01:00Z"), {}, "line 3: .* differs .* its offset from UTC"),
        (WIDE.replace("T01:00", "T01:00Z").replace("T00:00", "T00:00+01:00").replace(
            "T02:00", "T02:00Z"), {}, "line 3 has the offset UTC from UTC, those before UTC.01:00"),
        (WIDE, {"time_format": "seconds"}, "line 2: .* is no number of seconds since 1970"),
        (WIDE, {"time_format": "%d.%m.%Y"}, r"line 2: .* is not written as `%d\.%m\.%Y`"),
        (WIDE.encode("utf-16"), {}, "cannot be read as csv: 'utf-8' codec can't decode"),
        (b"\x89HDF\r\n\x1a\n\xff\x00", {}, "cannot be read as csv"),
        (WIDE.replace("1,2.5", "1.000,2.5"), {"decimal": ",", "separator": ","}, "same sign"),
        (WIDE.replace(",", ";"), {"decimal": ",", "separator": ";"}, r"`2\.5` is not a finite"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_with_its_place(
    tmp_path: Path, text: str | bytes, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((DataError, ConfigError), match=message) as caught:
        load_text(tmp_path, text, TIME | options)
    assert "\n" not in str(caught.value)


def test_a_long_file_says_which_sensor(tmp_path: Path) -> None:
    def refused(text: str, message: str, **options: Any) -> None:
        with pytest.raises(DataError, match=message):
            load_text(tmp_path, text, LONG_OPTIONS | options, channels=FLOW_AND_SPEED)

    refused(LONG.replace("b,4,40", "b,,40"), r"line 5, column `flow` \(sensor b\) is NaN")
    refused(LONG.replace("b,4,40", ",4,40"), "line 5 names no sensor")
    refused(LONG.replace("b,4,40", "a,4,40"), "line 5 repeats .* of line 4 for sensor a")
    refused(LONG.replace("2024-01-01 01:00,b,4,40\n", ""), "no row of sensor b for 2024-01-01T01")
    refused(LONG, "has no column `occupancy`", columns=["flow", "occupancy"])
    refused(LONG, "`when` cannot be both", columns=["flow", "when"])


@pytest.mark.parametrize(
    ("rule", "value"), [("first", 3.0), ("last", 9.0), ("mean", 6.0), ("refuse", None)]
)
def test_duplicates_by_each_rule(tmp_path: Path, rule: str, value: float | None) -> None:
    wide = WIDE + "2024-01-01T01:00,9,4\n"
    long = LONG + "2024-01-01 01:00,a,9,30\n"
    if value is None:
        with pytest.raises(DataError, match=r"line 5 repeats the time 2024-01-01T01.* of line 3"):
            load_text(tmp_path, wide, TIME)
        return
    expected = VALUES.copy()
    expected[1, 0] = value
    raw = load_text(tmp_path, wide, TIME | {"duplicates": rule})
    np.testing.assert_array_equal(raw.values[:, :, 0], expected)
    options = LONG_OPTIONS | {"duplicates": rule}
    raw = load_text(tmp_path, long, options, channels=FLOW_AND_SPEED)
    np.testing.assert_array_equal(raw.values[:, :, 0], expected)


def test_gaps_become_missing_values(tmp_path: Path) -> None:
    text = WIDE.replace("2024-01-01T01:00,3,4\n", "")
    raw = load_text(tmp_path, text, TIME | {"gaps": "missing"}, **NAN)
    np.testing.assert_array_equal(raw.mask[:, :, 0], [[True] * 2, [False] * 2, [True] * 2])
    assert len(raw.timestamps) == 3
    with pytest.raises(ConfigError, match="`gaps: missing` needs `mask_policy: nan`"):
        load_text(tmp_path, text, TIME | {"gaps": "missing"})


def test_means_within_steps_leave_missing_values_out(tmp_path: Path) -> None:
    text = "time,a,b\n2024-01-01T00:10,1,7\n2024-01-01T00:59:59,2,\n2024-01-01T01:30,4,\n"
    raw = load_text(tmp_path, text, TIME | {"resample": "mean"}, steps=2, **NAN)
    np.testing.assert_array_equal(raw.values[:, :, 0], [[1.5, 7], [4, 0]])
    np.testing.assert_array_equal(raw.mask[:, :, 0], [[True, True], [True, False]])


def test_nights_may_be_left_out(tmp_path: Path) -> None:
    text = "time,a,b\n2024-01-01T22:00,1,2\n2024-01-01T23:00,3,4\n2024-01-02T22:00,5,6\n"
    card = {"steps": 3, "start": "2024-01-01T22:00", "breaks": "daily"}
    raw = load_text(tmp_path, text, TIME, **card)
    write_canonical(raw, card_with(TIME, **card), tmp_path / "processed")
    np.testing.assert_array_equal(raw.values[:, 0, 0], [1, 3, 5])


def test_empty_and_constant_sensors(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = "time,a,b,c\n2024-01-01T00,1,,3\n2024-01-01T01,2,,3\n2024-01-01T02,3,,3\n"
    with pytest.raises(DataError, match=r"1 sensor\(s\) without any value, the first is b"):
        load_text(tmp_path, text, TIME, **NAN)
    raw = load_text(tmp_path, text, TIME | {"empty_sensors": "drop"}, **NAN)
    assert raw.node_ids == ["a", "c"]
    assert "dropped: sensor b has no value" in caplog.text
    assert "sensor c has one flow throughout" in caplog.text
    both = {"empty_sensors": "drop", "constant_sensors": "drop"}
    raw = load_text(tmp_path, text, TIME | both, **NAN)
    assert raw.node_ids == ["a"]
    assert raw.adjacency.shape == (1, 1)
    with pytest.raises(DataError, match="the flow of sensor c is the same throughout"):
        load_text(tmp_path, text, TIME | both | {"constant_sensors": "refuse"}, **NAN)
    nothing = text.replace("2024-01-01T01,2", "2024-01-01T01,1").replace("T02,3", "T02,1")
    with pytest.raises(DataError, match="no sensor is left"):
        load_text(tmp_path, nothing, TIME | both, **NAN)


def test_negative_values_only_in_channels_that_may(tmp_path: Path) -> None:
    text = LONG.replace("b,4,40", "b,4,-40")
    with pytest.raises(DataError, match=r"line 5, column `speed` \(sensor b\): -40 is negative"):
        load_text(tmp_path, text, LONG_OPTIONS, channels=FLOW_AND_SPEED)
    options = LONG_OPTIONS | {"allow_negative": ["speed"]}
    raw = load_text(tmp_path, text, options, channels=FLOW_AND_SPEED)
    assert raw.values[1, 1, 1] == -40


def test_objects_and_damage_in_array_files(tmp_path: Path) -> None:
    card = card_with({"layout": "array"})

    def refused(name: str, message: str) -> None:
        with pytest.raises(DataError, match=message):
            table.load(card, {"series": tmp_path / name})

    np.savez(tmp_path / "object.npz", values=np.array([[1, None]], dtype=object))
    refused("object.npz", r"object\.npz: what it holds of the array `values` is Python objects")
    np.save(tmp_path / "object.npy", np.array([[1, None]], dtype=object), allow_pickle=True)
    refused("object.npy", r"object\.npy: what it holds is Python objects")
    np.savez(tmp_path / "two.npz", first=VALUES, second=VALUES)
    refused("two.npz", r"has the arrays `first`, `second`; name the right one with `array`")
    np.save(tmp_path / "texts.npy", np.array([["1", "2"]]))
    refused("texts.npy", r"the array `values` holds <U1, not numbers")
    np.save(tmp_path / "inf.npy", np.array([[1, 2], [3, np.inf], [5, 6]]))
    refused("inf.npy", r"step 2, sensor 1, channel flow is infinite")
    whole = (tmp_path / "two.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    refused("cut.npz", r"cut\.npz cannot be read as numpy")
    (tmp_path / "no.h5").write_bytes(b"no HDF at all")
    refused("no.h5", r"no\.h5 cannot be read as HDF")
    (tmp_path / "no.mat").write_bytes(b"")
    refused("no.mat", r"a file of arrays ends in one of \.npz")
    refused("absent.npz", r"absent\.npz cannot be read as numpy: .*No such file")


def test_a_frame_that_pandas_wrote(tmp_path: Path) -> None:
    path = tmp_path / "series.h5"
    write_frame(path, "df", ["a", "b"], HOURS.to_numpy(), VALUES)
    check_wide(table.load(card_with({"time": "index"}), {"series": path}))
    check_wide(table.load(card_with({}), {"series": path}))
    write_frame(path, "df", ["a", "b"], HOURS.to_numpy(), np.where(VALUES == 4, np.inf, VALUES))
    with pytest.raises(DataError, match="row 2, column `b` is infinite"):
        table.load(card_with({"time": "index"}), {"series": path})


def test_wrong_parquet(tmp_path: Path) -> None:
    def refused(frame: pd.DataFrame, message: str) -> None:
        frame.to_parquet(tmp_path / "series.parquet")
        with pytest.raises(DataError, match=message):
            table.load(card_with(TIME), {"series": tmp_path / "series.parquet"})

    good = pd.DataFrame({"time": HOURS, "a": [1.0, 2, 3], "b": [1.0, 2, 3]})
    refused(good.assign(b=["1", "x", "3"]), "row 2, column `b`: `x` is not a finite number")
    refused(good.assign(b=[True, False, True]), "column `b` holds bool, not numbers")
    refused(good.assign(b=[1, np.inf, 3]), "row 2, column `b` is infinite")
    refused(good.assign(time=[HOURS[0], None, HOURS[2]]), "row 2, column `time` has no value")
    refused(good.assign(b=[1, None, 3]), "row 2, column `b` is NaN, but the mask policy")
    refused(good[:0], "has no row")
    texts = pa.Table.from_pandas(good.assign(b=["1.5", "2.5", "3.5"]))
    pq.write_table(texts, tmp_path / "series.parquet", compression="NONE", use_dictionary=False)
    wrong = (tmp_path / "series.parquet").read_bytes().replace(b"2.5", b"2\x865")
    (tmp_path / "series.parquet").write_bytes(wrong)
    with pytest.raises(DataError, match=r"cannot be read as parquet: .* UTF8"):
        table.load(card_with(TIME), {"series": tmp_path / "series.parquet"})
    (tmp_path / "series.parquet").write_bytes(b"PAR1 no PAR1")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        table.load(card_with(TIME), {"series": tmp_path / "series.parquet"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "long"}, "`long` needs `time` and `node`"),
        ({"node": "id"}, "has its sensors in the header"),
        ({"columns": ["a"]}, "`columns` are of the layout `long`"),
        ({"resample": "mean"}, "`resample: mean` needs `time`"),
        ({"time_format": "%H:%M"}, "must say year, month and day"),
        ({"time_format": "%"}, "not a pattern that times can be read by"),
        ({"timezone": "Mars/Base"}, "not a known time zone"),
        ({"timezone": "../etc"}, "not a known time zone"),
        ({"encoding": "rot13"}, "`encoding`: Input should be 'utf-8'"),
        ({"graph": {"wieghts": "binary"}}, "unknown key `wieghts` .* did you mean `weights`"),
        ({"allow_negative": ["speed"]}, "there is no channel `speed`"),
        ({"missing_numbers": [0]}, "`missing_numbers` needs `mask_policy: nan`"),
    ],
)
def test_options_that_make_no_sense(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_text(tmp_path, WIDE, options)
    assert "\n" not in str(caught.value)


def test_the_page_on_own_data_knows_every_option() -> None:
    text = (Path(__file__).parents[1] / "docs" / "own_data.md").read_text(encoding="utf-8")
    page = set(re.findall(r"\w+", text))
    fields = {*Options.model_fields, *GraphOptions.model_fields}
    assert fields <= page, fields - page
