"""The canonical data set: what every loader yields and every run reads.

On disk it is a folder of ``series.npy`` (T, N, C) float32, ``mask.npy`` (T, N, C) bool, or
(1, 1, 1) where everything was observed, ``timestamps.npy`` (T,) datetime64[s], ``adjacency.npy``
(N, N) float32, ``nodes.json`` (ids), ``events.csv`` and, written last, ``meta.json`` (the card,
sizes, SHA-256 of each file and of each raw one). A series may be larger than memory, so it is read
and written in blocks of steps.
"""

import hashlib
import math
import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
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

    For labelled (simulated) data, ``events`` has one row an event with at least ``first_step``,
    ``last_step`` (inclusive) and ``node`` (index), else it is empty.
    """

    values: NDArray[np.float32]  # (T, N, C), in the card's units; 0 where ``mask`` is False
    mask: NDArray[np.bool_]  # (T, N, C), True where a value was observed
    timestamps: NDArray[np.datetime64]  # (T,) datetime64[s], local time at the start of each step
    adjacency: NDArray[np.float32]  # (N, N), weight of the edge from row to column, 0 for none
    node_ids: list[str]  # N names
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
    """What a loader returns of a series too large for memory; else as ``RawSeries``.

    ``blocks()`` yields values and mask of consecutive steps, (t, N, C) float32 and bool each, at
    best some 10 MB at a time. If it raises, nothing is left on disk.
    """

    shape: tuple[int, int, int]
    blocks: Callable[[], Iterator[Block]]
    timestamps: NDArray[np.datetime64]
    adjacency: NDArray[np.float32]
    node_ids: list[str]
    events: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True)
class CanonicalDataset:
    """A prepared data set, memory-mapped; its parts are those of ``RawSeries``."""

    card: DatasetCard  # as it was when the data set was prepared
    series: NDArray[np.float32]
    mask: NDArray[np.bool_]  # perhaps a view of a single True
    timestamps: NDArray[np.datetime64]
    adjacency: NDArray[np.float32]
    node_ids: list[str]
    events: pd.DataFrame
    checksum: str  # SHA-256 over the checksums of its contents


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
    """Write ``raw`` to ``directory``, ``meta.json`` last; a DataError if it contradicts ``card``.

    ``raw_sha256``, of the raw files by role, is for ``meta.json``.
    """
    shape = raw.shape
    # A streamed mask comes block by block.
    _check(raw, card, shape, raw.mask.shape if isinstance(raw, RawSeries) else shape)
    digests, observed = _write_series(raw, card, directory)
    content = digests["mask.npy"]
    arrays = {"timestamps": raw.timestamps.astype("datetime64[s]"), "adjacency": raw.adjacency}
    if observed == math.prod(shape):
        # 8,600 sensors for a year would take a third of a gigabyte of True.
        arrays["mask"] = np.ones((1, 1, 1), bool)
    for name, array in arrays.items():
        with atomic_path(directory / f"{name}.npy") as temporary:
            np.save(temporary, np.ascontiguousarray(array), allow_pickle=False)
    write_json(directory / "nodes.json", raw.node_ids)
    write_text(directory / "events.csv", raw.events.to_csv(index=False))
    written = (*(f"{name}.npy" for name in arrays), "nodes.json", "events.csv")
    digests |= {name: sha256_of(directory / name) for name in written}
    # Of the whole mask, however it is stored.
    whole = sorted((digests | {"mask.npy": content}).items())
    lines = "".join(f"{name}:{digest}\n" for name, digest in whole)
    meta = {
        "card": card.model_dump(mode="json"),
        "shape": list(shape),
        "observed_share": observed / math.prod(shape),
        "raw_sha256": dict(raw_sha256 or {}),
        "sha256": digests,
        "checksum": hashlib.sha256(lines.encode()).hexdigest(),
    }
    write_json(directory / "meta.json", meta)


def _write_series(
    raw: RawSeries | StreamedSeries, card: DatasetCard, directory: Path
) -> tuple[dict[str, str], int]:
    """Write series and mask; returns their SHA-256 by file and the number of observed values."""
    observed = steps = 0
    header = {"fortran_order": False, "shape": raw.shape}
    with (
        atomic_path(directory / "series.npy") as series,
        atomic_path(directory / "mask.npy") as mask,
    ):
        with series.open("wb") as values_file, mask.open("wb") as mask_file:
            np.lib.format.write_array_header_1_0(values_file, {"descr": "<f4", **header})
            np.lib.format.write_array_header_1_0(mask_file, {"descr": "|b1", **header})
            for values, seen in raw.blocks():
                if values.shape[1:] != raw.shape[1:] or seen.shape != values.shape:
                    shapes = f"{values.shape} and {seen.shape} for {raw.shape}"
                    raise DataError(f"{card.title}: from step {steps} on the loader gave {shapes}")
                if not np.isfinite(values).all():
                    raise DataError(f"{card.title}: the loader gave values that are not finite")
                values_file.write(np.ascontiguousarray(values, np.float32).data)
                mask_file.write(np.ascontiguousarray(seen, np.bool_).data)
                observed += int(np.count_nonzero(seen))
                steps += len(values)
        if steps != raw.shape[0]:
            raise DataError(f"{card.title}: the loader gave {steps} of {raw.shape[0]} steps")
        digests = {"series.npy": sha256_of(series), "mask.npy": sha256_of(mask)}
        # From here on the old data set is incomplete.
        (directory / "meta.json").unlink(missing_ok=True)
    return digests, observed


def read_canonical(directory: Path) -> CanonicalDataset:
    """Open a data set without reading the series (`data verify` does), or raise a DataError."""
    again = f"run `stprune data prepare {directory.name}`"
    if not (directory / "meta.json").exists():
        raise DataError(f"there is no prepared data set in {directory}; {again}")
    try:
        meta = read_json_file(directory / "meta.json")
        card, events = DatasetCard.model_validate(meta["card"]), directory / "events.csv"
        mask = _mapped(directory / "mask.npy", "bool")
        if mask.shape == (1, 1, 1):
            mask = np.broadcast_to(np.array(mask), meta["shape"])
        dataset = CanonicalDataset(
            card=card,
            series=_mapped(directory / "series.npy", "float32"),
            mask=mask,
            timestamps=np.array(_mapped(directory / "timestamps.npy", "datetime64[s]")),
            adjacency=_mapped(directory / "adjacency.npy", "float32"),
            node_ids=read_json_file(directory / "nodes.json"),
            events=pd.read_csv(events) if events.read_bytes().strip() else pd.DataFrame(),
            checksum=meta["checksum"],
        )
        _check(dataset, card, dataset.series.shape, mask.shape)
        return dataset
    # A damaged file can fail in any part of the readers.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        damaged = f"the data set in {directory} is damaged ({reason})"
        raise DataError(f"{damaged}; delete the folder and {again}") from None


def _mapped(path: Path, dtype: str) -> Any:
    # Copy-on-write: filling missing inputs copies only the pages that change.
    array = np.load(path, mmap_mode="c", allow_pickle=False)
    if array.dtype != np.dtype(dtype):
        raise DataError(f"{path.name} holds {array.dtype}, where {dtype} is meant")
    return array


def _check(
    data: RawSeries | StreamedSeries | CanonicalDataset, card: DatasetCard, *shapes: tuple[int, ...]
) -> None:
    """Compare with the card; refuse infinite weights and names of nodes that are formulas."""
    whole = (card.steps, card.nodes, len(card.channels))
    for part, found, expected in (
        ("series", shapes[0], whole),
        ("mask", shapes[1], whole),
        ("timestamps", data.timestamps.shape, whole[:1]),
        ("adjacency", data.adjacency.shape, (card.nodes, card.nodes)),
        ("node_ids", (len(data.node_ids),), (card.nodes,)),
    ):
        if found != expected:
            raise DataError(f"{card.title}: {part} is {found}, but the card says {expected}")
    if not np.isfinite(data.adjacency).all():
        raise DataError(f"{card.title}: the graph has weights that are not finite")
    for name in data.node_ids:
        # Names of nodes become cells of csv files, which spreadsheets open.
        if not isinstance(name, str) or control_character(name) or is_formula(name):
            raise DataError(f"{card.title}: the node {name!r} is named by a formula or no text")
    times, seconds = data.timestamps.astype("datetime64[s]"), card.step_minutes * 60
    steps = np.diff(times).astype(np.int64)
    wrong = steps != seconds
    if card.breaks == "daily":
        # Whole steps may be missing, but only between two days.
        later = np.diff(times.astype("datetime64[D]")).astype(np.int64) > 0
        wrong &= ~later | (steps % seconds != 0)
    elif card.breaks == "clock":
        wrong &= steps != seconds + 3600
    if wrong.any():
        at, place = int(wrong.argmax()), " within a day" if card.breaks == "daily" else ""
        length = f"{steps[at]} s long, not {seconds} s{place}"
        raise DataError(f"{card.title}: the step after {times[at]} is {length}")


def joint_checksum(checksums: Sequence[str]) -> str:
    """One checksum of several data sets in order; that of a single one is its own."""
    if len(checksums) == 1:
        return checksums[0]
    return hashlib.sha256("\n".join(checksums).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
