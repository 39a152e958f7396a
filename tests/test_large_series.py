"""A series of any size is prepared in blocks, served from a memory map, and never held twice."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy

from stprune.base.schema import validate
from stprune.data import canonical as blocks
from stprune.data import windows
from stprune.data.canonical import Block, StreamedSeries, read_canonical, write_canonical
from stprune.data.card import DatasetCard
from stprune.data.dataset import forecast_data

# 67 MB of values and 17 MB of mask.
STEPS, NODES = 16384, 1024
CARD = toy.card_values(nodes=NODES, steps=STEPS, step_minutes=15, mask_policy="nan")


def in_own_process(function: Callable[..., float], *arguments: Any) -> float:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def resident(entry: str) -> int:
    """Memory of this process in bytes: ``VmRSS`` now, ``VmHWM`` at its peak."""
    return 1024 * int(re.search(rf"{entry}:\s*(\d+)", Path("/proc/self/status").read_text())[1])


def reset_peak() -> int:
    """Let the peak of this process's memory begin at what is resident now; returns that."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return resident("VmRSS")


def growth_of_preparing(folder: Path) -> float:
    """Megabytes by which writing the series makes the process grow at most."""
    blocks.BLOCK_VALUES = 2**17
    before = reset_peak()
    rng = np.random.default_rng(0)
    seen = rng.random((96, NODES, 1)) >= 0.02
    day = rng.normal(50.0, 10.0, seen.shape).astype(np.float32) * seen

    def parts() -> Iterator[Block]:
        for start in range(0, STEPS, len(day)):
            length = min(len(day), STEPS - start)
            yield day[:length], seen[:length]

    times = np.datetime64(toy.START, "s") + np.arange(STEPS) * np.timedelta64(900, "s")
    adjacency = np.zeros((NODES, NODES), np.float32)
    names = [str(node) for node in range(NODES)]
    raw = StreamedSeries((STEPS, NODES, 1), parts, times, adjacency, names)
    write_canonical(raw, validate(DatasetCard, CARD, "the card"), folder)
    return (resident("VmHWM") - before) / 1e6


def growth_of_serving(folder: Path) -> float:
    """Megabytes by which opening it and taking batches of all of it does."""
    blocks.BLOCK_VALUES = 2**17
    windows.READY_BYTES = 0
    before = reset_peak()
    data = forecast_data(read_canonical(folder), history=12, horizon=12)
    for store in (data.train, data.validation, data.test):
        for numbers in torch.arange(0, len(store), 24).split(16):
            store.gather(numbers)
    return (resident("VmHWM") - before) / 1e6


SERIES = STEPS * NODES * 4 / 1e6
# Made whole, to be written.
GRAPH = NODES**2 * 4 / 1e6
# Batches, blocks, and what the interpreter takes along the way.
REST = 45


@pytest.mark.slow
def test_a_large_series_is_never_held_twice(tmp_path: Path) -> None:
    growth = in_own_process(growth_of_preparing, tmp_path)
    assert growth < GRAPH + REST < SERIES
    growth = in_own_process(growth_of_serving, tmp_path)
    assert 0.9 * SERIES < growth < 1.25 * SERIES + REST < 2 * SERIES
