"""What the values are like: moments of nodes and of times of day, memory, missing values."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from stprune.data.canonical import CanonicalDataset
from stprune.describe.sample import Observed, Sample, Values, blocks, by_day

# Pairs of values that a lag must have, for its correlation to mean anything.
LEAST_PAIRS = 8
NODE_BLOCK = 32
HOURS = 24


def moments_by_node(dataset: CanonicalDataset, channel: int) -> pd.DataFrame:
    """One row a node, of all nodes and steps, in one pass in blocks.

    Returns:
        Columns `node` (id), `observed` (values), `missing_rate`, `mean`, `std`, `minimum`,
        `maximum`, in the channel's unit; empty where a node was never observed.
    """
    steps, nodes, _ = dataset.series.shape
    count, total, square = np.zeros((3, nodes))
    lowest, highest = np.full(nodes, np.inf), np.full(nodes, -np.inf)
    # Sums of differences from the first value: exact for a constant, and no digits are lost.
    shift = np.full(nodes, np.nan)
    for _, values, seen in blocks(dataset, channel):
        first = values[seen.argmax(0), np.arange(nodes)]
        shift = np.where(np.isnan(shift) & seen.any(0), first, shift)
        moved = np.where(seen, values - np.nan_to_num(shift), 0.0)
        count += seen.sum(0)
        total += moved.sum(0)
        square += (moved**2).sum(0)
        lowest = np.minimum(lowest, np.where(seen, values, np.inf).min(0))
        highest = np.maximum(highest, np.where(seen, values, -np.inf).max(0))
    size = np.maximum(count, 1)
    std = np.sqrt((square / size - (total / size) ** 2).clip(min=0))
    columns = {"mean": total / size + shift, "std": std, "minimum": lowest, "maximum": highest}
    return pd.DataFrame(
        {
            "node": dataset.node_ids,
            "observed": count.astype(np.int64),
            "missing_rate": 1 - count / steps,
            **{name: np.where(count > 0, column, np.nan) for name, column in columns.items()},
        }
    )


def moments_by_slot(sample: Sample) -> pd.DataFrame:
    """One row for each slot of the day, of `weekdays` and of the `weekend`.

    Returns:
        Columns `days`, `slot`, `hour` (when it begins), `mean` (over nodes of each one's mean),
        `std_over_days` (root of the nodes' mean variance about that), `std_over_nodes` (of the
        nodes' means), `observed` (values); empty where there are none.
    """
    values, observed = by_day(sample)
    first = sample.timestamps[0].astype("datetime64[D]").astype(np.int64)
    weekday = (first + np.arange(len(values)) + 3) % 7  # 1 January 1970 was a Thursday
    rows = []
    for days, chosen in (("weekdays", weekday < 5), ("weekend", weekday >= 5)):
        for slot in range(sample.steps_per_day):
            seen = observed[chosen, slot]
            there = seen.any(0)
            row: tuple[float, ...] = (np.nan, np.nan, np.nan)
            if there.any():
                seen, part = seen[:, there], values[chosen, slot][:, there].astype(np.float64)
                mean = part.mean(0, where=seen)
                row = mean.mean(), part.var(0, where=seen).mean() ** 0.5, mean.std()
            rows.append((days, slot, slot * sample.step_minutes / 60, *row, int(seen.sum())))
    columns = ["days", "slot", "hour", "mean", "std_over_days", "std_over_nodes", "observed"]
    return pd.DataFrame(rows, columns=columns)


def autocorrelations(values: Values, observed: Observed, lags: int) -> NDArray[np.float64]:
    """Autocorrelation of each node where values are missing.

    r(k) = sum of a(t) a(t + k), over the root of (sum of a(t)^2) (sum of a(t + k)^2), all over the
    pairs (t, t + k) that are both observed; a(t) is x(t) less the mean of all observed values of
    the node. So it stays within [-1, 1] however few pairs there are.

    Args:
        values: (T, n), 0 where missing, in equal steps of time.
        observed: (T, n).
        lags: The largest lag, in steps; less than T.

    Returns:
        (lags + 1, n), NaN for fewer than ``LEAST_PAIRS`` pairs or a node that does not vary.
    """
    size = next_fast_len(len(values) + lags, real=True)

    def products(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums over t of a(t) b(t + k) for k = 0 to ``lags``: (lags + 1, n)."""
        spectrum = rfft(a, size, axis=0).conj() * rfft(b, size, axis=0)
        return np.asarray(irfft(spectrum, size, axis=0)[: lags + 1], np.float64)

    mean = values.sum(0, dtype=np.float64) / np.maximum(observed.sum(0), 1)
    result = np.empty((lags + 1, values.shape[1]))
    for start in range(0, values.shape[1], NODE_BLOCK):
        nodes = slice(start, start + NODE_BLOCK)
        seen = observed[:, nodes].astype(np.float64)
        moved = (values[:, nodes] - mean[nodes]) * seen
        pairs = np.rint(products(seen, seen))
        earlier, later = products(moved**2, seen), products(seen, moved**2)
        # Less is rounding: of the mean, or of the transforms.
        least = np.maximum((1e-7 * mean[nodes]) ** 2 * pairs, 1e-10 * (moved**2).sum(0))
        valid = (pairs >= LEAST_PAIRS) & (np.minimum(earlier, later) > least)
        scale = np.sqrt(np.where(valid, earlier * later, 1.0))
        ratio = products(moved, moved) / scale
        result[:, nodes] = np.where(valid, ratio.clip(-1, 1), np.nan)
    return result


def autocorrelation_table(sample: Sample) -> pd.DataFrame:
    """One row a lag up to a week, or so far that a day's pairs are left (half a shorter series).

    Returns:
        Columns `lag` (steps), `hours`, `mean`, `low`, `median`, `high` (a tenth, half and nine
        tenths of the nodes are below), `nodes` (that have a value at this lag).
    """
    values, observed = by_day(sample)
    flat = -1, values.shape[2]
    day, steps = sample.steps_per_day, len(sample.values)
    lags = min(7 * day, max(steps - day, steps // 2))
    correlation = autocorrelations(values.reshape(flat), observed.reshape(flat), lags)
    known = np.isfinite(correlation).sum(1)
    some = known > 0
    columns = np.full((4, len(correlation)), np.nan)
    columns[0, some] = np.nanmean(correlation[some], axis=1)
    columns[1:, some] = np.nanquantile(correlation[some], [0.1, 0.5, 0.9], axis=1)
    lag = np.arange(len(correlation))
    table = pd.DataFrame({"lag": lag, "hours": lag * sample.step_minutes / 60})
    table[["mean", "low", "median", "high"]] = columns.T
    return table.assign(nodes=known)


def missing_by_hour(sample: Sample) -> pd.DataFrame:
    """One row an hour of the day.

    Returns:
        Columns `hour`, `values` (that there should be), `missing_rate`; empty where the data set
        has no steps. Steps that the data set leaves out are not missing.
    """
    midnight = sample.timestamps.astype("datetime64[D]")
    hour = (sample.timestamps - midnight).astype("timedelta64[h]").astype(np.int64)
    steps = np.bincount(hour, minlength=HOURS) * len(sample.nodes)
    missing = np.bincount(hour, (~sample.observed).sum(1), minlength=HOURS)
    rate = np.where(steps > 0, missing / np.maximum(steps, 1), np.nan)
    return pd.DataFrame({"hour": np.arange(HOURS), "values": steps, "missing_rate": rate})


def gap_lengths(sample: Sample) -> pd.DataFrame:
    """One row for each length of a gap: a run of consecutive missing values of one node.

    A gap ends where the time axis breaks.

    Returns:
        Columns `steps`, `hours`, `gaps` (how many), `share_of_missing` (of all missing values,
        those in gaps of this length); no rows if nothing is missing.
    """
    seconds = np.diff(sample.timestamps.astype("datetime64[s]")).astype(np.int64)
    breaks = np.flatnonzero(seconds != 60 * sample.step_minutes) + 1
    absent = np.insert(~sample.observed, breaks, False, axis=0)
    around = np.pad(absent, ((1, 1), (0, 0))).T
    # Node by node, begins and ends follow each other.
    begins = np.nonzero(around[:, 1:] & ~around[:, :-1])[1]
    ends = np.nonzero(~around[:, 1:] & around[:, :-1])[1]
    steps, gaps = np.unique(ends - begins, return_counts=True)
    share = steps * gaps / max(1, int((steps * gaps).sum()))
    hours = steps * sample.step_minutes / 60
    return pd.DataFrame({"steps": steps, "hours": hours, "gaps": gaps, "share_of_missing": share})
