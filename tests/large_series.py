"""A series that a process must not hold twice, and what preparing and serving it costs."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.data import prepare_large
from benchmarks.made_up import Size
from benchmarks.own_process import forget_peak, resident
from stprune.data import canonical as blocks
from stprune.data import windows
from stprune.data.canonical import read_canonical
from stprune.data.dataset import forecast_data

# 67 MB of values and 17 MB of mask.
SIZE = Size(steps=16384, nodes=1024, channels=1, step_minutes=15, batch=16)


def growth_of_preparing(folder: Path, missing: float) -> float:
    """Megabytes by which writing the series makes the process grow at most."""
    blocks.BLOCK_VALUES = 2**17
    forget_peak()
    before = resident("VmRSS")
    prepare_large(folder, SIZE, missing)
    return (resident("VmHWM") - before) / 1e6


def growth_of_serving(folder: Path) -> float:
    """Megabytes by which opening it and taking batches of all of it does."""
    blocks.BLOCK_VALUES = 2**17
    windows.READY_BYTES = 0
    forget_peak()
    before = resident("VmRSS")
    data = forecast_data(read_canonical(folder), history=12, horizon=12)
    for store in (data.train, data.validation, data.test):
        for numbers in torch.arange(0, len(store), 24).split(SIZE.batch):
            store.gather(numbers)
    return (resident("VmHWM") - before) / 1e6
