"""The canonical data set: what contradicts its card is refused, what is damaged too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy import canonical

from stprune.data.canonical import RawSeries, read_canonical, sha256_of, write_canonical
from stprune.data.card import DatasetCard
from stprune.errors import DataError

RNG = np.random.default_rng(0)
SERIES = RNG.normal(size=(30, 3, 2)).astype(np.float32)
MASK = RNG.random(SERIES.shape) > 0.2
EVENTS = pd.DataFrame({"first_step": [3], "last_step": [5], "node": [1]})


def raw_and_card() -> tuple[RawSeries, DatasetCard]:
    """A series that follows its card."""
    dataset = canonical(SERIES, MASK)
    adjacency = np.array([[0, 1, 0], [0, 0, 2], [0, 0, 0]], dtype=np.float32)
    raw = RawSeries(
        np.where(MASK, SERIES, np.float32(0)),
        MASK,
        dataset.timestamps,
        adjacency,
        dataset.node_ids,
        EVENTS,
    )
    return raw, dataset.card


def test_what_was_written_is_read(tmp_path: Path) -> None:
    raw, card = raw_and_card()
    write_canonical(raw, card, tmp_path)
    read = read_canonical(tmp_path)
    assert read.card == card
    for name in ("mask", "timestamps", "adjacency"):
        np.testing.assert_array_equal(getattr(read, name), getattr(raw, name))
    np.testing.assert_array_equal(read.series, raw.values)
    assert read.node_ids == raw.node_ids
    pd.testing.assert_frame_equal(read.events, EVENTS)


def test_the_checksum_follows_the_content(tmp_path: Path) -> None:
    raw, card = raw_and_card()
    write_canonical(raw, card, tmp_path / "one")
    write_canonical(raw, card, tmp_path / "two")
    changed = raw.values.copy()
    changed[0, 0, 0] += 1
    write_canonical(replace(raw, values=changed), card, tmp_path / "three")
    sums = [read_canonical(tmp_path / name).checksum for name in ("one", "two", "three")]
    assert sums[0] == sums[1] != sums[2]
    assert sha256_of(tmp_path / "one" / "mask.npy") == sha256_of(tmp_path / "three" / "mask.npy")


def test_filling_what_was_read_does_not_change_the_file(tmp_path: Path) -> None:
    raw, card = raw_and_card()
    write_canonical(raw, card, tmp_path)
    read_canonical(tmp_path).series[:] = 7
    np.testing.assert_array_equal(read_canonical(tmp_path).series, raw.values)


def with_gap(raw: RawSeries) -> RawSeries:
    times = raw.timestamps.copy()
    times[10:] += np.timedelta64(1, "h")
    return replace(raw, timestamps=times)


def test_a_night_may_be_left_out_where_the_card_says_so(tmp_path: Path) -> None:
    raw, card = raw_and_card()
    daily = card.model_copy(update={"breaks": "daily"})
    # Step 19 is 19:00 of the first day and step 20 now 06:00 of the next.
    times = raw.timestamps.copy()
    times[20:] += np.timedelta64(10, "h")
    write_canonical(replace(raw, timestamps=times), daily, tmp_path / "night")
    np.testing.assert_array_equal(read_canonical(tmp_path / "night").timestamps, times)
    with pytest.raises(DataError, match=r"39600 s long, not 3600 s$"):
        write_canonical(replace(raw, timestamps=times), card, tmp_path / "none")
    with pytest.raises(DataError, match="7200 s long, not 3600 s within a day"):
        write_canonical(with_gap(raw), daily, tmp_path / "day")
    times[20:] += np.timedelta64(1, "m")
    with pytest.raises(DataError, match="39660 s long"):
        write_canonical(replace(raw, timestamps=times), daily, tmp_path / "slots")


def with_infinity(raw: RawSeries) -> RawSeries:
    values = raw.values.copy()
    values[4, 1, 0] = np.inf
    return replace(raw, values=values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw: replace(raw, values=raw.values[:20]), "the card says"),
        (lambda raw: replace(raw, mask=raw.mask[:, :1]), "mask or timestamps"),
        (lambda raw: replace(raw, timestamps=raw.timestamps[:5]), "mask or timestamps"),
        (lambda raw: replace(raw, adjacency=raw.adjacency[:2]), "3 nodes"),
        (lambda raw: replace(raw, node_ids=["a"]), "1 names"),
        (with_infinity, "not finite"),
        (with_gap, "7200 s long, not 3600 s"),
    ],
)
def test_a_series_that_contradicts_its_card_is_refused(
    tmp_path: Path, change: object, words: str
) -> None:
    raw, card = raw_and_card()
    assert callable(change)
    with pytest.raises(DataError, match=words) as caught:
        write_canonical(change(raw), card, tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, "missing") for name in ("series.npy", "mask.npy", "nodes.json", "events.csv")),
        *((name, "cut") for name in ("series.npy", "timestamps.npy", "nodes.json")),
    ],
)
def test_a_damaged_data_set_is_one_line(tmp_path: Path, name: str, damage: str) -> None:
    raw, card = raw_and_card()
    write_canonical(raw, card, tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    assert_unreadable(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"sha256": {}}', '{"card": {}, "sha256": {}}'])
def test_a_damaged_meta_file_is_one_line(tmp_path: Path, content: str) -> None:
    raw, card = raw_and_card()
    write_canonical(raw, card, tmp_path)
    (tmp_path / "meta.json").write_text(content)
    assert_unreadable(tmp_path)


def assert_unreadable(folder: Path) -> None:
    with pytest.raises(DataError, match="stprune data prepare") as caught:
        read_canonical(folder)
    assert "\n" not in str(caught.value)
