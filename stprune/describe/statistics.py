"""What the values are like: moments of nodes and of times of day, memory, errors of a run.

All but the moments of nodes are of a bounded, seeded sample of a series of any size.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from stprune.base.errors import DataError
from stprune.data.canonical import CanonicalDataset, release, step_blocks

# Values of a sample: nodes are left out until it holds no more.
SAMPLE_VALUES = 2**23

# NaN where missing.
Values = NDArray[np.float32]
# Pairs of values that a lag must have, for its correlation to mean anything.
LEAST_PAIRS = 8
NODE_BLOCK = 32
# A node error is large if it is above this quantile of the errors of the same node.
LARGE = 0.95
QUARTERS = 4
WEEK = np.timedelta64(7, "D")


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
    """All steps of at most ``most_nodes`` nodes, in their order; fewer where the series is long."""
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


def moments_by_node(dataset: CanonicalDataset, channel: int) -> pd.DataFrame:
    """One row a node, of all nodes and steps, in two passes in blocks; NaN if never observed."""
    steps, nodes, _ = dataset.series.shape
    count, total, square = np.zeros((3, nodes))
    lowest, highest = np.full((2, nodes), np.nan)
    for _, values in blocks(dataset, channel):
        count += np.isfinite(values).sum(0)
        total += np.nansum(values, axis=0, dtype=np.float64)
        lowest = np.fmin(lowest, np.fmin.reduce(values))
        highest = np.fmax(highest, np.fmax.reduce(values))
    size = np.where(count > 0, count, np.nan)
    mean = total / size
    for _, values in blocks(dataset, channel):
        square += np.nansum((values - mean) ** 2, axis=0)
    return pd.DataFrame(
        {
            "node": dataset.node_ids,
            "observed": count.astype(np.int64),
            "missing_rate": 1 - count / steps,
            "mean": mean,
            "std": np.sqrt(square / size),
            "minimum": lowest,
            "maximum": highest,
        }
    )


def moments_by_slot(sample: Sample) -> pd.DataFrame:
    """One row for each slot of the day, of `weekdays` and of the `weekend`; NaN without values."""
    values = by_day(sample).astype(np.float64)
    first = sample.timestamps[0].astype("datetime64[D]").astype(np.int64)
    weekday = (first + np.arange(len(values)) + 3) % 7  # 1 January 1970 was a Thursday
    slot = np.arange(sample.steps_per_day)
    parts = []
    for days, chosen in (("weekdays", weekday < 5), ("weekend", weekday >= 5)):
        part = values[chosen]
        count = np.isfinite(part).sum(0)
        size = np.where(count > 0, count, np.nan)
        mean = np.nansum(part, axis=0) / size
        variance = np.nansum((part - mean) ** 2, axis=0) / size
        nodes = pd.DataFrame(mean)
        columns = {
            "hour": slot * sample.step_minutes / 60,
            "mean": nodes.mean(axis=1),
            "std_over_days": pd.DataFrame(variance).mean(axis=1) ** 0.5,
            "std_over_nodes": nodes.std(axis=1, ddof=0),
            "observed": count.sum(1),
        }
        parts.append(pd.DataFrame({"days": days, "slot": slot, **columns}))
    return pd.concat(parts, ignore_index=True)


def autocorrelations(values: Values, lags: int) -> NDArray[np.float64]:
    """Autocorrelation of each node where values are missing.

    r(k) = sum of a(t) a(t + k), over the root of (sum of a(t)^2) (sum of a(t + k)^2), all over the
    pairs (t, t + k) that are both observed; a(t) is x(t) less the mean of all observed values of
    the node. So it stays within [-1, 1] however few pairs there are.

    Takes (T, n) values in equal steps of time and the largest lag, in steps, less than T. Returns
    (lags + 1, n), NaN for fewer than ``LEAST_PAIRS`` pairs or a node that does not vary.
    """
    size = next_fast_len(len(values) + lags, real=True)

    def products(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums over t of a(t) b(t + k) for k = 0 to ``lags``: (lags + 1, n)."""
        spectrum = rfft(a, size, axis=0).conj() * rfft(b, size, axis=0)
        return np.asarray(irfft(spectrum, size, axis=0)[: lags + 1], np.float64)

    result = np.empty((lags + 1, values.shape[1]))
    for start in range(0, values.shape[1], NODE_BLOCK):
        part = values[:, start : start + NODE_BLOCK].astype(np.float64)
        seen = np.isfinite(part).astype(np.float64)
        mean = np.nansum(part, axis=0) / np.maximum(seen.sum(0), 1)
        moved = np.nan_to_num(part - mean)
        pairs = np.rint(products(seen, seen))
        earlier, later = products(moved**2, seen), products(seen, moved**2)
        # Less is rounding: of the mean, or of the transforms.
        least = np.maximum((1e-7 * mean) ** 2 * pairs, 1e-10 * (moved**2).sum(0))
        valid = (pairs >= LEAST_PAIRS) & (np.minimum(earlier, later) > least)
        scale = np.sqrt(np.where(valid, earlier * later, 1.0))
        ratio = products(moved, moved) / scale
        result[:, start : start + NODE_BLOCK] = np.where(valid, ratio.clip(-1, 1), np.nan)
    return result


def autocorrelation_table(sample: Sample) -> pd.DataFrame:
    """One row a lag up to a week, or so far that a day's pairs are left (half a shorter series)."""
    day, steps = sample.steps_per_day, len(sample.values)
    lags = min(7 * day, max(steps - day, steps // 2))
    values = by_day(sample).reshape(-1, len(sample.nodes))
    nodes = pd.DataFrame(autocorrelations(values, lags))
    table = pd.DataFrame({"lag": nodes.index, "hours": nodes.index * sample.step_minutes / 60})
    table["mean"] = nodes.mean(axis=1)
    table[["low", "median", "high"]] = nodes.quantile([0.1, 0.5, 0.9], axis=1).T
    return table.assign(nodes=nodes.count(axis=1))


def excerpt(sample: Sample) -> pd.DataFrame:
    """A week of the nodes of the lowest, the middle and the highest mean, of those drawn.

    The week is the first whole one from a Monday on, else what there is from the first day on.
    Hourly means: the excerpt is to be looked at and must not replace data of restricted terms.
    """
    days = sample.timestamps.astype("datetime64[D]")
    every = np.unique(days)
    whole = every[every + WEEK <= every[-1] + np.timedelta64(1, "D")]
    mondays = whole[np.is_busday(whole, "1000000")]
    first = (mondays if len(mondays) else every)[0]
    chosen = (days >= first) & (days < first + WEEK)
    means = pd.DataFrame(sample.values, dtype=np.float64).mean().dropna()
    ranked = means.sort_values(kind="stable").index
    nodes = ranked[[0, len(ranked) // 2, len(ranked) - 1]]
    values = sample.values[np.ix_(chosen, nodes)]
    frame = pd.DataFrame(values, columns=["lowest", "middle", "highest"])
    hours = pd.Index(sample.timestamps[chosen].astype("datetime64[h]").astype(str), name="time")
    return frame.groupby(hours).mean().reset_index()


def masking_table(errors: NDArray[np.float64]) -> pd.DataFrame:
    """How often a node has a large error, by quarter of the windows by their mean error.

    Large is above the ``LARGE`` quantile of the same node's errors. ``errors`` (n, N) are mean
    absolute errors over the horizon, NaN without any target. Of each quarter, 1 with the lowest
    means: `large_share` of its node errors, `windows_with_any` of its windows, and
    `share_of_large`, what it holds of all large errors (0.25 if the mean said nothing).
    """
    frame = pd.DataFrame(errors).dropna(how="all")
    if len(frame) < QUARTERS:
        raise DataError(f"only {len(frame)} windows have a target; {QUARTERS} are needed")
    large = frame > frame.quantile(LARGE)
    windows = pd.DataFrame({"mean_error": frame.mean(axis=1), "known": frame.count(axis=1)})
    windows = windows.assign(large=large.sum(axis=1), any=large.any(axis=1))
    rank = windows["mean_error"].rank(method="first").astype(int) - 1
    quarters = windows.groupby((rank * QUARTERS // len(frame) + 1).rename("quarter"))
    total = quarters.sum()
    table = pd.DataFrame({"windows": quarters.size(), "mean_error": quarters["mean_error"].mean()})
    table["large_share"] = total["large"] / total["known"]
    table["windows_with_any"] = quarters["any"].mean()
    table["share_of_large"] = total["large"] / total["large"].sum()
    return table.reset_index()
