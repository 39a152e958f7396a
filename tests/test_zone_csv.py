"""UrbanEV's files: zones as columns, prices and weather beside the target, chargers of a zone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import fabricated_mirror as mirror
import fabricated_urban_ev
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from stprune.base.errors import ConfigError, DataError, StpruneError
from stprune.data.canonical import RawSeries
from stprune.data.card import DatasetCard, load_card
from stprune.data.chargers import chargers_of_zones
from stprune.data.formats.zone_csv import load
from stprune.data.graph_weights import gaussian
from stprune.data.matrix_csv import read_matrix
from stprune.data.raw_values import regular_times
from stprune.data.timed_csv import read_timed_csv

CARDS = ["urban_ev", "urban_ev_share", "urban_ev_exogenous", "urban_ev_volume", "urban_ev_duration"]
FILES = {
    "occupancy": "time,102,7\n2022-09-01 00:00:00,2,5\n2022-09-01 01:00:00,0,6.5\n",
    # The price lists the zones in another order.
    "price": "time,7,102\n2022-09-01 00:00,0.5,0.25\n2022-09-01 01:00,1.5,0.125\n",
    "weather": "time,T,U\n2022/9/1 0:00,27.5,87\n2022/9/1 1:00,-1,88\n",
    "stations": "station_id,charge_count,TAZID\n1,3,102\n2,1,102\n3,10,7\n4,9,555\n",
    "adjacency": "102,7\n1,1\n1,1\n",
}


def card_of(channels: list[str], **options: Any) -> DatasetCard:
    values = load_card("urban_ev").model_dump(mode="json")
    names = [{"name": source, "unit": "some"} for source in channels]
    changes = {"nodes": 2, "steps": 2, "channels": names, "target": channels[0]}
    changes["options"] = {"channels": channels, **options}
    return DatasetCard.model_validate(values | changes)


def load_texts(folder: Path, card: DatasetCard, roles: list[str], **texts: str | None) -> RawSeries:
    """Load the files of ``roles``, some with another text than that of ``FILES``."""
    paths = {role: folder / f"{role}.csv" for role in roles}
    for role, path in paths.items():
        path.write_text(texts.get(role) or FILES[role], encoding="utf-8")
    return load(card, paths)


def test_exogenous_channels_are_aligned_by_zone_or_the_same_for_all(tmp_path: Path) -> None:
    card = card_of(["occupancy", "price", "weather:U"])
    raw = load_texts(tmp_path, card, ["occupancy", "price", "weather", "adjacency"])
    assert raw.node_ids == ["102", "7"]
    assert raw.values[0].tolist() == [[2, 0.25, 87], [5, 0.5, 87]]
    assert raw.values[1].tolist() == [[0, 0.125, 88], [6.5, 1.5, 88]]
    assert raw.mask.all()
    assert raw.timestamps.tolist() == [
        np.datetime64("2022-09-01T00:00:00").item(),
        np.datetime64("2022-09-01T01:00:00").item(),
    ]
    # Zones touch themselves in the file, but a canonical graph has no loops.
    assert raw.adjacency.tolist() == [[0, 1], [1, 0]]


def test_shares_are_of_all_chargers_of_the_zone(tmp_path: Path) -> None:
    card = card_of(["occupancy", "price"], scale="share_of_chargers")
    raw = load_texts(tmp_path, card, ["occupancy", "price", "stations", "adjacency"])
    # Zone 102 has 3 + 1 chargers, zone 7 has 10; prices stay as they are.
    assert raw.values[:, :, 0].tolist() == [[0.5, 0.5], [0.0, np.float32(0.65)]]
    assert raw.values[0, :, 1].tolist() == [0.25, 0.5]


def test_shares_far_above_one_are_refused(tmp_path: Path) -> None:
    card = card_of(["occupancy"], scale="share_of_chargers")
    text = FILES["occupancy"].replace(",2,5", ",60,5")
    with pytest.raises(DataError, match=r"25% of the shares of chargers are above 1, so .*raw`$"):
        load_texts(tmp_path, card, ["occupancy", "stations", "adjacency"], occupancy=text)


def test_distances_become_gaussian_weights(tmp_path: Path) -> None:
    card = card_of(["occupancy"])
    path = tmp_path / "distance.csv"
    path.write_text("7,102\n0,1000\n3000,0\n")
    (tmp_path / "occupancy.csv").write_text(FILES["occupancy"])
    raw = load(card, {"occupancy": tmp_path / "occupancy.csv", "distance": path})
    # Way from 7 to 102 is 1000 m, back 3000 m: they spread by 1000 m around 2000 m.
    assert raw.node_ids == ["102", "7"]
    assert raw.adjacency[1, 0] == pytest.approx(math.exp(-1))
    assert raw.adjacency[0, 1] == 0, "exp(-9) is below the threshold"
    card = card_of(["occupancy"], symmetrise="max", threshold=0)
    raw = load(card, {"occupancy": tmp_path / "occupancy.csv", "distance": path})
    assert raw.adjacency.tolist() == [[0, np.float32(math.exp(-1))], [np.float32(math.exp(-1)), 0]]


def test_missing_values_follow_the_mask_policy(tmp_path: Path) -> None:
    card = card_of(["occupancy", "price"]).model_copy(update={"mask_policy": "nan"})
    text = FILES["price"].replace("0.5,0.25", "0.5,")
    raw = load_texts(tmp_path, card, ["occupancy", "price", "adjacency"], price=text)
    assert raw.mask[:, :, 1].tolist() == [[False, True], [True, True]]
    assert raw.values[0, 0, 1] == 0
    card = card.model_copy(update={"mask_policy": "none"})
    with pytest.raises(DataError, match=r"price.csv: line 2, column 3 \(sensor 102\) is NaN, but"):
        load_texts(tmp_path, card, ["occupancy", "price", "adjacency"], price=text)


@pytest.mark.parametrize(
    ("role", "old", "new", "message"),
    [
        ("occupancy", "01:00:00,0", "02:00:00,0", r"line 3 is of `2022-09-01 02:00:00`, but 2022-"),
        ("occupancy", "2022-09-01 01:00:00", "soon", r"line 3: `soon` is no time such as"),
        ("occupancy", "0,6.5\n", "0,6.5\n2022-09-01 02:00:00,1,1\n", r"has 3 rows, but .* 2 steps"),
        ("occupancy", "2022-09-01 01:00:00,0,6.5\n", "", r"has 1 rows, but the card says 2 steps"),
        ("occupancy", "0,6.5", "0,many", r"line 3, column 3 \(sensor 7\): `many` is not a finite"),
        ("occupancy", "0,6.5", "0", r"line 3 has 1 columns, but the series has 2 sensors"),
        ("occupancy", "time,102,7", "time,7,7", r"column 2 of the header repeats the sensor id"),
        ("occupancy", FILES["occupancy"], "\n", r"is empty, or its first line is"),
        ("price", "time,7,102", "time,7,9", r"price.csv has no column of sensor `102`"),
        ("price", "time,7,102", "time,7,102,9", r"line 2 has 2 columns, but the series has 3"),
        ("weather", "time,T,U", "time,T,H", r"weather.csv has no column `U`; it has T, H"),
        ("adjacency", "102,7\n", "102,8\n", r"no column of sensor `7`, which the series has"),
        ("adjacency", "1,1\n1,1\n", "1,1\n", r"1 rows below a header of 2 sensors, .* square"),
        ("adjacency", "1,1\n1,1\n", "1,-2\n1,1\n", r"line 2, column 2 \(sensor 7\): -2, but must"),
        ("adjacency", "1,1\n1,1\n", "1,1\n,1\n", r"line 3, column 1 \(sensor 102\): nothing, but"),
        ("stations", "TAZID", "ZONE", r"stations.csv has no column `TAZID`; it has station_id"),
        ("stations", "3,10,7", "3,10,8", r"has no charger in zone `7`, which the series has"),
        ("stations", "3,10,7", "3,ten,7", r"stations.csv: line 4: `ten` is no number of chargers"),
        ("stations", "3,10,7", "3,10", r"line 4 has 2 columns, but 3 names"),
    ],
)  # fmt: skip
def test_damage_is_named_with_its_place(
    tmp_path: Path, role: str, old: str, new: str, message: str
) -> None:
    card = card_of(["occupancy", "price", "weather:U"], scale="share_of_chargers")
    text = FILES[role].replace(old, new)
    assert text != FILES[role]
    with pytest.raises(DataError, match=message) as caught:
        load_texts(tmp_path, card, list(FILES), **{role: text})
    assert "\n" not in str(caught.value)
    assert str(tmp_path / f"{role}.csv") in str(caught.value)


@pytest.mark.parametrize(
    ("card", "roles", "message"),
    [
        (card_of(["weather:T"]), ["weather", "adjacency"], "the target `weather:T` comes from"),
        (card_of(["occupancy"]), ["occupancy"], r"takes the files occupancy, adjacency, not occ"),
        (card_of(["occupancy"]), ["occupancy", "price", "adjacency"], "not adjacency, occupancy"),
        (card_of(["occupancy"], scale="share"), ["occupancy"], "`scale`: Input should be 'raw' or"),
        (card_of(["occupancy"], scale="share_of_chargers"), ["occupancy"], "occupancy, stations"),
    ],
)  # fmt: skip
def test_a_card_that_does_not_fit_is_refused(
    tmp_path: Path, card: DatasetCard, roles: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_texts(tmp_path, card, roles)
    assert "\n" not in str(caught.value)


def test_channels_need_a_source_each(tmp_path: Path) -> None:
    card = card_of(["occupancy", "price"])
    card = card.model_copy(update={"options": {"channels": ["occupancy"]}})
    with pytest.raises(StpruneError, match="there are 1 sources for 2 channels"):
        load_texts(tmp_path, card, ["occupancy", "adjacency"])


@pytest.mark.parametrize("dataset", CARDS)
def test_files_as_published_load_by_the_shipped_card(tmp_path: Path, dataset: str) -> None:
    card = fabricated_urban_ev.fabricate(dataset, tmp_path)
    paths = {role: mirror.mirror_path(tmp_path, file.url) for role, file in card.files.items()}
    raw = load(card, paths)
    assert raw.values.shape == (card.steps, card.nodes, len(card.channels))
    target = pd.read_csv(paths[card.target], index_col=0)
    expected = target.to_numpy()
    if dataset == "urban_ev_share":
        expected = expected / chargers_of_zones(paths["stations"], raw.node_ids)
    np.testing.assert_allclose(raw.values[:, :, 0], expected, rtol=1e-6)
    assert raw.node_ids == target.columns.tolist()


@pytest.fixture
def real_folder() -> Path:
    path = mirror.real_file(f"{fabricated_urban_ev.BASE}inf.csv")
    if not path:
        pytest.skip("set STPRUNE_MIRROR to a mirror that holds the files of UrbanEV")
    return path.parent


def test_the_real_zones_have_the_chargers_that_the_publishers_count(real_folder: Path) -> None:
    zones = pd.read_csv(real_folder / "adj.csv", nrows=0).columns.tolist()
    chargers = chargers_of_zones(real_folder / "inf.csv", zones)
    assert (len(chargers), chargers.sum()) == (275, 17532)
    assert (chargers.min(), chargers.max()) == (4, 373)


def test_the_real_graphs_and_weather_are_as_the_cards_say(real_folder: Path) -> None:
    card = load_card("urban_ev_exogenous")
    weather = read_timed_csv(real_folder / "weather_central.csv", regular_times(card, card.steps))
    assert weather.names == ["T", "P0", "P", "U", "nRAIN", "Td"]
    assert weather.values[0].tolist() == [27.3, 750.6, 756.1, 87, 0, 24.9]
    assert not np.isnan(weather.values).any()
    zones = pd.read_csv(real_folder / "adj.csv", nrows=0).columns.tolist()
    borders = read_matrix(real_folder / "adj.csv", zones)
    # Each zone touches itself, and 20 links are published in one direction only.
    assert borders.sum() == 275 + 2 * 590 + 20
    assert (borders != borders.T).sum() == 2 * 20
    weights = gaussian(read_matrix(real_folder / "distance.csv", zones))
    assert connected_components(csr_array(weights))[0] == 1
