"""Whether the parts of a canonical data set fit together, as it is written and as it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import DataError
from stprune.base.plain_text import control_character, is_formula
from stprune.data.card import DatasetCard

if TYPE_CHECKING:
    from stprune.data.canonical import CanonicalDataset, RawSeries, StreamedSeries

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
