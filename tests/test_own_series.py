"""A user's own series: what is read of each kind of file, and what is refused with its place."""

import re
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from own_data import FLOW_AND_SPEED, LONG, LONG_OPTIONS, WIDE, card_with, load_text

from stprune.base.errors import ConfigError, DataError
from stprune.data.canonical import RawSeries, write_canonical
from stprune.data.formats import table
from stprune.data.formats.table import GraphOptions, Options, read_times

TIME = {"time": "time"}
HOURS = pd.date_range("2024-01-01", periods=3, freq="h")
VALUES = np.array([[1, 2.5], [3, 4], [5, 0]])
NAN = {"mask_policy": "nan"}


def check_wide(raw: RawSeries) -> None:
    assert raw.values.dtype == np.float32
    np.testing.assert_array_equal(raw.values[:, :, 0], VALUES)
    assert raw.mask.all()
    assert raw.node_ids == ["a", "b"]
    assert raw.timestamps.dtype == np.dtype("datetime64[s]")
    np.testing.assert_array_equal(raw.timestamps, HOURS.to_numpy())
    assert raw.adjacency.shape == (2, 2)
    assert not raw.adjacency.any()


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (WIDE, {}),
        ("\ufeff" + WIDE.replace("\n", "\r\n") + "\r\n \n", {}),
        (WIDE.replace(",", ";").replace("2.5", "2,5"), {"separator": ";", "decimal": ","}),
        (WIDE.replace(",", "\t"), {"separator": "\t"}),
        (WIDE.encode("utf-16"), {"encoding": "utf-16"}),
        (WIDE.replace("T0", " 0").replace(":00,", ":00:00, "), {}),
        (WIDE.replace("2024-01-01T", "1.1.2024 "), {"time_format": "%d.%m.%Y %H:%M"}),
        (WIDE.replace(":00,", ":00Z,"), {}),
        (WIDE.replace(":00,", ":00+02:00,"), {}),
        (WIDE.replace("time,", ","), {"time": ""}),
        ("".join(line.partition(",")[2] for line in WIDE.splitlines(True)), {"time": None}),
        ("\n".join([WIDE.splitlines()[0], *WIDE.splitlines()[:0:-1]]), {}),
    ],
)
def test_a_wide_csv_as_spreadsheets_and_locales_write_it(tmp_path, content, options):
    raw = load_text(tmp_path, content, TIME | options)
    check_wide(raw)
    write_canonical(raw, card_with(TIME), tmp_path / "processed")


def test_a_long_csv_in_any_order(tmp_path):
    lines = LONG.splitlines()
    text = "\n".join([lines[0], *reversed(lines[1:])])
    raw = load_text(tmp_path, text, LONG_OPTIONS, channels=FLOW_AND_SPEED)
    assert raw.node_ids == ["a", "b"]  # in the order in which they first come
    expected = np.stack([VALUES, [[10, 20], [30, 40], [50, 60]]], axis=2)
    np.testing.assert_array_equal(raw.values, expected)


@pytest.mark.parametrize("kind", ["numbers", "texts", "index", "zone", "categories"])
def test_parquet(tmp_path, kind):
    frame = pd.DataFrame(VALUES, columns=["a", "b"])
    frame.insert(0, "time", HOURS.tz_localize("Asia/Tokyo") if kind == "zone" else HOURS)
    if kind == "texts":
        frame = frame.astype(str)
    elif kind == "index":
        frame = frame.set_index("time")
    elif kind == "categories":
        frame["a"] = frame["a"].astype("category")
    frame.to_parquet(tmp_path / "series.parquet")
    check_wide(table.load(card_with(TIME), {"series": tmp_path / "series.parquet"}))
    # Whole numbers as ids of a long file, as pandas stores them after a gap.
    frame = pd.DataFrame({"t": HOURS.repeat(2), "id": [7.0, 8.0] * 3, "flow": VALUES.ravel()})
    frame.to_parquet(tmp_path / "series.pq")
    long = card_with({"layout": "long", "time": "t", "node": "id"})
    assert table.load(long, {"series": tmp_path / "series.pq"}).node_ids == ["7", "8"]


@pytest.mark.parametrize("kind", ["datetime64", "texts", "seconds"])
def test_arrays(tmp_path, kind):
    times = {
        "datetime64": HOURS.to_numpy(),
        "texts": np.array([str(hour) for hour in HOURS], "S19"),
        "seconds": HOURS.to_numpy().astype("datetime64[s]").astype(int),
    }[kind]
    arrays = {"values": VALUES, "ids": np.array([b"a", b"b"]), "when": times}
    options = {"layout": "array", "array": "values", "node": "ids", "time": "when"}
    options["time_format"] = "seconds" if kind == "seconds" else "iso"
    path = tmp_path / "series.npz"
    np.savez(path, **arrays)
    check_wide(table.load(card_with(options), {"series": path}))
    if kind != "datetime64":  # which HDF does not know
        path = tmp_path / "series.h5"
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[f"deep/{name}"] = array
        deep = {key: f"deep/{options[key]}" for key in ("array", "node", "time")}
        check_wide(table.load(card_with(options | deep), {"series": path}))


def test_an_npy_with_channels_in_the_third_axis(tmp_path):
    both, files = np.stack([VALUES, VALUES * 10], axis=2), {"series": tmp_path / "series.npy"}
    np.save(files["series"], both)
    raw = table.load(card_with({"layout": "array"}, channels=FLOW_AND_SPEED), files)
    np.testing.assert_array_equal(raw.values, both)
    assert raw.node_ids == ["0", "1"]
    with pytest.raises(DataError, match=r"series\.npy"):
        table.load(card_with({"layout": "array"}), files)


def test_a_wide_file_holds_one_channel(tmp_path):
    with pytest.raises(ConfigError):
        load_text(tmp_path, WIDE, TIME, channels=FLOW_AND_SPEED)


@pytest.mark.parametrize("cell", ["", " ", "NaN", "NA", "null", "None", "-999"])
def test_missing_cells(tmp_path, cell):
    text = WIDE.replace("3,4", f"{cell},4")
    raw = load_text(tmp_path, text, TIME | {"missing_numbers": [-999]}, **NAN)
    np.testing.assert_array_equal(raw.mask[:, 0, 0], [True, False, True])
    np.testing.assert_array_equal(raw.values[:, 0, 0], [1, 0, 5])
    with pytest.raises(DataError, match="line 3"):
        load_text(tmp_path, text, TIME)


WITHOUT_B = re.sub(r",[\d.]+$", ",", WIDE, flags=re.MULTILINE)
OFFSETS = WIDE.replace("T00:00", "T00:00+01:00").replace("T01:00", "T01:00Z")


@pytest.mark.parametrize(
    ("text", "options", "place"),
    [
        ("", {}, ""),
        (WIDE.replace("3,4", "3,x"), {}, "line 3.*`b`"),
        (WIDE.replace("3,4", "3,inf"), {}, "line 3.*`b`"),
        (WIDE.replace("3,4", '3,"1,234"'), {}, "line 3.*`b`"),
        (WIDE.replace("3,4", "3,1e16"), {}, "line 3.*`b`"),
        (WIDE.replace("3,4", "3,-4"), {}, "line 3.*`b`.*`allow_negative`"),
        (WIDE.replace("3,4", "3,4,5"), {}, "#3"),
        (WIDE.replace("\n2024-01-01T01", "\n\n2024-01-01T01"), {"gaps": "missing"}, "line 3"),
        (WIDE.replace("a,b", "a,a"), {}, "`a`"),
        # A row counter that pandas wrote is as little a sensor as a column without a name.
        (WIDE.replace("a,b", "Unnamed: 0,b"), {}, "`Unnamed: 0`"),
        (WIDE, {"time": "when"}, "`when`"),
        (WIDE, {"time": None}, "line 2.*`time`"),
        (WIDE.replace(",", ";"), {}, "`separator`"),
        (WIDE.replace("T01:00", "T01:05"), {}, "line 3.*`resample"),
        (WIDE.replace("T01", "T02"), {}, "line 4.*`duplicates`"),
        (WIDE.replace("T02", "T03"), {}, "line 4"),
        (WIDE.replace("2024-01-01T01:00,3,4\n", ""), {}, "01:00:00.*`gaps"),
        (WITHOUT_B, {"gaps": "missing"}, "`b`"),
        (WIDE.replace("T01:00", "T25:00"), {}, "line 3.*`time_format`"),
        (WIDE.replace("2024-01-01T01:00", "0824-01-01"), {}, "line 3"),
        (WIDE.replace("T01:00", "T01:00:00.5"), {}, "line 3"),
        (WIDE.replace("T01:00", "T01:00Z"), {}, "line 3"),
        (OFFSETS.replace("T02:00", "T02:00Z"), {}, "line 3.*`timezone`"),
        (WIDE, {"time_format": "seconds"}, "line 2"),
        (WIDE, {"time_format": "%"}, "line 2"),
        (WIDE.replace("2024-", ""), {"time_format": "%m-%dT%H:%M"}, "line 2.*1901"),
        (WIDE.encode("utf-16"), {}, ""),
        (WIDE.replace(",", ";"), {"decimal": ",", "separator": ";"}, "line 2.*`b`"),
        # A long file says which sensor.
        (LONG.replace("b,4,40", "b,,40"), LONG_OPTIONS, "line 5.*`b`.*`flow`"),
        (LONG.replace("b,4,40", ",4,40"), LONG_OPTIONS, "line 5"),
        (LONG.replace("b,4,40", "a,4,40"), LONG_OPTIONS, "line 5.*`a`"),
        (LONG.replace("2024-01-01 01:00,b,4,40\n", ""), LONG_OPTIONS, "`b`.*01:00:00"),
        (LONG, LONG_OPTIONS | {"columns": ["flow", "occupancy"]}, "`occupancy`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_with_its_place(tmp_path, text, options, place):
    policy = NAN if "gaps" in options else {}
    if "layout" in options:
        policy = {"channels": FLOW_AND_SPEED}
    with pytest.raises(DataError, match=rf"series\.csv.*{place}"):
        load_text(tmp_path, text, TIME | options, **policy)


def test_damaged_arrays_are_named(tmp_path):
    np.savez(tmp_path / "two.npz", first=VALUES, second=VALUES)
    np.save(tmp_path / "texts.npy", np.array([["1", "2"]]))
    np.save(tmp_path / "inf.npy", np.array([[1, 2], [3, np.inf], [5, 6]]))
    whole = (tmp_path / "two.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "no.h5").write_bytes(b"no HDF at all")
    (tmp_path / "no.mat").write_bytes(b"")
    for path in [*tmp_path.iterdir(), tmp_path / "absent.npz"]:
        with pytest.raises(DataError, match=path.name):
            table.load(card_with({"layout": "array"}), {"series": path})


@pytest.mark.parametrize(
    ("place", "column"),
    [
        ("row 2.*`b`", {"b": ["1", "x", "3"]}),
        ("`b`", {"b": [True, False, True]}),
        ("row 2.*`b`", {"b": [1, np.inf, 3]}),
        ("row 2", {"time": [HOURS[0], None, HOURS[2]]}),
        ("row 2.*`b`", {"b": [1, None, 3]}),
    ],
)
def test_wrong_parquet(tmp_path, place, column):
    good = pd.DataFrame({"time": HOURS, "a": [1.0, 2, 3], "b": ["1.5", "2.5", "3.5"]})
    path = tmp_path / "series.parquet"
    good.assign(**column).to_parquet(path, compression="none")
    with pytest.raises(DataError, match=rf"series\.parquet.*{place}"):
        table.load(card_with(TIME), {"series": path})
    with pytest.raises(DataError, match=r"series\.parquet"):
        load_text(tmp_path, b"PAR1 no PAR1", TIME, name="series.parquet")


@pytest.mark.parametrize(
    "options",
    [
        {"layout": "long"},
        {"node": "id"},
        {"resample": "mean"},
        {"time_format": "seconds"},
        {"timezone": "Mars/Base"},
        {"decimal": ",", "separator": ","},
        {"graph": {"wieghts": "binary"}},
        {"graph": {"sigma": 0}},
        {"allow_negative": ["speed"]},
        {"gaps": "missing"},
    ],
)
def test_options_that_make_no_sense(tmp_path, options):
    with pytest.raises(ConfigError):
        load_text(tmp_path, WIDE, options)


def test_the_page_on_own_data_knows_every_option():
    text = (Path(__file__).parents[1] / "docs" / "own_data.md").read_text(encoding="utf-8")
    assert {*Options.model_fields, *GraphOptions.model_fields} <= set(re.findall(r"\w+", text))


def clock(texts, zone, sensors=None, form="iso"):
    options = Options(time="t", time_format=form, timezone=zone)
    codes = None if sensors is None else np.array(sensors)
    times = read_times(Path("own.csv"), pd.Series(texts), options, codes)
    return [time.strftime("%m-%dT%H:%M") for time in times]


def test_offsets_of_summer_time_become_standard_time():
    # Berlin sets its clock forward on 31 March 2024, from 2 to 3.
    written = ["2024-03-31T01:00+01:00", "2024-03-31T03:00+02:00", "2024-03-31T04:00+02:00"]
    with pytest.raises(DataError, match=r"own\.csv.* 1"):
        clock(written, None)
    assert clock(written, "Europe/Berlin") == [f"03-31T0{hour}:00" for hour in (1, 2, 3)]
    assert clock(written, "UTC") == [f"03-31T0{hour}:00" for hour in (0, 1, 2)]
    typed = pd.to_datetime(pd.Series(written), utc=True).dt.tz_convert("Europe/Berlin")
    assert clock(typed, "Europe/Berlin") == [f"03-31T0{hour}:00" for hour in (1, 2, 3)]


@pytest.mark.parametrize(
    ("text", "zone", "form", "expected"),
    [
        ("2024-07-01T12:00+02:00", "Europe/Berlin", "iso", "07-01T11:00"),
        ("1719828000", "Europe/Berlin", "seconds", "07-01T11:00"),
        ("1719828000000", "Europe/Berlin", "milliseconds", "07-01T11:00"),
        # Databases differ in whether Dublin has summer time or, in winter, less than its standard.
        ("2024-01-01T12:00", "Europe/Dublin", "iso", "01-01T12:00"),
        ("2024-07-01T12:00", "Europe/Dublin", "iso", "07-01T11:00"),
    ],
)
def test_standard_time_is_that_of_winter(text, zone, form, expected):
    assert clock([text], zone, form=form) == [expected]


def test_an_hour_that_the_clock_shows_twice_is_told_apart_by_order():
    # On 27 October 2024 Berlin's clock is set back from 3 to 2: 02:00 and 02:30 come twice.
    hours = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
    written = [f"2024-10-27T{hour}" for hour in hours]
    expected = [f"10-27T{hour}" for hour in ("00:30", "01:00", "01:30", "02:00", "02:30", "03:00")]
    assert clock(written, "Europe/Berlin") == expected
    both = [text for text in written for _ in range(2)]
    unfolded = clock(both, "Europe/Berlin", [0, 1] * 6)
    assert unfolded == [text for text in expected for _ in range(2)]


@pytest.mark.parametrize(
    ("form", "texts"),
    [
        ("iso", ["2024-10-27T01:00", "2024-10-27T02:00", "2024-10-27T03:00"]),  # written once
        ("iso", [f"2024-10-27T0{hour}:00" for hour in (3, 2, 2, 1)]),
        ("iso", ["2024-03-31T02:30"]),  # never
        *(("seconds", [text]) for text in ("nan", "inf", "1e30", "1_0", "", "12:00")),
    ],
)
def test_times_that_never_were(form, texts):
    with pytest.raises(DataError, match=r"own\.csv"):
        clock(texts, "Europe/Berlin", form=form)
