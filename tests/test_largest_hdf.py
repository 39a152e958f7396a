"""LargeST: districts, means of fifteen minutes by hand, and what its files may not be."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fabricated_largest
import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pandas_layout import write_frame

from stprune.base.errors import ConfigError, DataError
from stprune.data import pandas_hdf
from stprune.data.canonical import StreamedSeries
from stprune.data.card import DatasetCard, load_card
from stprune.data.formats.largest_hdf import load
from stprune.data.raw_values import step_means

NAN = math.nan
SENSORS = "ID,Lat,Lng,District,County,Fwy,Lanes,Type,Direction,ID2\n" + "".join(
    f'{sensor},32.5,-117.1,{district},"San Diego, north",I5-N,4,Mainline,N,{place}\n'
    for sensor, district, place in ((700, 11, 2), (500, 4, 0), (600, 11, 1))
)
# Rows are five minutes, columns the sensors 500, 600 and 700.
FLOW = np.array(
    [[1, 10, NAN], [2, 11, NAN], [4, NAN, NAN], [0, 3, 7], [0, NAN, 8], [0, NAN, 7]], np.float64
)
WEIGHTS = np.array([[1, 0.5, 0.25], [0, 1, 0.75], [0, 0.125, 1]], np.float32)


def card_of(nodes: int, **changes: Any) -> DatasetCard:
    values = load_card("largest_ca").model_dump(mode="json")
    return DatasetCard.model_validate(values | {"nodes": nodes, "steps": 2} | changes)


def write_files(
    folder: Path,
    flow: NDArray[np.float64] = FLOW,
    sensors: str = SENSORS,
    weights: NDArray[Any] = WEIGHTS,
    minutes: int = 5,
) -> dict[str, Path]:
    names = {"series": "series.h5", "sensors": "sensors.csv", "adjacency": "adjacency.npy"}
    paths = {role: folder / name for role, name in names.items()}
    step = np.timedelta64(minutes * 60, "s")
    times = np.datetime64("2019-01-01T00:00:00") + np.arange(len(flow)) * step
    write_frame(paths["series"], "t", ["500", "600", "700"], times, flow)
    paths["sensors"].write_text(sensors, encoding="utf-8")
    np.save(paths["adjacency"], weights)
    return paths


def whole(raw: StreamedSeries) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    values, masks = zip(*raw.blocks(), strict=True)
    return np.concatenate(values), np.concatenate(masks)


def test_a_step_is_the_rounded_mean_of_what_was_observed(tmp_path: Path) -> None:
    raw = load(card_of(3), write_files(tmp_path))
    values, mask = whole(raw)
    # In the order of the csv: 700, 500, 600.
    assert raw.node_ids == ["700", "500", "600"]
    assert mask[:, :, 0].tolist() == [[False, True, True], [True, True, True]]
    # 7 / 3 = 2.33; 21 / 2 = 10.5, to the even one; 22 / 3 = 7.33; a zero is a count.
    assert values[:, :, 0].tolist() == [[0, 2, 10], [7, 0, 3]]
    assert raw.timestamps.tolist() == [
        np.datetime64("2019-01-01T00:00:00").item(),
        np.datetime64("2019-01-01T00:15:00").item(),
    ]


def test_means_may_stay_as_they_are(tmp_path: Path) -> None:
    card = card_of(3, options={"rounding": "none"})
    values, _ = whole(load(card, write_files(tmp_path)))
    np.testing.assert_allclose(values[:, :, 0], [[0, 7 / 3, 10.5], [22 / 3, 0, 3]], rtol=1e-6)


def test_a_district_has_its_own_sensors_and_weights(tmp_path: Path) -> None:
    raw = load(card_of(2, options={"districts": [11]}), write_files(tmp_path))
    assert raw.node_ids == ["700", "600"]
    assert whole(raw)[0][:, :, 0].tolist() == [[0, 10], [7, 3]]
    # Rows and columns ID2 = 2 and 1 of the matrix; no loops.
    assert raw.adjacency.tolist() == [[0, 0.125], [0.75, 0]]
    assert raw.adjacency.dtype == np.float32


def test_it_makes_no_difference_how_much_is_read_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_files(tmp_path)
    raw = load(card_of(3), paths)
    expected = whole(raw)
    monkeypatch.setattr(pandas_hdf, "CHUNK_BYTES", 1)
    assert len(list(raw.blocks())) == 2
    for ours, other in zip(whole(raw), expected, strict=True):
        np.testing.assert_array_equal(ours, other)


flows = st.one_of(st.just(NAN), st.integers(0, 500).map(float))


tables = st.tuples(st.sampled_from([3, 6, 15]), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=flows)
)


@given(tables)
def test_means_are_those_of_pandas(table: NDArray[np.float64]) -> None:
    index = pd.date_range("2019-01-01", periods=len(table), freq="5min")
    expected = pd.DataFrame(table, index=index).resample("15min").mean().round(0)
    np.testing.assert_array_equal(step_means(table, 3, "nearest"), expected.to_numpy())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flow": FLOW[:5]}, r"has 5 rows, but 2 steps of 15 minutes are 6 rows of 5 minutes$"),
        ({"flow": FLOW[:2]}, r"2 rows, but .* holds means already, in which missing values became"),
        ({"minutes": 10}, r"row 1 is of 2019-01-01T00:10:00, but 2019-01-01T00:05:00 comes next"),
        ({"sensors": SENSORS.replace("600,", "601,")}, r"no column of sensor 601, which the csv"),
        ({"sensors": SENSORS.replace("600,", "700,")}, r"line 4 lists ID 700 or ID2 1 a second"),
        ({"sensors": SENSORS.replace("N,1\n", "N,2\n")}, r"line 4 lists ID 600 or ID2 2 a second"),
        ({"sensors": SENSORS.replace("N,1\n", "N,\n")}, r"line 4: .* ID2 `` must be whole numbers"),
        ({"sensors": SENSORS.replace("N,1\n", "N,3\n")}, r"has 3 rows, but the csv lists ID2 3"),
        ({"sensors": SENSORS.replace(",N,0\n", "\n")}, r"line 3 has 8 columns, but 10 names"),
        ({"sensors": SENSORS.replace("ID2", "Row")}, r"has no column `ID2`; it has ID, Lat, Lng"),
        ({"sensors": "<!doctype html>\n"}, r"has no column `ID`; it has <!doctype html>"),
        ({"sensors": SENSORS.splitlines()[0]}, r"sensors.csv has no sensor in the districts"),
        ({"weights": WEIGHTS[:2]}, r"is float32 \(2, 3\), but must be a square of numbers"),
        ({"weights": WEIGHTS.astype(object)}, r"cannot be read as npy: Array can't be memory-m"),
        ({"weights": WEIGHTS.astype("S4")}, r"is \|S4 \(3, 3\), but must be a square of numbers"),
        ({"weights": -WEIGHTS}, r"row 2, column 2 is -1.0, no weight of at least 0"),
        ({"weights": WEIGHTS * np.float32(NAN)}, r"row 2, column 2 is nan, no weight of at least"),
    ],
)  # fmt: skip
def test_damage_is_one_line(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load(card_of(3), write_files(tmp_path, **changes))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_what_is_wrong_in_the_series_is_named_when_it_is_read(tmp_path: Path) -> None:
    flow = FLOW.copy()
    flow[4, 1] = np.inf
    with pytest.raises(DataError, match=r"series.h5: row 4 of sensor 600 is infinite$"):
        whole(load(card_of(3), write_files(tmp_path, flow)))
    card = card_of(3, mask_policy="none")
    with pytest.raises(DataError, match=r"series.h5: step 0 of sensor 700 is NaN, but the mask"):
        whole(load(card, write_files(tmp_path)))
    with pytest.raises(ConfigError, match=r"steps of 15 minutes cannot be made of `source_min"):
        load(card_of(3, options={"source_minutes": 10}), write_files(tmp_path))


def shortened(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def pickled(path: Path) -> None:
    np.save(path, np.array([{}], object), allow_pickle=True)


@pytest.mark.parametrize("damage", [shortened, pickled, Path.unlink])
def test_a_matrix_that_cannot_be_read_is_one_line(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    paths = write_files(tmp_path)
    damage(paths["adjacency"])
    with pytest.raises(DataError, match=r"adjacency.npy cannot be read as npy: ") as caught:
        load(card_of(3), paths)
    assert "\n" not in str(caught.value)


def test_a_zero_is_missing_only_where_the_card_says_so(tmp_path: Path) -> None:
    _, mask = whole(load(card_of(3, mask_policy="zero"), write_files(tmp_path, FLOW[:, [0, 0, 0]])))
    assert mask[:, :, 0].tolist() == [[True] * 3, [False] * 3]


@pytest.mark.parametrize(
    ("dataset", "nodes"),
    [("largest_sd", 4), ("largest_gba", 4), ("largest_gla", 12), ("largest_ca", 36)],
)
def test_files_as_published_load_by_the_shipped_card(
    tmp_path: Path, dataset: str, nodes: int
) -> None:
    card = fabricated_largest.fabricate(dataset, tmp_path)
    folder = tmp_path / "www.kaggle.com/datasets/liuxu77/largest"
    paths = {role: folder / card.files[role].model_dump()["name"] for role in card.files}
    raw = load(card, paths)
    values, mask = whole(raw)
    assert values.shape == raw.shape == (672, nodes, 1)
    assert card.nodes == nodes
    # The publishers' own steps, in pandas: choose, resample, round.
    sensors = pd.read_csv(paths["sensors"])
    districts = card.options.get("districts")
    chosen = sensors[sensors.District.isin(districts)] if districts else sensors
    with h5py.File(paths["series"]) as file:
        names = [name.decode() for name in file["t/axis0"][:]]
        index = pd.to_datetime(file["t/axis1"][:])
        flow = pd.DataFrame(file["t/block0_values"][:], index=index, columns=names)
    means = flow[[str(sensor) for sensor in chosen.ID]].resample("15min").mean().round(0)
    np.testing.assert_array_equal(values[:, :, 0], means.fillna(0).to_numpy())
    np.testing.assert_array_equal(mask[:, :, 0], means.notna().to_numpy())
    assert not mask.all()
    assert raw.adjacency.any(axis=1).all(), "no sensor stands alone"
