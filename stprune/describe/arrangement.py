"""The same sample as a row a node, a row a day, or a row a window."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stprune.base.errors import ConfigError
from stprune.data.canonical import CanonicalDataset
from stprune.data.windows import split_windows, window_starts
from stprune.describe.sample import Sample

DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Rows:
    """Things to compare.

    Args:
        values: (n, K) float32, 0 where missing.
        observed: (n, K) bool.
    """

    values: NDArray[np.float32]
    observed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.values)


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


def by_day(sample: Sample) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """On a grid of whole days from the first one's midnight, where left-out steps are missing.

    Returns:
        (days, slots of a day, n) float32 and bool.
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


def node_rows(sample: Sample) -> Rows:
    """A row a node: (n, T)."""
    return Rows(np.ascontiguousarray(sample.values.T), np.ascontiguousarray(sample.observed.T))


def day_rows(
    sample: Sample, most: int, rng: np.random.Generator
) -> tuple[Rows, NDArray[np.datetime64]]:
    """A row a day, all nodes one after the other, of at most ``most`` days.

    Days of which nothing is observed are left out.

    Returns:
        (days, slots * n) rows, and (days,) datetime64[D], rising.
    """
    values, observed = by_day(sample)
    there = np.flatnonzero(observed.any((1, 2)))
    chosen = np.sort(rng.choice(there, min(len(there), most), replace=False))
    dates = sample.timestamps[0].astype("datetime64[D]") + chosen * DAY
    rows = Rows(values[chosen].reshape(len(chosen), -1), observed[chosen].reshape(len(chosen), -1))
    return rows, dates


def window_rows(sample: Sample, starts: NDArray[np.int64], length: int) -> Rows:
    """A row a window: (windows, length * n), all nodes at its first step first."""
    steps = starts[:, None] + np.arange(length)
    shape = len(starts), length * len(sample.nodes)
    return Rows(sample.values[steps].reshape(shape), sample.observed[steps].reshape(shape))


def training_starts(dataset: CanonicalDataset, length: int) -> NDArray[np.int64]:
    """(n,) int64, first steps of all training windows of ``length`` steps.

    Raises:
        ConfigError: If the series is too short for such windows in each split.
    """
    card = dataset.card
    starts = window_starts(dataset.timestamps, length, card.step_minutes)
    if not len(starts):
        raise ConfigError(
            f"{card.title}: no {length} consecutive steps for a window among {card.steps};"
            " take a shorter history or horizon"
        )
    return starts[: len(split_windows(len(starts), card.splits).train)]
