"""A bounded, seeded sample of a series of any size, as rows of nodes, days or windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stprune.data.canonical import CanonicalDataset, release

# Values of a sample: nodes are left out until it holds no more.
SAMPLE_VALUES = 2**23
# Values that are in memory at once in a pass over the whole series.
BLOCK_VALUES = 2**22

Values = NDArray[np.float32]
Observed = NDArray[np.bool_]


@dataclass(frozen=True)
class Sample:
    """One channel of some nodes, at all time steps.

    Args:
        values: (T, n) float32 in the channel's unit, 0 where missing.
        observed: (T, n) bool.
        nodes: (n,) int64, rising indices into the data set.
        timestamps: (T,) datetime64[s].
        adjacency: (n, n) float32.
        step_minutes: Minutes of a step.
    """

    values: Values
    observed: Observed
    nodes: NDArray[np.int64]
    timestamps: NDArray[np.datetime64]
    adjacency: NDArray[np.float32]
    step_minutes: int

    @property
    def steps_per_day(self) -> int:
        """Time steps in a day, including those that the data set leaves out."""
        return 1440 // self.step_minutes


@dataclass(frozen=True)
class Rows:
    """Things to compare: ``values`` (n, K) float32, 0 where missing, and ``observed`` (n, K)."""

    values: Values
    observed: Observed


def blocks(dataset: CanonicalDataset, channel: int) -> Iterator[tuple[slice, Values, Observed]]:
    """The series of a channel block by block: steps, and values and mask of (steps, N)."""
    steps, nodes, channels = dataset.series.shape
    size = max(1, BLOCK_VALUES // (nodes * channels))
    for start in range(0, steps, size):
        rows = slice(start, min(start + size, steps))
        observed = np.array(dataset.mask[rows, :, channel])
        yield rows, np.where(observed, dataset.series[rows, :, channel], np.float32(0)), observed
        release(dataset.series)
        release(dataset.mask)


def draw_sample(
    dataset: CanonicalDataset, channel: int, most_nodes: int, rng: np.random.Generator
) -> Sample:
    """All steps of at most ``most_nodes`` nodes, and of fewer where the series is long.

    Nodes are drawn without replacement, each as likely as any other, and stay in their order.
    """
    steps, nodes, _ = dataset.series.shape
    count = min(nodes, most_nodes, max(2, SAMPLE_VALUES // steps))
    chosen = np.sort(rng.choice(nodes, count, replace=False))
    values, observed = np.empty((steps, count), np.float32), np.empty((steps, count), np.bool_)
    for rows, block, seen in blocks(dataset, channel):
        values[rows], observed[rows] = block[:, chosen], seen[:, chosen]
    adjacency = np.asarray(dataset.adjacency[np.ix_(chosen, chosen)])
    card = dataset.card
    return Sample(values, observed, chosen, dataset.timestamps, adjacency, card.step_minutes)


def standardised(sample: Sample) -> Sample:
    """The sample with mean 0 and standard deviation 1 of each node; 0 where one is constant."""
    values = sample.values.astype(np.float64)
    count = np.maximum(sample.observed.sum(0), 1)
    mean = values.sum(0) / count
    centred = np.where(sample.observed, values - mean, 0.0)
    std = np.sqrt((centred**2).sum(0) / count)
    constant = std <= 1e-7 * np.abs(mean)
    scaled = np.where(constant, 0.0, centred / np.where(constant, 1.0, std))
    return replace(sample, values=scaled.astype(np.float32))


def by_day(sample: Sample) -> tuple[Values, Observed]:
    """Values and mask on a grid of whole days from midnight: (days, slots of a day, n) each.

    Steps that the data set leaves out are missing.
    """
    first = sample.timestamps[0].astype("datetime64[D]")
    seconds = (sample.timestamps - first).astype("timedelta64[s]").astype(np.int64)
    place = seconds // (60 * sample.step_minutes)
    days = int(place[-1]) // sample.steps_per_day + 1
    shape = days * sample.steps_per_day, len(sample.nodes)
    values, observed = np.zeros(shape, np.float32), np.zeros(shape, np.bool_)
    values[place], observed[place] = sample.values, sample.observed
    whole = days, sample.steps_per_day, len(sample.nodes)
    return values.reshape(whole), observed.reshape(whole)


def day_rows(
    sample: Sample, most: int, rng: np.random.Generator
) -> tuple[Rows, NDArray[np.datetime64]]:
    """A row a day, all nodes one after the other, of at most ``most`` days with any value.

    Returns:
        (days, slots * n) rows, and (days,) datetime64[D], rising.
    """
    values, observed = by_day(sample)
    there = np.flatnonzero(observed.any((1, 2)))
    chosen = np.sort(rng.choice(there, min(len(there), most), replace=False))
    shape = len(chosen), -1
    rows = Rows(values[chosen].reshape(shape), observed[chosen].reshape(shape))
    return rows, sample.timestamps[0].astype("datetime64[D]") + chosen


def window_rows(sample: Sample, starts: NDArray[np.int64], length: int) -> Rows:
    """A row a window: (windows, length * n), all nodes at its first step first."""
    steps = starts[:, None] + np.arange(length)
    shape = len(starts), length * len(sample.nodes)
    return Rows(sample.values[steps].reshape(shape), sample.observed[steps].reshape(shape))
