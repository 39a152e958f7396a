"""The canonical data set: what every loader yields and every run reads.

On disk it is a folder of ``series.npy`` (T, N, C) float32, ``mask.npy`` (T, N, C) bool, or
(1, 1, 1) where everything was observed, ``timestamps.npy`` (T,) datetime64[s], ``adjacency.npy``
(N, N) float32, ``nodes.json`` (ids), ``meta.json`` (the card, sizes, SHA-256 of each file and of
each raw one) and, for labelled data, ``events.csv``. ``meta.json`` is written last: a folder
without it is not a data set.

A series may be larger than memory. Whoever reads or writes one goes through it in blocks.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.base.files import atomic_path, write_json, write_text
from stprune.base.text import control_character, is_formula, read_json_file
from stprune.data.blocks import step_blocks
from stprune.data.card import DatasetCard
from stprune.data.npy_stream import NpyStream

Block = tuple[NDArray[np.float32], NDArray[np.bool_]]


@dataclass(frozen=True)
class RawSeries:
    """What a loader returns, if it can hold the series in memory.

    Args:
        values: (T, N, C) float32, in the card's units; where ``mask`` is False the value is 0.
        mask: (T, N, C) bool, True where a value was observed.
        timestamps: (T,) datetime64[s], local time at the start of each step.
        adjacency: (N, N) float32, weight of the edge from row to column, 0 for none.
        node_ids: N names, in the order of the second axis.
        events: For labelled (simulated) data, one row an event with at least
            ``first_step``, ``last_step`` (inclusive) and ``node`` (index), else empty.
    """

    values: NDArray[np.float32]
    mask: NDArray[np.bool_]
    timestamps: NDArray[np.datetime64]
    adjacency: NDArray[np.float32]
    node_ids: list[str]
    events: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, N, C)."""
        return self.values.shape

    def blocks(self) -> Iterator[Block]:
        """Values and mask of consecutive steps, (t, N, C) each."""
        for steps in step_blocks(self.shape):
            yield self.values[steps], self.mask[steps]


@dataclass(frozen=True)
class StreamedSeries:
    """What a loader returns of a series too large to be held.

    Args:
        shape: (T, N, C).
        blocks: Makes an iterator of values and mask, (t, N, C) float32 and bool each, of
            consecutive steps from the first to the last; as in ``RawSeries`` otherwise. Blocks of
            some ten megabytes do well. An error it raises leaves nothing written.
        timestamps: See ``RawSeries``, as are the others.
    """

    shape: tuple[int, int, int]
    blocks: Callable[[], Iterator[Block]]
    timestamps: NDArray[np.datetime64]
    adjacency: NDArray[np.float32]
    node_ids: list[str]
    events: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class CanonicalDataset:
    """A prepared data set, memory-mapped.

    Args:
        card: Its card, as it was when the data set was prepared.
        series: (T, N, C) float32 memory map.
        mask: (T, N, C) bool memory map, or a view of a single True.
        timestamps: (T,) datetime64[s].
        adjacency: (N, N) float32 memory map.
        node_ids: N names.
        events: Labelled events, perhaps empty.
        checksum: SHA-256 over the checksums of its contents.
    """

    card: DatasetCard
    series: NDArray[np.float32]
    mask: NDArray[np.bool_]
    timestamps: NDArray[np.datetime64]
    adjacency: NDArray[np.float32]
    node_ids: list[str]
    events: pd.DataFrame
    checksum: str


def write_canonical(
    raw: RawSeries | StreamedSeries,
    card: DatasetCard,
    directory: Path,
    raw_sha256: Mapping[str, str] | None = None,
) -> None:
    """Check ``raw`` against ``card`` and write it to ``directory``, ``meta.json`` last.

    Args:
        raw: What the loader read.
        card: Its card.
        directory: Where to.
        raw_sha256: SHA-256 of the raw files by role, to be told of in ``meta.json``.

    Raises:
        DataError: If shapes, values or timestamps contradict the card.
    """
    check_raw(raw, card)
    digests, observed = _write_series(raw, card, directory)
    content = digests["mask.npy"]
    if observed == math.prod(raw.shape):
        # A third of a gigabyte that says nothing, at 8,600 sensors for a year.
        digests["mask.npy"] = _save(directory / "mask.npy", np.ones((1, 1, 1), bool))
    times = raw.timestamps.astype("datetime64[s]")
    digests["timestamps.npy"] = _save(directory / "timestamps.npy", times)
    digests["adjacency.npy"] = _save(directory / "adjacency.npy", raw.adjacency)
    write_json(directory / "nodes.json", raw.node_ids)
    write_text(directory / "events.csv", raw.events.to_csv(index=False))
    digests |= {name: sha256_of(directory / name) for name in ("nodes.json", "events.csv")}
    meta: dict[str, Any] = {
        "card": card.model_dump(mode="json"),
        "shape": list(raw.shape),
        "observed_share": observed / math.prod(raw.shape),
        "raw_sha256": dict(raw_sha256 or {}),
        "sha256": digests,
        # Of the content: a mask has its checksum whether it is written out or not.
        "checksum": _joint({**digests, "mask.npy": content}),
    }
    write_json(directory / "meta.json", meta)


def _write_series(
    raw: RawSeries | StreamedSeries, card: DatasetCard, directory: Path
) -> tuple[dict[str, str], int]:
    """Write series and mask; returns their SHA-256 by file, and how many values were observed."""
    observed = steps = 0
    with ExitStack() as stack:
        series, mask = (
            stack.enter_context(
                NpyStream(stack.enter_context(atomic_path(directory / name)), raw.shape, dtype)
            )
            for name, dtype in (("series.npy", np.float32), ("mask.npy", np.bool_))
        )
        for values, seen in raw.blocks():
            if values.shape[1:] != raw.shape[1:] or seen.shape != values.shape:
                raise DataError(
                    f"{card.title}: from step {steps} on the loader gave values of shape"
                    f" {values.shape} and a mask of shape {seen.shape} for nodes and channels"
                    f" {raw.shape[1:]}"
                )
            if not np.isfinite(values).all():
                raise DataError(f"{card.title}: values that are not finite are left after masking")
            series.append(values)
            mask.append(seen)
            observed += int(np.count_nonzero(seen))
            steps += len(values)
        if steps != raw.shape[0]:
            raise DataError(f"{card.title}: the loader gave {steps} of {raw.shape[0]} steps")
        # What is there is no data set from here on until all of the new one is.
        (directory / "meta.json").unlink(missing_ok=True)
        return {"series.npy": series.sha256(), "mask.npy": mask.sha256()}, observed


def _save(path: Path, array: NDArray[Any]) -> str:
    """Write a small array to a ``.npy`` file; returns the file's SHA-256."""
    with atomic_path(path) as temporary:
        np.save(temporary, np.ascontiguousarray(array), allow_pickle=False)
    return sha256_of(path)


def read_canonical(directory: Path) -> CanonicalDataset:
    """Open the data set in ``directory`` without reading the series.

    Raises:
        DataError: If the folder holds no data set, or a damaged one.
    """
    if not (directory / "meta.json").exists():
        raise DataError(
            f"there is no prepared data set in {directory};"
            f" run `stprune data prepare {directory.name}`"
        )
    try:
        return _open(directory)
    # A damaged folder fails in as many ways as it has files.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            f"the data set in {directory} is damaged ({reason});"
            f" delete the folder and run `stprune data prepare {directory.name}`"
        ) from None


def _open(directory: Path) -> CanonicalDataset:
    meta = read_json_file(directory / "meta.json")
    text = (directory / "events.csv").read_text(encoding="utf-8")
    shape = tuple(meta["shape"])
    mask = np.load(directory / "mask.npy", mmap_mode="c")
    dataset = CanonicalDataset(
        card=DatasetCard.model_validate(meta["card"]),
        # Copy-on-write: whoever fills missing inputs pays for those pages only.
        series=np.load(directory / "series.npy", mmap_mode="c"),
        mask=mask if mask.shape == shape else np.broadcast_to(np.array(mask), shape),
        timestamps=np.load(directory / "timestamps.npy"),
        adjacency=np.load(directory / "adjacency.npy", mmap_mode="c"),
        node_ids=read_json_file(directory / "nodes.json"),
        events=pd.read_csv(directory / "events.csv") if text.strip() else pd.DataFrame(),
        # Folders of earlier versions have none; they hold every mask written out.
        checksum=meta.get("checksum") or _joint(meta["sha256"]),
    )
    if mask.shape not in (shape, (1, 1, 1)):
        raise DataError(f"mask.npy has the shape {mask.shape}, the series {shape}")
    check_dataset(dataset, shape)
    return dataset


def _joint(digests: dict[str, str]) -> str:
    text = "".join(f"{name}:{digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def joint_checksum(checksums: Sequence[str]) -> str:
    """One checksum of several data sets in order; that of a single one is its own."""
    if len(checksums) == 1:
        return checksums[0]
    return hashlib.sha256("\n".join(checksums).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


EVENT_STEPS = ("first_step", "last_step")


def check_raw(raw: RawSeries | StreamedSeries, card: DatasetCard) -> None:
    """See that what a loader gave is what the card says; its values are checked in writing.

    Args:
        raw: What the loader gave.
        card: Its card.

    Raises:
        DataError: If shapes, names, weights or times contradict the card.
    """
    expected = (card.steps, card.nodes, len(card.channels))
    if raw.shape != expected:
        raise DataError(
            f"{card.title}: the series is (steps, nodes, channels) = {raw.shape},"
            f" but the card says {expected}"
        )
    mask = getattr(raw, "mask", None)  # a streamed series gives it block by block
    masked = mask is None or mask.shape == expected
    if not masked or raw.timestamps.shape != expected[:1]:
        raise DataError(f"{card.title}: mask or timestamps do not have the shape of the series")
    if raw.adjacency.shape != (card.nodes, card.nodes) or len(raw.node_ids) != card.nodes:
        raise DataError(
            f"{card.title}: the graph has shape {raw.adjacency.shape} and"
            f" {len(raw.node_ids)} names for {card.nodes} nodes"
        )
    if not np.isfinite(raw.adjacency).all():
        raise DataError(f"{card.title}: the graph has weights that are not finite")
    _check_names(raw.node_ids, card)
    _check_times(raw.timestamps, card)


def check_dataset(dataset: CanonicalDataset, shape: tuple[int, ...]) -> None:
    """See that files that somebody may have exchanged fit together.

    Whether every byte is as it was written is for ``stprune data verify`` to say, which reads all.

    Args:
        dataset: As its files are.
        shape: (T, N, C), as its ``meta.json`` says.

    Raises:
        DataError: If a file has another form than the others, or than the card says.
    """
    steps, nodes = shape[:2]
    for name, array, expected, dtype in (
        ("series.npy", dataset.series, shape, "float32"),
        ("mask.npy", dataset.mask, shape, "bool"),
        ("timestamps.npy", dataset.timestamps, (steps,), "datetime64[s]"),
        ("adjacency.npy", dataset.adjacency, (nodes, nodes), "float32"),
    ):
        if array.shape != expected or array.dtype != np.dtype(dtype):
            raise DataError(
                f"{name} holds {array.dtype} {array.shape}, where {dtype} {expected} is meant"
            )
    card = dataset.card
    if shape != (card.steps, card.nodes, len(card.channels)):
        raise DataError(f"the series has the shape {shape}, which is not the card's")
    names = dataset.node_ids
    if not isinstance(names, list) or len(names) != nodes:
        raise DataError(f"nodes.json does not hold {nodes} names")
    _check_names(names, card)
    if not np.isfinite(dataset.adjacency).all():
        raise DataError("adjacency.npy holds weights that are not finite")
    _check_times(dataset.timestamps, card)
    steps_of_events = dataset.events[[c for c in EVENT_STEPS if c in dataset.events]]
    # Columns without a row have no type of their own.
    if len(steps_of_events) and any(kind.kind not in "iu" for kind in steps_of_events.dtypes):
        raise DataError("events.csv has steps that are not whole numbers")


def _check_names(names: list[str], card: DatasetCard) -> None:
    """Names of nodes become cells of csv files, which spreadsheets open, and lines of terminals."""
    for name in names:
        if not isinstance(name, str) or control_character(name) or is_formula(name):
            raise DataError(
                f"{card.title}: the node {name!r} is named by a formula or by control characters;"
                " letters and digits are meant"
            )


def _check_times(timestamps: NDArray[np.datetime64], card: DatasetCard) -> None:
    seconds = card.step_minutes * 60
    steps = np.diff(timestamps.astype("datetime64[s]")).astype(np.int64)
    wrong = steps != seconds
    if card.breaks == "daily":
        # Whole steps may be left out, but only where another day begins.
        later = np.diff(timestamps.astype("datetime64[D]")).astype(np.int64) > 0
        wrong &= ~later | (steps % seconds != 0)
    if wrong.any():
        position = int(np.flatnonzero(wrong)[0])
        place = " within a day" if card.breaks == "daily" else ""
        raise DataError(
            f"{card.title}: the step after {timestamps[position]} is"
            f" {steps[position]} s long, not {seconds} s{place}"
        )
