"""Mean and spread of each node, and of each slot of the day."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.data.canonical import CanonicalDataset
from stprune.describe.arrangement import by_day
from stprune.describe.sample import Sample, blocks


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
    for block in blocks(dataset, channel):
        seen = block.observed
        first = block.values[seen.argmax(0), np.arange(nodes)]
        shift = np.where(np.isnan(shift) & seen.any(0), first, shift)
        moved = np.where(seen, block.values - np.nan_to_num(shift), 0.0)
        count += seen.sum(0)
        total += moved.sum(0)
        square += (moved**2).sum(0)
        lowest = np.minimum(lowest, np.where(seen, block.values, np.inf).min(0))
        highest = np.maximum(highest, np.where(seen, block.values, -np.inf).max(0))
    there = count > 0
    size = np.maximum(count, 1)
    variance = (square / size - (total / size) ** 2).clip(min=0)
    columns = {
        "mean": total / size + shift,
        "std": np.sqrt(variance),
        "minimum": lowest,
        "maximum": highest,
    }
    return pd.DataFrame(
        {
            "node": dataset.node_ids,
            "observed": count.astype(np.int64),
            "missing_rate": 1 - count / steps,
            **{name: np.where(there, column, np.nan) for name, column in columns.items()},
        }
    )


def moments_by_slot(sample: Sample) -> pd.DataFrame:
    """One row for each slot of the day, of weekdays and of Saturday and Sunday.

    Returns:
        Columns `days` (`weekdays` or `weekend`), `slot`, `hour` (of its begin), `mean` (over
        nodes of each one's mean at this slot), `std_over_days` (root of the mean over nodes of
        the variance about that), `std_over_nodes` (of the nodes' means), `observed` (values);
        empty where there are none.
    """
    values, observed = by_day(sample)
    first = sample.timestamps[0].astype("datetime64[D]").astype(np.int64)
    # 1 January 1970 was a Thursday; Monday is 0.
    weekday = (first + np.arange(len(values)) + 3) % 7
    parts = []
    for name, chosen in (("weekdays", weekday < 5), ("weekend", weekday >= 5)):
        slots = [
            _slot(values[chosen, slot].astype(np.float64), observed[chosen, slot])
            for slot in range(sample.steps_per_day)
        ]
        columns = ["mean", "std_over_days", "std_over_nodes", "observed"]
        part = pd.DataFrame(slots, columns=columns).astype({"observed": np.int64})
        slot = np.arange(sample.steps_per_day)
        place = {"days": name, "slot": slot, "hour": slot * sample.step_minutes / 60}
        parts.append(pd.DataFrame(place).join(part))
    return pd.concat(parts, ignore_index=True)


def _slot(values: NDArray[np.float64], observed: NDArray[np.bool_]) -> tuple[float, ...]:
    """The four numbers of a slot from (days, n) values."""
    count = observed.sum(0)
    there = count > 0
    if not there.any():
        return np.nan, np.nan, np.nan, 0
    values, observed, count = values[:, there], observed[:, there], count[there]
    mean = np.where(observed, values, 0.0).sum(0) / count
    variance = np.where(observed, (values - mean) ** 2, 0.0).sum(0) / count
    return float(mean.mean()), float(variance.mean() ** 0.5), float(mean.std()), int(count.sum())
