"""A bounded, seeded sample of a series of any size, and passes over all of it in blocks."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import UnknownNameError
from stprune.data.canonical import CanonicalDataset

# Values of a sample: nodes are left out until so many are left.
SAMPLE_VALUES = 2**23
# Values that are in memory at once in a pass over the whole series.
BLOCK_VALUES = 2**22


@dataclass(frozen=True)
class Sample:
    """One channel of some nodes, at all time steps.

    Args:
        values: (T, n) float32 in the channel's unit, 0 where missing.
        observed: (T, n) bool.
        nodes: (n,) int64, rising, their numbers in the data set.
        timestamps: (T,) datetime64[s].
        adjacency: (n, n) float32.
        step_minutes: Minutes of a step.
    """

    values: NDArray[np.float32]
    observed: NDArray[np.bool_]
    nodes: NDArray[np.int64]
    timestamps: NDArray[np.datetime64]
    adjacency: NDArray[np.float32]
    step_minutes: int

    @property
    def steps_per_day(self) -> int:
        """Time steps in a day, those that were left out with them."""
        return 1440 // self.step_minutes


@dataclass(frozen=True)
class Block:
    """Consecutive steps of all nodes: ``values`` and ``observed`` are (steps, N)."""

    start: int
    values: NDArray[np.float32]
    observed: NDArray[np.bool_]


def channel_number(dataset: CanonicalDataset, name: str | None) -> int:
    """Index of the channel called ``name``; of the target, without a name.

    Raises:
        UnknownNameError: If the data set has no such channel.
    """
    if name is None:
        return dataset.card.target_channel
    names = [channel.name for channel in dataset.card.channels]
    if name not in names:
        raise UnknownNameError("channel", name, names, dataset.card.title)
    return names.index(name)


def blocks(dataset: CanonicalDataset, channel: int) -> Iterator[Block]:
    """The whole series of a channel in order of time, a block of steps at a time."""
    steps, nodes, channels = dataset.series.shape
    size = max(1, BLOCK_VALUES // (nodes * channels))
    for start in range(0, steps, size):
        values = _rows(dataset.series, start, min(start + size, steps))[:, :, channel]
        observed = _rows(dataset.mask, start, min(start + size, steps))[:, :, channel]
        yield Block(start, np.where(observed, values, np.float32(0)), observed)


def draw_sample(
    dataset: CanonicalDataset, channel: int, most_nodes: int, rng: np.random.Generator
) -> Sample:
    """All steps of at most ``most_nodes`` nodes, and of fewer where the series is long.

    Nodes are drawn without replacement, each as likely as any other, and stay in their order.
    """
    steps, nodes, _ = dataset.series.shape
    count = min(nodes, most_nodes, max(2, SAMPLE_VALUES // steps))
    chosen = np.sort(rng.choice(nodes, count, replace=False))
    values = np.empty((steps, count), np.float32)
    observed = np.empty((steps, count), np.bool_)
    for block in blocks(dataset, channel):
        rows = slice(block.start, block.start + len(block.values))
        values[rows], observed[rows] = block.values[:, chosen], block.observed[:, chosen]
    return Sample(
        values,
        observed,
        chosen,
        dataset.timestamps,
        np.asarray(dataset.adjacency[np.ix_(chosen, chosen)]),
        dataset.card.step_minutes,
    )


def _rows(array: NDArray[Any], start: int, stop: int) -> NDArray[Any]:
    """Rows of an array in memory; those of a mapped file are read, and so do not stay mapped."""
    base: object = array.base
    # A part of a mapped file does not know where in the file it begins.
    if isinstance(array, np.memmap) and array.filename and isinstance(base, mmap.mmap):
        width = array[0].size
        offset = array.offset + start * width * array.itemsize
        read = np.fromfile(array.filename, array.dtype, (stop - start) * width, offset=offset)
        return read.reshape(stop - start, *array.shape[1:])
    return np.asarray(array[start:stop])
