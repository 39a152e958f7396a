"""The canonical data set: what every loader yields and every run reads.

On disk it is a folder of ``series.npy`` (T, N, C) float32, ``mask.npy`` (T, N, C) bool,
``timestamps.npy`` (T,) datetime64[s], ``adjacency.npy`` (N, N) float32, ``nodes.json`` (ids),
``meta.json`` (the card, sizes, SHA-256 of each file) and, for labelled data, ``events.csv``.
``meta.json`` is written last: a folder without it is not a data set.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune import atomic
from stprune.data.card import DatasetCard
from stprune.errors import DataError

ARRAYS = ("series", "mask", "timestamps", "adjacency")


@dataclass(frozen=True)
class RawSeries:
    """What a loader returns.

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


@dataclass(frozen=True)
class CanonicalDataset:
    """A prepared data set, memory-mapped.

    Args:
        card: Its card, as it was when the data set was prepared.
        series: (T, N, C) float32 memory map.
        mask: (T, N, C) bool memory map.
        timestamps: (T,) datetime64[s].
        adjacency: (N, N) float32.
        node_ids: N names.
        events: Labelled events, perhaps empty.
        checksum: SHA-256 over the checksums of all its files.
    """

    card: DatasetCard
    series: NDArray[np.float32]
    mask: NDArray[np.bool_]
    timestamps: NDArray[np.datetime64]
    adjacency: NDArray[np.float32]
    node_ids: list[str]
    events: pd.DataFrame
    checksum: str


def write_canonical(raw: RawSeries, card: DatasetCard, directory: Path) -> None:
    """Check ``raw`` against ``card`` and write it to ``directory``, ``meta.json`` last.

    Raises:
        DataError: If shapes, values or timestamps contradict the card.
    """
    _check(raw, card)
    meta_path = directory / "meta.json"
    meta_path.unlink(missing_ok=True)
    arrays = (raw.values, raw.mask, raw.timestamps.astype("datetime64[s]"), raw.adjacency)
    for name, array in zip(ARRAYS, arrays, strict=True):
        with atomic.atomic_path(directory / f"{name}.npy") as path:
            np.save(path, np.ascontiguousarray(array), allow_pickle=False)
    atomic.write_json(directory / "nodes.json", raw.node_ids)
    atomic.write_text(directory / "events.csv", raw.events.to_csv(index=False))
    names = [f"{name}.npy" for name in ARRAYS] + ["nodes.json", "events.csv"]
    meta: dict[str, Any] = {
        "card": card.model_dump(mode="json"),
        "shape": list(raw.values.shape),
        "observed_share": float(raw.mask.mean()),
        "sha256": {name: sha256_of(directory / name) for name in names},
    }
    atomic.write_json(meta_path, meta)


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
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"the data set in {directory} is damaged ({reason});"
            f" delete the folder and run `stprune data prepare {directory.name}`"
        ) from None


def _open(directory: Path) -> CanonicalDataset:
    meta = json.loads((directory / "meta.json").read_text(encoding="utf-8"))
    text = (directory / "events.csv").read_text(encoding="utf-8")
    digests = "".join(f"{name}:{digest}\n" for name, digest in sorted(meta["sha256"].items()))
    return CanonicalDataset(
        card=DatasetCard.model_validate(meta["card"]),
        # Copy-on-write: whoever fills missing inputs pays for those pages only.
        series=np.load(directory / "series.npy", mmap_mode="c"),
        mask=np.load(directory / "mask.npy", mmap_mode="c"),
        timestamps=np.load(directory / "timestamps.npy"),
        adjacency=np.load(directory / "adjacency.npy"),
        node_ids=json.loads((directory / "nodes.json").read_text(encoding="utf-8")),
        events=pd.read_csv(directory / "events.csv") if text.strip() else pd.DataFrame(),
        checksum=hashlib.sha256(digests.encode()).hexdigest(),
    )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(raw: RawSeries, card: DatasetCard) -> None:
    expected = (card.steps, card.nodes, len(card.channels))
    if raw.values.shape != expected:
        raise DataError(
            f"{card.title}: the series is (steps, nodes, channels) = {raw.values.shape},"
            f" but the card says {expected}"
        )
    if raw.mask.shape != expected or raw.timestamps.shape != expected[:1]:
        raise DataError(f"{card.title}: mask or timestamps do not have the shape of the series")
    if raw.adjacency.shape != (card.nodes, card.nodes) or len(raw.node_ids) != card.nodes:
        raise DataError(
            f"{card.title}: the graph has shape {raw.adjacency.shape} and"
            f" {len(raw.node_ids)} names for {card.nodes} nodes"
        )
    if not np.isfinite(raw.values).all() or not np.isfinite(raw.adjacency).all():
        raise DataError(f"{card.title}: values that are not finite are left after masking")
    _check_times(raw.timestamps, card)


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
