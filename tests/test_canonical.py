"""The canonical data set: made once, in blocks, refused if damaged or against its card."""

import multiprocessing
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
import torch
import toy
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import canonical

from stprune.base.errors import DataError
from stprune.base.layout import DataLayout
from stprune.base.schema import validate
from stprune.data import canonical as blocks
from stprune.data import windows
from stprune.data.canonical import Block, RawSeries, StreamedSeries, read_canonical, write_canonical
from stprune.data.card import DatasetCard
from stprune.data.dataset import forecast_data
from stprune.data.prepare import is_prepared, prepare

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


def test_what_was_written_is_read_and_the_checksum_follows_the_content(tmp_path):
    raw, card = raw_and_card()
    changed = raw.values.copy()
    changed[0, 0, 0] += 1
    sums = []
    for events in (EVENTS, EVENTS.iloc[:0]):
        for number, values in enumerate((raw.values, raw.values, changed)):
            folder = tmp_path / f"{len(events)}{number}"
            write_canonical(replace(raw, events=events, values=values), card, folder)
            read = read_canonical(folder)
            sums.append(read.checksum)
            assert (read.card, read.node_ids) == (card, raw.node_ids)
            for name in ("mask", "timestamps", "adjacency"):
                np.testing.assert_array_equal(getattr(read, name), getattr(raw, name))
            np.testing.assert_array_equal(read.series, values)
            pd.testing.assert_frame_equal(read.events, events, check_dtype=len(events) > 0)
    assert sums[0] == sums[1]
    assert len(set(sums)) == 4


def streamed(raw: RawSeries, lengths: tuple[int, ...]) -> StreamedSeries:
    """The same series in blocks of so many steps."""

    def pieces() -> Iterator[Block]:
        start = 0
        for length in lengths:
            yield raw.values[start : start + length], raw.mask[start : start + length]
            start += length

    return StreamedSeries(
        (30, 3, 2), pieces, raw.timestamps, raw.adjacency, raw.node_ids, raw.events
    )


@settings(max_examples=12)  # each waits for the disk a dozen times
@given(cuts=st.sets(st.integers(1, 29)), complete=st.booleans(), block=st.integers(1, 200))
def test_blocks_of_any_length_make_the_files_of_the_whole(cuts, complete, block):
    raw, card = raw_and_card()
    raw = replace(raw, mask=np.ones_like(MASK)) if complete else raw
    edges = [0, *sorted(cuts), 30]
    lengths = tuple(b - a for a, b in pairwise(edges))
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setattr(blocks, "BLOCK_VALUES", block)
        write_canonical(raw, card, folder / "whole")
        write_canonical(streamed(raw, lengths), card, folder / "streamed")
        np.save(folder / "plain.npy", raw.values)
        files = sorted(path.name for path in (folder / "whole").iterdir())
        for file in files:
            content = (folder / "whole" / file).read_bytes()
            assert content == (folder / "streamed" / file).read_bytes(), file
        assert (folder / "whole/series.npy").read_bytes() == (folder / "plain.npy").read_bytes()
        # A mask that says nothing is one value.
        assert (np.load(folder / "whole/mask.npy").shape == (1, 1, 1)) == complete
        assert read_canonical(folder / "whole").mask.tolist() == raw.mask.tolist()


@pytest.mark.parametrize("lengths", [(10, 19), (20, 0, 9, 2)])
def test_a_loader_with_too_few_or_many_steps_leaves_nothing(tmp_path, lengths):
    raw, card = raw_and_card()
    longer = replace(raw, values=np.tile(raw.values, (2, 1, 1)), mask=np.tile(raw.mask, (2, 1, 1)))
    with pytest.raises(DataError, match=f"{sum(lengths)} of 30 steps"):
        write_canonical(streamed(longer, lengths), card, tmp_path)
    assert list(tmp_path.iterdir()) == []


def with_gap(raw: RawSeries) -> RawSeries:
    times = raw.timestamps.copy()
    times[10:] += np.timedelta64(1, "h")
    return replace(raw, timestamps=times)


def test_a_night_or_hour_may_be_left_out_where_the_card_says_so(tmp_path):
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
    clock = card.model_copy(update={"breaks": "clock"})
    write_canonical(with_gap(raw), clock, tmp_path / "hour")
    with pytest.raises(DataError, match="39600 s long"):
        write_canonical(replace(raw, timestamps=times), clock, tmp_path / "night")
    times[20:] += np.timedelta64(1, "m")
    with pytest.raises(DataError, match="39660 s long"):
        write_canonical(replace(raw, timestamps=times), daily, tmp_path / "slots")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw: replace(raw, values=raw.values[:20]), "series"),
        (lambda raw: replace(raw, mask=raw.mask[:, :1]), "mask"),
        (lambda raw: replace(raw, timestamps=raw.timestamps[:5]), "timestamps"),
        (lambda raw: replace(raw, adjacency=raw.adjacency[:2]), "adjacency"),
        (lambda raw: replace(raw, node_ids=["a"]), "node_ids"),
        (lambda raw: replace(raw, node_ids=["a", "=1+1", "c"]), "=1"),
        (lambda raw: replace(raw, values=np.full_like(raw.values, np.inf)), "not finite"),
        (with_gap, "7200 s long, not 3600 s"),
    ],
)
def test_a_series_that_contradicts_its_card_is_refused(tmp_path, change, words):
    raw, card = raw_and_card()
    with pytest.raises(DataError, match=words):
        write_canonical(change(raw), card, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((name, None) for name in ("series.npy", "mask.npy", "nodes.json", "events.csv")),
        *((name, "cut") for name in ("series.npy", "timestamps.npy", "nodes.json")),
        *(("meta.json", text) for text in ("", "[]", '{"sha256": {}}')),
    ],
)
def test_a_damaged_data_set_is_one_line(tmp_path, name, content):
    raw, card = raw_and_card()
    write_canonical(raw, card, tmp_path)
    path = tmp_path / name
    before = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(before[: len(before) // 2] if content == "cut" else content.encode())
    with pytest.raises(DataError, match="stprune data prepare"):
        read_canonical(tmp_path)


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataLayout:
    """A data directory with the toy card, whose raw files a mirror holds."""
    toy.write_toy(tmp_path / "data", tmp_path / "mirror")
    monkeypatch.setenv("STPRUNE_MIRROR", str(tmp_path / "mirror"))
    return DataLayout(tmp_path / "data")


def test_prepare_makes_the_canonical_data_set_once(layout, monkeypatch):
    assert not is_prepared("toy", layout)
    directory = prepare("toy", layout)
    assert directory == layout.processed("toy")
    assert is_prepared("toy", layout)
    dataset = read_canonical(directory)
    np.testing.assert_allclose(dataset.series[:, :, 0], toy.toy_series(), atol=1e-3)
    np.testing.assert_array_equal(dataset.mask, dataset.series != 0)
    expected = toy.toy_adjacency() * (1 - np.eye(toy.NODES))
    np.testing.assert_allclose(dataset.adjacency, expected, atol=1e-3)
    before = {path: path.stat().st_mtime_ns for path in directory.iterdir()}
    # Once prepared, neither a mirror nor the network is looked at.
    monkeypatch.setenv("STPRUNE_MIRROR", "gone")
    assert prepare("toy", layout) == directory
    assert {path: path.stat().st_mtime_ns for path in directory.iterdir()} == before


def _change_card(layout: DataLayout, **changes: float) -> None:
    path = layout.root / "toy.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


@pytest.mark.parametrize("what", ["mape_floor", "mask.npy", "meta.json", "damaged meta"])
def test_prepare_starts_again_when_something_changed(layout, what):
    directory = prepare("toy", layout)
    if what == "mape_floor":
        _change_card(layout, mape_floor=7.0)
    elif what == "damaged meta":
        (directory / "meta.json").write_text("{")
    else:
        (directory / what).unlink()
    assert not is_prepared("toy", layout)
    prepare("toy", layout)
    assert is_prepared("toy", layout)
    assert (read_canonical(directory).card.mape_floor == 7.0) == (what == "mape_floor")


# A series of any size is prepared in blocks, served from a memory map, and never held twice


# 67 MB of values and 17 MB of mask.
STEPS, NODES = 16384, 1024
CARD = toy.card_values(nodes=NODES, steps=STEPS, step_minutes=15, mask_policy="nan")


def resident(entry: str) -> int:
    """Memory of this process in bytes: ``VmRSS`` now, ``VmHWM`` at its peak."""
    return 1024 * int(re.search(rf"{entry}:\s*(\d+)", Path("/proc/self/status").read_text())[1])


def reset_peak() -> int:
    """Let the peak of this process's memory begin at what is resident now; returns that."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return resident("VmRSS")


def growth_of_preparing(folder: Path) -> float:
    """Megabytes by which writing the series makes the process grow at most."""
    blocks.BLOCK_VALUES = 2**17
    before = reset_peak()
    rng = np.random.default_rng(0)
    seen = rng.random((96, NODES, 1)) >= 0.02
    day = rng.normal(50.0, 10.0, seen.shape).astype(np.float32) * seen

    def parts() -> Iterator[Block]:
        for start in range(0, STEPS, len(day)):
            length = min(len(day), STEPS - start)
            yield day[:length], seen[:length]

    times = np.datetime64(toy.START, "s") + np.arange(STEPS) * np.timedelta64(900, "s")
    adjacency = np.zeros((NODES, NODES), np.float32)
    names = [str(node) for node in range(NODES)]
    raw = StreamedSeries((STEPS, NODES, 1), parts, times, adjacency, names)
    write_canonical(raw, validate(DatasetCard, CARD, "the card"), folder)
    return (resident("VmHWM") - before) / 1e6


def growth_of_serving(folder: Path) -> float:
    """Megabytes by which opening it and taking batches of all of it does."""
    windows.READY_BYTES = 0
    before = reset_peak()
    data = forecast_data(read_canonical(folder), history=12, horizon=12)
    for store in (data.train, data.validation, data.test):
        for numbers in torch.arange(0, len(store), 24).split(16):
            store.gather(numbers)
    return (resident("VmHWM") - before) / 1e6


WHOLE = STEPS * NODES * 4 / 1e6
# Made whole, to be written.
GRAPH = NODES**2 * 4 / 1e6
# Batches, blocks, and what the interpreter takes along the way.
REST = 45


@pytest.mark.slow
def test_a_large_series_is_never_held_twice(tmp_path):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        growth = process.submit(growth_of_preparing, tmp_path).result()
        assert growth < GRAPH + REST < WHOLE
        growth = process.submit(growth_of_serving, tmp_path).result()
    assert 0.9 * WHOLE < growth < 1.25 * WHOLE + REST < 2 * WHOLE
