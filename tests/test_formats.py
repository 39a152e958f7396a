"""Shipped cards, and every loader of a published format: small files, worked by hand, and mistakes.

Each format has a way to write its files into a folder, the changes that its card needs, and what
must come out. Files of a card are pinned by their hash, so mistakes are those of a card.
"""

import math
import pickle
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
from made_up_files import attributes, pickled_graph, write_frame, write_windows
from numpy.typing import NDArray
from scipy import sparse
from scipy.io import savemat

from stprune.base.errors import ConfigError, DataError
from stprune.data import pandas_hdf
from stprune.data.canonical import RawSeries, StreamedSeries, read_canonical, write_canonical
from stprune.data.card import FORMATS, DatasetCard, KaggleFile, RemoteFile, dataset_ids, load_card
from stprune.data.formats.base import load_raw
from stprune.data.pandas_hdf import open_frame

NAN = math.nan
FIVE_MINUTES = np.timedelta64(300, "s")
WEIGHTS = np.array([[1, 0.5, 0], [0, 1, 0.25], [0, 0, 1]], np.float32)
NO_LOOPS = WEIGHTS - np.eye(3, dtype=np.float32)


class Case(NamedTuple):
    """Files by role, what the card says beside the usual, and what must come out."""

    files: dict[str, str | Callable[[Path], Any]]
    card: dict[str, Any]
    values: Any  # (T, N, C), NaN where nothing was observed
    adjacency: Any
    nodes: list[str]
    last: str  # time
    suffixes: dict[str, str] | None = None


def channels(*names: str) -> dict[str, Any]:
    return {"channels": [{"name": name, "unit": "x"} for name in names], "target": names[0]}


def write_speed(path: Path) -> None:
    times = np.datetime64("2012-03-01T00:00:00") + np.arange(2) * FIVE_MINUTES
    write_frame(path, "df", ["a", "b", "c"], times, np.array([[64.375, 0, 61.5], [62, 60.25, 0]]))


# Rows are five minutes, columns the sensors 500, 600 and 700.
FLOW = np.array(
    [[1, 10, NAN], [2, 11, NAN], [4, NAN, NAN], [0, 3, 7], [0, NAN, 8], [0, NAN, 7]], np.float64
)


def write_flow(path: Path, flow: NDArray[np.float64] = FLOW, step: Any = FIVE_MINUTES) -> None:
    times = np.datetime64("2019-01-01T00:00:00") + np.arange(len(flow)) * step
    write_frame(path, "t", ["500", "600", "700"], times, flow)


def write_half_hours(path: Path, columns: list[int], steps: slice) -> None:
    """Windows of the numbers 0 to 11 of three sensors at 01:00, 01:30, 03:00 and 03:30."""
    clock = np.broadcast_to(np.array([[2], [3], [6], [7]]) / 48, (4, 3))
    series = np.stack([np.arange(12.0).reshape(4, 3), clock], axis=2)
    write_windows(path, series[steps][:, columns], 1, 1)


# The graph of METR-LA may list the sensors in another order than the series.
MOVED = [2, 0, 1]
CASES = {
    "wide_csv": Case(
        # Ends of lines and a byte order mark do not matter.
        files={
            "series": lambda path: path.write_bytes(
                b"\xef\xbb\xbfa,b,c\r\n1,2.5,3\r\n4,,0\r\n\r\n"
            ),
            "adjacency": "1,0.5,0\n0,1,0.25\n0,0,1\n",
        },
        card={"mask_policy": "nan", "step_minutes": 15, "start": "2024-02-28T23:45"},
        values=[[[1], [2.5], [3]], [[4], [NAN], [0]]],
        adjacency=NO_LOOPS,
        nodes=["a", "b", "c"],
        last="2024-02-29T00:00:00",
    ),
    "sparse graph": Case(
        # Half hours from 01:00 on, of which 02:00 and 02:30 did not exist.
        files={
            "series": "400001,400017,5\n71.4,0.0,1\n67.6,68.5,1\n70,66.1,1\n",
            "graph": lambda path: sparse.save_npz(path, sparse.csc_matrix(WEIGHTS)),
        },
        card={
            "format": "wide_csv",
            "options": {"clock_forward": "2017-03-12T02:00"},
            "mask_policy": "zero",
            "step_minutes": 30,
            "start": "2017-03-12T01:00",
        },
        values=[
            [[71.4], [NAN], [1]],
            [[67.6], [68.5], [1]],
            *(2 * [[[NAN], [NAN], [NAN]]]),
            [[70], [66.1], [1]],
        ],
        adjacency=NO_LOOPS,
        nodes=["400001", "400017", "5"],
        last="2017-03-12T03:00:00",
        suffixes={"graph": ".npz"},
    ),
    "pems_npz": Case(
        # Lines end as in PEMS03; the file has a loop, and an edge twice.
        files={
            "series": lambda path: np.savez(path, data=np.arange(12.0).reshape(2, 3, 2)),
            "edges": "from,to,cost\r\r\n9,7,3\r\r\n7,8,1\r\r\n8,9,5\r\r\n7,8,1.0\r\r\n9,9,0\r\r\n",
            "ids": "7\r\n8\r\n9",
        },
        card={
            **channels("flow", "occupancy"),
            "options": {"weights": "gaussian"},
            "step_minutes": 5,
            "start": "2018-02-28T23:55",
        },
        values=np.arange(12.0).reshape(2, 3, 2),
        # Distances 3, 1 and 5 have the variance 8/3; exp(-25 * 3 / 8) is below the threshold.
        adjacency=[[0, math.exp(-3 / 8), 0], [0, 0, 0], [0, 0, 0]],
        nodes=["7", "8", "9"],
        last="2018-03-01T00:00:00",
        suffixes={"series": ".npz"},
    ),
    "mat_tensor": Case(
        # Three stations, two days, two slots from 22:00; station 2 of a line of four is closed.
        files={
            "series": lambda path: savemat(
                path, {"tensor": np.arange(12, dtype=np.uint16).reshape(3, 2, 2)}
            ),
            "graph": ",0,1,2,3\n0,0,1,0,0\n1,1,0,1,0\n2,0,1,0,1\n3,0,0,1,0\n",
        },
        card={
            "options": {"missing_stations": ["2"]},
            "step_minutes": 60,
            "start": "2024-02-28T22:00",
            "breaks": "daily",
        },
        values=np.arange(12.0).reshape(3, 4).T[:, :, None],
        adjacency=[[0, 1, 0], [1, 0, 1], [0, 1, 0]],
        nodes=["0", "1", "3"],
        last="2024-02-29T23:00:00",
        suffixes={"series": ".mat"},
    ),
    "station_csv": Case(
        files={
            "West": '"No","year","month","day","hour","PM","TEMP","station"\n'
            '1,2016,2,29,23,0,NA,"West"\n2,2016,3,1,0,9,2.5,"West"\n',
            "East": '"No","year","month","day","hour","PM","TEMP","station"\n'
            '1,2016,2,29,23,4,-0.7,"East"\n2,2016,3,1,0,NA,-1.1,"East"\n',
        },
        card={
            **channels("dust", "temperature"),
            "options": {"columns": ["PM", "TEMP"]},
            "mask_policy": "nan",
            "step_minutes": 60,
            "start": "2016-02-29T23:00",
        },
        values=[[[4, -0.7], [0, NAN]], [[NAN, -1.1], [9, 2.5]]],
        adjacency=[[0, 1], [1, 0]],
        nodes=["East", "West"],
        last="2016-03-01T00:00:00",
    ),
    "zone_csv": Case(
        # The price lists the zones in another order, and the weather writes times without zeros.
        files={
            "occupancy": "time,102,7\n2022-09-01 00:00:00,2,5\n2022-09-01 01:00:00,0,6.5\n",
            "price": "time,7,102\n2022-09-01 00:00,0.5,0.25\n2022-09-01 01:00,,0.125\n",
            "weather": "time,T,U\n2022/9/1 0:00,27.5,87\n2022/9/1 1:00,-1,88\n",
            "stations": "station_id,charge_count,TAZID\n1,3,102\n2,1,102\n3,10,7\n4,9,555\n",
            "adjacency": "7,102\n1,0\n1,1\n",
        },
        card={
            **channels("occupancy", "price", "humidity"),
            "options": {
                "channels": ["occupancy", "price", "weather:U"],
                "scale": "share_of_chargers",
            },
            "mask_policy": "nan",
            "step_minutes": 60,
            "start": "2022-09-01T00:00",
        },
        # Zone 102 has 3 + 1 chargers, zone 7 has 10; prices stay as they are.
        values=[[[0.5, 0.25, 87], [0.5, 0.5, 87]], [[0, 0.125, 88], [0.65, NAN, 88]]],
        adjacency=[[0, 1], [0, 0]],
        nodes=["102", "7"],
        last="2022-09-01T01:00:00",
    ),
    "renumbered_zones": Case(
        # Zone 2 of the first group is zone 1 of the second.
        files={
            "stations": "TAZID,area,perimeter\n102,10.5,4\n7,9,3\n7,9,3\n55,8,2\n",
            "a_zones": "TAZID,area,perimeter\n1,9,3\n2,10.5,4\n",
            "b_zones": "TAZID,area,perimeter\n1,10.5,4\n",
            "a_volume": "time,1,2\n2022/9/1 9:00,5,2\n2022/9/1 10:00,6.5,0\n",
            "b_volume": "time,1\n2022/9/1 9:00,2\n2022/9/1 10:00,0\n",
            "a_price": "time,1,2\n2022/9/1 9:00,0.5,3\n2022/9/1 10:00,1,4\n",
            "b_price": "time,1\n2022/9/1 9:00,3\n2022/9/1 10:00,4\n",
            "distance": "7,102,55\n0,1,1\n1,0,4\n1,4,0\n",
        },
        card={
            **channels("volume", "price"),
            "options": {"groups": ["a", "b"], "channels": ["volume", "price"]},
            "step_minutes": 60,
            "start": "2022-09-01T09:00",
        },
        values=[[[5, 0.5], [2, 3]], [[6.5, 1], [0, 4]]],
        # Distances of all zones: mean 2, variance 2.
        adjacency=[[0, math.exp(-1 / 2)], [math.exp(-1 / 2), 0]],
        nodes=["7", "102"],
        last="2022-09-01T10:00:00",
    ),
    "windows_npz": Case(
        # Windows of one and one half hour; 02:00 and 02:30 did not exist, and sensor 8 is in both.
        files={
            **{
                f"{group}_{part}": partial(write_half_hours, columns=columns, steps=steps)
                for group, columns in (("a", [0, 1]), ("b", [1, 2]))
                for part, steps in (("one", slice(0, 2)), ("two", slice(1, 4)))
            },
            "a_ids": "7,8\n",
            "distances": "7,7,0.0\n8,8,0.0\n9,9,0.0\n7,8,1\n9,8,2\n",
        },
        card={
            "options": {
                "groups": ["a", "b"],
                "parts": ["one", "two"],
                "ids": {"b": ["8", "9"]},
                "time_of_day": 1,
            },
            "mask_policy": "zero",
            "step_minutes": 30,
            "start": "2017-03-12T01:00",
            "breaks": "clock",
        },
        values=[[[NAN], [1], [2]], [[3], [4], [5]], [[6], [7], [8]], [[9], [10], [11]]],
        # Distances 0, 0, 0, 1 and 2: variance 0.64. That of 2 gives less than 0.1.
        adjacency=[[0, math.exp(-1 / 0.64), 0], [0, 0, 0], [0, 0, 0]],
        nodes=["7", "8", "9"],
        last="2017-03-12T03:30:00",
        suffixes=dict.fromkeys(["a_one", "a_two", "b_one", "b_two"], ".npz"),
    ),
    "dcrnn_hdf": Case(
        files={
            "series": write_speed,
            "graph": lambda path: path.write_bytes(
                pickled_graph(["c", "a", "b"], WEIGHTS[np.ix_(MOVED, MOVED)])
            ),
        },
        card={"mask_policy": "zero", "step_minutes": 5, "start": "2012-03-01T00:00"},
        values=[[[64.375], [NAN], [61.5]], [[62], [60.25], [NAN]]],
        adjacency=NO_LOOPS,
        nodes=["a", "b", "c"],
        last="2012-03-01T00:05:00",
    ),
    "largest_hdf": Case(
        files={
            "series": write_flow,
            "sensors": "ID,Lat,District,County,ID2\n700,32.5,11,N,2\n500,32,4,N,0\n600,33,11,N,1\n",
            "adjacency": lambda path: np.save(
                path, np.array([[1, 0.5, 0.25], [0, 1, 0.75], [0, 0.125, 1]], np.float32)
            ),
        },
        card={
            "options": {"districts": [11]},
            "mask_policy": "nan",
            "step_minutes": 15,
            "start": "2019-01-01T00:00",
        },
        # 21 / 2 = 10.5, to the even one; 22 / 3 = 7.33.
        values=[[[NAN], [10]], [[7], [3]]],
        # Rows and columns 2 and 1 of the matrix.
        adjacency=[[0, 0.125], [0.75, 0]],
        nodes=["700", "600"],
        last="2019-01-01T00:15:00",
        suffixes={"adjacency": ".npy"},
    ),
}


def card_of(name: str, **changes: Any) -> DatasetCard:
    case = CASES[name]
    shape = np.shape(case.values)
    values = {
        "title": "Toy",
        "description": "A few sensors.",
        "format": name,
        "licence": "none",
        "citation": "none",
        "nodes": shape[1],
        "steps": shape[0],
        "mask_policy": "none",
        **channels("flow"),
        **case.card,
    }
    return DatasetCard.model_validate(values | changes)


def write_files(name: str, folder: Path, **changes: Any) -> dict[str, Path]:
    """Write the files of a case, some of them changed, or left out if None."""
    case = CASES[name]
    paths = {}
    for role, content in (case.files | changes).items():
        if content is None:
            continue
        paths[role] = folder / f"{role}{(case.suffixes or {}).get(role, '.csv')}"
        if isinstance(content, str):
            paths[role].write_text(content, encoding="utf-8")
        else:
            content(paths[role])
    return paths


def load(name: str, folder: Path, card: dict[str, Any] | None = None, **changes: Any) -> RawSeries:
    """Load a case; a series that comes in blocks is put together."""
    raw = load_raw(card_of(name, **card or {}), write_files(name, folder, **changes))
    if isinstance(raw, StreamedSeries):
        values, masks = (np.concatenate(part) for part in zip(*raw.blocks(), strict=True))
        return RawSeries(values, masks, raw.timestamps, raw.adjacency, raw.node_ids)
    return raw


def test_every_published_format_has_a_case():
    others = {"table", "simulated_freeway", "simulated_charging"}
    formats = {case.card.get("format", name) for name, case in CASES.items()}
    assert set(FORMATS.ids()) == formats | others


PINNED = re.compile(r"^https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/.+")


@pytest.mark.parametrize("dataset", dataset_ids())
def test_a_shipped_card_says_what_people_need_and_pins_its_files(dataset):
    card = load_card(dataset)
    assert re.fullmatch(r"[a-z][a-z0-9_]*", dataset)
    for text in (card.title, card.description, card.licence, card.citation):
        assert text.strip()
    assert all(channel.unit.strip() for channel in card.channels)
    # Times are local; a zone would be lost in the canonical data set.
    assert card.start.tzinfo is None
    # Twelve steps in and twelve out, so that there is at least one window of each kind.
    assert min(card.splits) * card.steps >= 24
    # A published series ends with a day, which says that no step is lost on the way.
    if dataset not in ("hangzhou_metro", "pems08_tail"):
        hour = 12 if card.breaks == "clock" else 0
        assert (card.steps + hour) % card.steps_per_day == 0
    for role, remote in card.files.items():
        if not isinstance(remote, KaggleFile):  # Kaggle has no pins; the loader checks more
            assert isinstance(remote, RemoteFile), f"{role} is on somebody's disk"
            assert PINNED.match(remote.url), f"{role} is not pinned to a commit: {remote.url}"
    options = FORMATS.module(card.format).Options.model_validate(card.options)
    alike = [case for name, case in CASES.items() if case.card.get("format", name) == card.format]
    known = {role for case in alike for role in case.files}
    if card.format == "zone_csv":
        known = {"adjacency", "stations", *(name.partition(":")[0] for name in options.channels)}
    # Of the others the roles follow from the options, and real files are read in other tests.
    if card.files and card.format not in ("station_csv", "windows_npz", "renumbered_zones"):
        assert set(card.files) <= known


@pytest.mark.parametrize("name", CASES)
def test_a_loader_gives_the_numbers_of_its_files(name, tmp_path):
    case = CASES[name]
    raw = load(name, tmp_path)
    expected = np.array(case.values, np.float32)
    assert (raw.values.dtype, raw.mask.dtype, raw.adjacency.dtype) == ("float32", "bool", "float32")
    np.testing.assert_array_equal(raw.mask, ~np.isnan(expected))
    np.testing.assert_array_equal(raw.values, np.nan_to_num(expected))
    np.testing.assert_allclose(raw.adjacency, case.adjacency, rtol=1e-6)
    assert raw.node_ids == case.nodes
    assert str(raw.timestamps[-1]) == case.last
    # What a loader gives is a canonical data set.
    write_canonical(raw, card_of(name), tmp_path / "toy")
    np.testing.assert_array_equal(read_canonical(tmp_path / "toy").series, raw.values)


@pytest.mark.parametrize("name", CASES)
def test_a_card_or_a_file_that_does_not_fit_is_named(name, tmp_path):
    first = next(iter(CASES[name].files))
    for wrong in ({"card": {"options": {"no_such_option": 1}}}, {first: None}, {"spare": "1\n"}):
        if not (
            name == "station_csv" and "card" not in wrong
        ):  # each file there is one more station
            with pytest.raises(ConfigError):
                load(name, tmp_path, **wrong)
    for role in CASES[name].files:
        paths = write_files(name, tmp_path)
        for spoil in (lambda path: path.write_bytes(b"\x89<!doctype\xff\x00"), Path.unlink):
            spoil(paths[role])
            with pytest.raises(DataError, match=re.escape(str(paths[role]))):
                load_raw(card_of(name), paths)


# The format, what its card says otherwise, and what its files hold otherwise.
# Four steps of two sensors, each a window of one step.
HOURS = np.arange(12.0).reshape(4, 1, 3, 1)[:, :, :2]
MISTAKES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    # Sensors that contradict each other or their ids, and parts and windows that do not follow.
    ("windows_npz", {}, {"a_ids": "7\n"}),
    ("windows_npz", {}, {"a_ids": "8,8\n"}),
    ("windows_npz", {}, {"b_two": partial(write_half_hours, columns=[2, 1], steps=slice(1, 4))}),
    ("windows_npz", {}, {"a_two": partial(write_half_hours, columns=[0, 1], steps=slice(2, 4))}),
    ("windows_npz", {}, {"a_two": lambda path: np.savez(path, x=HOURS[[1, 3]], y=HOURS[[2, 3]])}),
    ("windows_npz", {}, {"a_two": lambda path: np.savez(path, x=HOURS[1:3], y=HOURS[[3, 3]])}),
    ("wide_csv", {"mask_policy": "none"}, {}),
    ("wide_csv", {"nodes": 4}, {}),
    ("wide_csv", {}, {"series": "a,b,c\n1,x,3\n"}),
    ("wide_csv", {}, {"series": "a,b,c\n1,2,3\n4,5,inf\n"}),
    ("sparse graph", {"steps": 7}, {}),
    ("pems_npz", {"options": {"key": "flow"}}, {}),
    ("pems_npz", {}, {"ids": "7\n8\n6"}),
    ("mat_tensor", {"options": {"missing_stations": ["9"]}}, {}),
    ("mat_tensor", {"options": {}}, {}),
    ("station_csv", {"options": {"columns": ["PM", "DEWP"]}}, {}),
    ("station_csv", {"start": "2016-03-01T00:00"}, {}),
    ("zone_csv", {"start": "2022-09-02T00:00"}, {}),
    ("zone_csv", {}, {"price": "time,7,9\n2022-09-01 00:00,1,2\n2022-09-01 01:00,1,2\n"}),
    ("zone_csv", {}, {"stations": "charge_count,TAZID\n1,102\n1,8\n"}),
    ("dcrnn_hdf", {"start": "2012-03-02T00:00"}, {}),
    ("largest_hdf", {"steps": 3}, {}),
    ("largest_hdf", {"start": "2020-01-01T00:00"}, {}),
    ("largest_hdf", {"options": {"districts": [12]}}, {}),
    ("largest_hdf", {}, {"sensors": "ID,District,ID2\n800,11,0\n"}),
    ("largest_hdf", {}, {"sensors": "ID,District,ID2\n700,11,0\n600,11,0\n"}),
    ("largest_hdf", {"mask_policy": "none"}, {}),
    ("largest_hdf", {}, {"series": lambda path: write_flow(path, step=np.timedelta64(600, "s"))}),
]


@pytest.mark.parametrize(("name", "card", "files"), MISTAKES)
def test_what_contradicts_a_card_is_refused(tmp_path, name, card, files):
    with pytest.raises(DataError):
        write_canonical(
            load(name, tmp_path, card, **files), card_of(name, **card), tmp_path / "toy"
        )


class Bomb:
    """Fails the test if it is ever unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return pytest.fail, ("unpickled",)


def test_a_pickle_that_names_code_runs_nothing(tmp_path):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        content = pickle.dumps([["a", "b", "c"], Bomb(), WEIGHTS], protocol)
        with pytest.raises(DataError):
            load("dcrnn_hdf", tmp_path, graph=lambda path, c=content: path.write_bytes(c))


def test_sensors_may_have_numbers_or_no_ids_at_all(tmp_path):
    series = "71.4,0.0,1\n67.6,68.5,1\n70,66.1,1"
    raw = load("sparse graph", tmp_path, series=series)
    assert raw.node_ids == ["0", "1", "2"]
    np.testing.assert_array_equal(raw.values, load("sparse graph", tmp_path).values)
    ids = np.array([773869, 7, 9])
    times = np.datetime64("2012-03-01T00:00:00") + np.arange(2) * FIVE_MINUTES
    raw = load(
        "dcrnn_hdf",
        tmp_path,
        series=lambda path: write_frame(path, "df", ids, times, np.ones((2, 3))),
        graph=lambda path: path.write_bytes(pickle.dumps([ids.tolist(), {}, WEIGHTS], 2)),
    )
    assert raw.node_ids == ["773869", "7", "9"]


def test_edges_of_pems_without_ids_name_positions(tmp_path):
    raw = load("pems_npz", tmp_path, {"options": {}}, ids=None, edges="from,to,cost\n0,2,9\n")
    assert raw.node_ids == ["0", "1", "2"]
    assert np.argwhere(raw.adjacency).tolist() == [[0, 2]]


# The fixed layout of pandas is read exactly, and nothing of it is unpickled


TIMES = np.datetime64("2019-01-01T00:00:00") + np.arange(7) * np.timedelta64(300, "s")
VALUES = np.arange(21.0).reshape(7, 3)
NAMES = ["317802", "317814", "400001"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_frame(tmp_path / "series.h5", "t", NAMES, TIMES, VALUES)
    return tmp_path / "series.h5"


@pytest.mark.parametrize("kind", ["datetime64", "datetime64[us]", "datetime64[s]"])
def test_names_times_and_rows_come_back(tmp_path, kind):
    values = VALUES.copy()
    values[2, 1] = np.nan
    write_frame(tmp_path / "series.h5", "df", NAMES, TIMES, values, kind)
    with open_frame(tmp_path / "series.h5") as frame:
        assert (frame.shape, frame.names) == ((7, 3), NAMES)
        assert frame.times().dtype == "datetime64[s]"
        assert (frame.times() == TIMES).all()
        np.testing.assert_array_equal(frame.rows(1, 4), values[1:4])


def test_columns_of_two_types_lie_in_two_blocks(path):
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


def test_chunks_hold_whole_groups_of_rows(path, monkeypatch):
    # 100 bytes are four rows of three numbers, so groups of three rows fit once.
    monkeypatch.setattr(pandas_hdf, "CHUNK_BYTES", 100)
    with open_frame(path) as frame:
        chunks = list(frame.chunks(multiple=3))
    assert [len(rows) for rows in chunks] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(chunks), VALUES)


def test_pickles_in_attributes_are_never_read(path):
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
def test_damage_is_one_line_that_names_the_file(path, change):
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(DataError, match=str(path)), open_frame(path) as frame:
        frame.times()
