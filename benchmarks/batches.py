"""What batches cost: `gather` beside a plain copy and torch's DataLoader.

The plain copy moves each part of a batch in one piece; the DataLoader stacks single windows. All
are timed in turn, on one thread.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.base import BenchResult, Goal, Row, main
from stprune.data.windows import ReadySeries, Scaler, WindowStore

STEPS, BATCH = 12, 64
# PEMS08's flow, alone and with its two other channels.
SHAPES = ((17_856, 170, 1), (17_856, 170, 3))
ROUNDS, BATCHES = 5, 250
# Speed as a share of gather's: at most a fifth of it, and it reaches nine tenths of a copy's.
LIMITS = {"plain copy": 1 / 0.9, "DataLoader": 1 / 5}


def store_of(shape: tuple[int, int, int]) -> WindowStore:
    """Windows of 12 + 12 steps of a complete series of random numbers, (steps, N, C)."""
    values = np.random.default_rng(0).normal(50.0, 10.0, shape).astype(np.float32)
    series, slots = torch.from_numpy(values), torch.arange(shape[0])
    scaler = Scaler(series.mean((0, 1)), series.std((0, 1)), 0)
    return WindowStore(
        series=series,
        target_mask=None,
        time_of_day=slots % 288,
        day_of_week=slots // 288 % 7,
        history=STEPS,
        horizon=STEPS,
        target_channel=0,
        scaler=scaler,
        starts=torch.arange(shape[0] - 2 * STEPS + 1),
        ready=ReadySeries.of(series, scaler),
    )


def ways(store: WindowStore) -> dict[str, Callable[[Sequence[Tensor]], Iterable[Any]]]:
    """Ways to turn window numbers, (B,) int64 a batch, into batches."""
    inputs = (store.series - store.scaler.mean) / store.scaler.std
    targets = store.series[..., store.target_channel].clone()
    parts = (inputs, store.time_of_day, store.day_of_week, targets)

    def copy(windows: Tensor) -> list[Tensor]:
        # Any place will do, but not always the same one, which would stay in the cache.
        length = len(windows) * STEPS
        start = int(windows[0]) % max(1, len(inputs) - length)
        return [part[start : start + length].clone() for part in parts]

    # Views of every window; the DataLoader takes one after another and stacks them.
    views = [part.unfold(0, STEPS, 1).movedim(-1, 1) for part in parts]
    windows = TensorDataset(*(view[:-STEPS] for view in views[:3]), views[3][STEPS:])
    return {
        "gather": lambda order: map(store.gather, order),
        "plain copy": lambda order: map(copy, order),
        "DataLoader": lambda order: DataLoader(windows, batch_sampler=[b.tolist() for b in order]),
    }


def run() -> BenchResult:
    """Time the ways to make batches of two series."""
    torch.set_num_threads(1)
    rows, goals = list[Row](), list[Goal]()
    for shape in SHAPES:
        store, measured = store_of(shape), defaultdict[str, list[float]](list)
        numbers = torch.randperm(len(store), generator=torch.Generator().manual_seed(0))
        order = numbers[: BATCHES * BATCH].split(BATCH)
        by_way = ways(store)
        for _ in range(ROUNDS):
            for name, way in by_way.items():
                times, start = [], time.perf_counter()
                for _ in way(order):
                    times.append(-start + (start := time.perf_counter()))
                measured[name].append(BATCH / median(times))
        for name, values in measured.items():
            ratio = median(a / b for a, b in zip(values, measured["gather"], strict=True))
            row: Row = {"channels": shape[2], "batches": name, "windows_per_s": median(values)}
            rows.append(row | {"of_gather": ratio})
            if name in LIMITS:
                goals.append(Goal(f"{name}, {shape[2]} channels", ratio, LIMITS[name]))
    title = f"Batches of {BATCH} windows of {STEPS} + {STEPS} steps x {SHAPES[0][1]} nodes"
    return BenchResult(title, rows, goals)


if __name__ == "__main__":
    sys.exit(main(run))
