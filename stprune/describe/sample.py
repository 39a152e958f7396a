"""A bounded, seeded sample of a series of any size, as rows of days or windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.data.canonical import CanonicalDataset, release, step_blocks

# Values of a sample: nodes are left out until it holds no more.
SAMPLE_VALUES = 2**23

# NaN where missing.
Values = NDArray[np.float32]


@dataclass(frozen=True)
class Sample:
    """One channel of some nodes, at all time steps."""

    values: Values  # (T, n) in the channel's unit
    nodes: NDArray[np.int64]  # (n,) rising indices into the data set
    timestamps: NDArray[np.datetime64]  # (T,) datetime64[s]
    adjacency: NDArray[np.float32]  # (n, n)
    step_minutes: int

    @property
    def steps_per_day(self) -> int:
        """Time steps in a day, including those that the data set leaves out."""
        return 1440 // self.step_minutes


def blocks(dataset: CanonicalDataset, channel: int) -> Iterator[tuple[slice, Values]]:
    """A channel of all nodes in blocks of (t, N) values, each with its steps."""
    for steps in step_blocks(dataset.series.shape):
        seen, values = dataset.mask[steps, :, channel], dataset.series[steps, :, channel]
        yield steps, np.where(seen, values, np.float32(np.nan))
        release(dataset.series)
        release(dataset.mask)


def draw_sample(
    dataset: CanonicalDataset, channel: int, most_nodes: int, rng: np.random.Generator
) -> Sample:
    """All steps of at most ``most_nodes`` nodes, fewer where the series is long.

    Nodes are drawn without replacement, each as likely as any other, and stay in their order.
    """
    steps, nodes, _ = dataset.series.shape
    count = min(nodes, most_nodes, max(2, SAMPLE_VALUES // steps))
    chosen = np.sort(rng.choice(nodes, count, replace=False))
    values = np.empty((steps, count), np.float32)
    for rows, block in blocks(dataset, channel):
        values[rows] = block[:, chosen]
    adjacency = np.asarray(dataset.adjacency[np.ix_(chosen, chosen)])
    return Sample(values, chosen, dataset.timestamps, adjacency, dataset.card.step_minutes)


def standardised(sample: Sample) -> Sample:
    """The sample with mean 0 and standard deviation 1 of each node; 0 where one is constant."""
    values = pd.DataFrame(sample.values, dtype=np.float64)
    mean, std = values.mean(), values.std(ddof=0)
    scaled = (values - mean) / std.where(std > 1e-7 * mean.abs(), np.inf)
    return replace(sample, values=scaled.to_numpy(np.float32))


def by_day(sample: Sample) -> Values:
    """(days, slots of a day, n) from midnight on; steps that the data set leaves out are NaN."""
    midnight = sample.timestamps[0].astype("datetime64[D]")
    place = (sample.timestamps - midnight) // np.timedelta64(sample.step_minutes, "m")
    days = int(place[-1]) // sample.steps_per_day + 1
    values = np.full((days * sample.steps_per_day, len(sample.nodes)), np.nan, np.float32)
    values[place] = sample.values
    return values.reshape(days, sample.steps_per_day, -1)


def day_rows(
    sample: Sample, most: int, rng: np.random.Generator
) -> tuple[Values, NDArray[np.datetime64]]:
    """(days, slots * n) values of at most ``most`` days that have any, and their dates."""
    values = by_day(sample)
    there = np.flatnonzero(np.isfinite(values).any((1, 2)))
    chosen = np.sort(rng.choice(there, min(len(there), most), replace=False))
    dates = sample.timestamps[0].astype("datetime64[D]") + chosen
    return values[chosen].reshape(len(chosen), -1), dates


def window_rows(sample: Sample, starts: NDArray[np.int64], length: int) -> Values:
    """(windows, length * n) values, all nodes at a window's first step first."""
    steps = starts[:, None] + np.arange(length)
    rows: Values = sample.values[steps].reshape(len(starts), length * len(sample.nodes))
    return rows
