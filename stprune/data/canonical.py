"""The canonical data set: what every loader yields and every run reads.

On disk it is a folder of ``series.npy`` (T, N, C) float32, ``mask.npy`` (T, N, C) bool, or
(1, 1, 1) where everything was observed, ``timestamps.npy`` (T,) datetime64[s], ``adjacency.npy``
(N, N) float32, ``nodes.json`` (ids), ``meta.json`` (the card, sizes, SHA-256 of each file and of
each raw one) and, for labelled data, ``events.csv``. ``meta.json`` is written last: a folder
without it is not a data set.

A series may be larger than memory, so it is read and written in blocks of steps.
"""

from __future__ import annotations

import hashlib
import math
import mmap
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
from stprune.data.card import DatasetCard

Block = tuple[NDArray[np.float32], NDArray[np.bool_]]
BLOCK_VALUES = 2**22


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
    """What a loader returns of a series too large for memory.

    Args:
        shape: (T, N, C).
        blocks: Makes an iterator of values and mask, (t, N, C) float32 and bool each, of
            consecutive steps; as in ``RawSeries`` otherwise. Blocks of about 10 MB work well.
            If it raises, nothing is left on disk.
        timestamps: See ``RawSeries``, as for the others.
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


def step_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of the first axis of a (T, ...) array that hold about four million values each."""
    length = max(1, BLOCK_VALUES // math.prod(shape[1:]))
    for start in range(0, shape[0], length):
        yield slice(start, min(start + length, shape[0]))


def release(array: NDArray[Any]) -> None:
    """Free the memory of a memory map that was only read; other arrays are left alone."""
    pages: object = array.base
    if isinstance(array, np.memmap) and isinstance(pages, mmap.mmap):
        pages.madvise(mmap.MADV_DONTNEED)


def write_canonical(
    raw: RawSeries | StreamedSeries,
    card: DatasetCard,
    directory: Path,
    raw_sha256: Mapping[str, str] | None = None,
) -> None:
    """Check ``raw`` against ``card`` and write it to ``directory``, ``meta.json`` last.

    ``raw_sha256``, of the raw files by role, is for ``meta.json``.

    Raises:
        DataError: If shapes, values or timestamps contradict the card.
    """
    _check_raw(raw, card)
    digests, observed = _write_series(raw, card, directory)
    content = digests["mask.npy"]
    if observed == math.prod(raw.shape):
        # 8,600 sensors for a year would take a third of a gigabyte of True.
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
        # Of the whole mask, however it is stored.
        "checksum": _joint({**digests, "mask.npy": content}),
    }
    write_json(directory / "meta.json", meta)


def _write_series(
    raw: RawSeries | StreamedSeries, card: DatasetCard, directory: Path
) -> tuple[dict[str, str], int]:
    """Write series and mask; returns their SHA-256 by file and the number of observed values."""
    observed = steps = 0
    paths = {}
    with ExitStack() as stack:
        files = []
        for name, dtype in (("series.npy", np.float32), ("mask.npy", np.bool_)):
            paths[name] = stack.enter_context(atomic_path(directory / name))
            file = stack.enter_context(paths[name].open("wb"))
            descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
            header = {"descr": descr, "fortran_order": False, "shape": raw.shape}
            np.lib.format.write_array_header_1_0(file, header)
            files.append((file, dtype))
        for block in raw.blocks():
            values, seen = block
            if values.shape[1:] != raw.shape[1:] or seen.shape != values.shape:
                raise DataError(
                    f"{card.title}: from step {steps} on the loader gave values of shape"
                    f" {values.shape} and a mask of shape {seen.shape} for nodes and channels"
                    f" {raw.shape[1:]}"
                )
            if not np.isfinite(values).all():
                raise DataError(f"{card.title}: values that are not finite are left after masking")
            for (file, dtype), array in zip(files, block, strict=True):
                file.write(np.ascontiguousarray(array, dtype).reshape(-1).view(np.uint8).data)
            observed += int(np.count_nonzero(seen))
            steps += len(values)
        if steps != raw.shape[0]:
            raise DataError(f"{card.title}: the loader gave {steps} of {raw.shape[0]} steps")
        for file, _ in files:
            file.flush()
        digests = {name: sha256_of(path) for name, path in paths.items()}
        # From here on the old data set is incomplete.
        (directory / "meta.json").unlink(missing_ok=True)
    return digests, observed


def _save(path: Path, array: NDArray[Any]) -> str:
    """Write a small array to a ``.npy`` file; returns the file's SHA-256."""
    with atomic_path(path) as temporary:
        np.save(temporary, np.ascontiguousarray(array), allow_pickle=False)
    return sha256_of(path)


def read_canonical(directory: Path) -> CanonicalDataset:
    """Open the data set in ``directory`` without reading the series.

    Whether every byte is as it was written is checked by ``stprune data verify``.

    Raises:
        DataError: If the folder holds no data set, or a damaged one.
    """
    again = f"run `stprune data prepare {directory.name}`"
    if not (directory / "meta.json").exists():
        raise DataError(f"there is no prepared data set in {directory}; {again}")
    try:
        return _open(directory)
    # A damaged file can fail in any part of the readers.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            f"the data set in {directory} is damaged ({reason}); delete the folder and {again}"
        ) from None


def _open(directory: Path) -> CanonicalDataset:
    meta = read_json_file(directory / "meta.json")
    text = (directory / "events.csv").read_text(encoding="utf-8")
    card, shape = DatasetCard.model_validate(meta["card"]), tuple(meta["shape"])
    if shape != (card.steps, card.nodes, len(card.channels)):
        raise DataError(f"the series has the shape {shape}, which is not the card's")
    # Copy-on-write: filling missing inputs copies only the pages that change.
    arrays: dict[str, Any] = {
        name: np.load(directory / f"{name}.npy", mmap_mode="c")
        for name in ("series", "mask", "adjacency")
    }
    arrays["timestamps"] = np.load(directory / "timestamps.npy")
    if arrays["mask"].shape == (1, 1, 1):
        arrays["mask"] = np.broadcast_to(np.array(arrays["mask"]), shape)
    for name, expected, dtype in (
        ("series", shape, "float32"),
        ("mask", shape, "bool"),
        ("timestamps", shape[:1], "datetime64[s]"),
        ("adjacency", (card.nodes, card.nodes), "float32"),
    ):
        array = arrays[name]
        if array.shape != expected or array.dtype != np.dtype(dtype):
            raise DataError(
                f"{name}.npy holds {array.dtype} {array.shape}, where {dtype} {expected} is meant"
            )
    dataset = CanonicalDataset(
        card=card,
        **arrays,
        node_ids=read_json_file(directory / "nodes.json"),
        events=pd.read_csv(directory / "events.csv") if text.strip() else pd.DataFrame(),
        # Folders of earlier versions have none; they hold every mask written out.
        checksum=meta.get("checksum") or _joint(meta["sha256"]),
    )
    if not isinstance(dataset.node_ids, list) or len(dataset.node_ids) != card.nodes:
        raise DataError(f"nodes.json does not hold {card.nodes} names")
    _check_graph_and_times(dataset, card)
    steps = dataset.events[[c for c in ("first_step", "last_step") if c in dataset.events]]
    # Columns without a row have no type of their own.
    if len(steps) and any(kind.kind not in "iu" for kind in steps.dtypes):
        raise DataError("events.csv has steps that are not whole numbers")
    return dataset


def _check_raw(raw: RawSeries | StreamedSeries, card: DatasetCard) -> None:
    """Compare what a loader gave with the card; values are checked while they are written."""
    expected = (card.steps, card.nodes, len(card.channels))
    if raw.shape != expected:
        raise DataError(
            f"{card.title}: the series is (steps, nodes, channels) = {raw.shape},"
            f" but the card says {expected}"
        )
    mask = getattr(raw, "mask", None)  # a streamed series gives it block by block
    if (mask is not None and mask.shape != expected) or raw.timestamps.shape != expected[:1]:
        raise DataError(f"{card.title}: mask or timestamps do not have the shape of the series")
    if raw.adjacency.shape != (card.nodes, card.nodes) or len(raw.node_ids) != card.nodes:
        raise DataError(
            f"{card.title}: the graph has shape {raw.adjacency.shape} and"
            f" {len(raw.node_ids)} names for {card.nodes} nodes"
        )
    _check_graph_and_times(raw, card)


def _check_graph_and_times(
    data: RawSeries | StreamedSeries | CanonicalDataset, card: DatasetCard
) -> None:
    """Refuse infinite weights, node names that are formulas, and irregular steps."""
    if not np.isfinite(data.adjacency).all():
        raise DataError(f"{card.title}: the graph has weights that are not finite")
    for name in data.node_ids:
        # Names of nodes become cells of csv files, which spreadsheets open.
        if not isinstance(name, str) or control_character(name) or is_formula(name):
            raise DataError(
                f"{card.title}: the node {name!r} is named by a formula or by control characters;"
                " letters and digits are meant"
            )
    times, seconds = data.timestamps, card.step_minutes * 60
    steps = np.diff(times.astype("datetime64[s]")).astype(np.int64)
    wrong = steps != seconds
    if card.breaks == "daily":
        # Whole steps may be missing, but only between two days.
        later = np.diff(times.astype("datetime64[D]")).astype(np.int64) > 0
        wrong &= ~later | (steps % seconds != 0)
    if wrong.any():
        position = int(np.flatnonzero(wrong)[0])
        place = " within a day" if card.breaks == "daily" else ""
        raise DataError(
            f"{card.title}: the step after {times[position]} is"
            f" {steps[position]} s long, not {seconds} s{place}"
        )


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
