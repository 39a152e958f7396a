"""What batches cost: windows a second and peak memory, ours next to other ways, and at any size."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from benchmarks.base import BenchResult, Goal
from benchmarks.loaders import HISTORY, HORIZON, LOADERS, Batches
from benchmarks.made_up import Size, made_up
from benchmarks.own_process import forget_peak, in_own_process, resident
from stprune.base.errors import DataError
from stprune.data.canonical import (
    Block,
    StreamedSeries,
    read_canonical,
    write_canonical,
)
from stprune.data.dataset import forecast_data

OURS, COPY, PER_SAMPLE = "gather", "memory copy", "per-sample DataLoader"


# PEMS08, whose flow is forecast, alone and with its two other channels; the year of LargeST's CA.
SIZES = tuple(Size(17_856, 170, channels, step_minutes=5) for channels in (1, 3))
LARGE = Size(35_040, 8_600, 1, step_minutes=15)
MISSING_SHARES = (0.0, 0.02)


def run(data_directory: Path) -> BenchResult:
    """Time the ways to make batches in turn; then prepare and serve the large series.

    Args:
        data_directory: The large series lies here for a while: 1.8 GB.

    Raises:
        DataError: If there is no room for it.
    """
    reasons = {name: missing_reason(name) for name in LOADERS}
    names = [name for name, reason in reasons.items() if reason is None]
    rows, goals = [], []
    for size in SIZES:
        rates = in_own_process(rates_of, names, size)
        rows += [
            _row(name, size, rates, in_own_process(peak_megabytes, name, size)) for name in names
        ]
        goals += _speed_goals(size, rates)
    large = [_large(data_directory, share) for share in MISSING_SHARES]
    return BenchResult(
        title=f"Batches of {SIZES[0].batch} windows of {HISTORY} + {HORIZON} steps from"
        f" {SIZES[0].steps} steps x {SIZES[0].nodes} nodes, one thread, median of"
        f" {SIZES[0].rounds} rounds in turn; peak memory above libraries and series, each in a"
        " process of its own",
        rows=rows,
        goals=[*goals, *_memory_goals(large)],
        notes=[
            f"Above: {LARGE.steps} steps x {LARGE.nodes} nodes of float32 on disk; resident memory"
            " is the most of a process that prepares or serves it, libraries included.",
            *(f"{LOADERS[n][1]}: not installed ({why})." for n, why in reasons.items() if why),
        ],
        derived=large,
    )


def missing_reason(name: str) -> str | None:
    """Why a loader does not import here, or None if it does."""
    try:
        LOADERS[name][0](made_up(Size(2 * (HISTORY + HORIZON) + 8, 2, 1, 60)))
    except ImportError as error:
        return str(error)
    return None


def rates_of(names: list[str], size: Size) -> dict[str, list[float]]:
    """Windows a second of each way to make batches, round by round.

    Args:
        names: Of the ways.
        size: Of the series and of the measurement.
    """
    torch.set_num_threads(1)
    dataset = made_up(size)
    ways = {name: LOADERS[name][0](dataset) for name in names}
    order = _order(size)
    # A first look says how many batches are enough, and is the warm-up.
    batches = {
        name: max(2, min(len(order), round(size.seconds * _rate(way, order[:4]) / size.batch)))
        for name, way in ways.items()
    }
    rates: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(size.rounds):
        for name, way in ways.items():
            rates[name].append(_rate(way, order[: batches[name]]))
    return rates


def peak_megabytes(name: str, size: Size) -> float:
    """Most resident memory while a way to make batches is set up and used, above the series."""
    torch.set_num_threads(1)
    # What it imports is not what it holds.
    missing_reason(name)
    dataset = made_up(size)
    order = _order(size)[:50]
    forget_peak()
    before = resident("VmRSS")
    _rate(LOADERS[name][0](dataset), order)
    return (resident("VmHWM") - before) / 1e6


def prepare_large(directory: Path, size: Size, missing: float) -> tuple[float, float]:
    """Write a series block by block; returns seconds, and the process's peak of megabytes.

    Args:
        directory: Becomes a canonical data set.
        size: Of the series.
        missing: Share of values that are.
    """
    rng = np.random.default_rng(0)
    shape = (96, size.nodes, size.channels)
    seen = rng.random(shape) >= missing
    day = rng.normal(50.0, 10.0, shape).astype(np.float32) * seen

    def blocks() -> Iterator[Block]:
        for start in range(0, size.steps, len(day)):
            length = min(len(day), size.steps - start)
            yield day[:length], seen[:length]

    adjacency = np.zeros((size.nodes, size.nodes), np.float32)
    names = [str(node) for node in range(size.nodes)]
    shape = (size.steps, size.nodes, size.channels)
    start = time.perf_counter()
    raw = StreamedSeries(shape, blocks, size.times(), adjacency, names)
    write_canonical(raw, size.card(), directory)
    return time.perf_counter() - start, resident("VmHWM") / 1e6


def serve_large(directory: Path, size: Size) -> tuple[float, float, float]:
    """Open a data set and take batches that touch all of it.

    Returns:
        Seconds to open it, windows a second of random training batches, and the process's peak
        of megabytes.
    """
    torch.set_num_threads(1)
    start = time.perf_counter()
    data = forecast_data(read_canonical(directory), history=HISTORY, horizon=HORIZON)
    opened = time.perf_counter() - start
    # Nothing holds a batch while the next is made, as here nothing uses it.
    for store in (data.train, data.validation, data.test):
        for windows in torch.arange(0, len(store), HISTORY + HORIZON).split(size.batch):
            store.gather(windows)
    chosen = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))[:640]
    start = time.perf_counter()
    for windows in chosen.split(size.batch):
        data.train.gather(windows)
    rate = len(chosen) / (time.perf_counter() - start)
    return opened, rate, resident("VmHWM") / 1e6


def _large(data_directory: Path, missing: float) -> dict[str, float | str]:
    data_directory.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(dir=data_directory, prefix=".bench-") as folder:
            seconds, peak = in_own_process(prepare_large, Path(folder), LARGE, missing)
            opened, rate, served = in_own_process(serve_large, Path(folder), LARGE)
    except OSError as error:
        raise DataError(f"a large series cannot be written in {data_directory}: {error}") from None
    return {
        "missing": f"{missing:.0%}",
        "prepare_s": seconds,
        "prepare_mb": peak,
        "open_s": opened,
        "windows_per_s": rate,
        "serve_mb": served,
    }


def _order(size: Size) -> list[Tensor]:
    """Every training window once, at random, in batches."""
    windows = round(0.6 * (size.steps - HISTORY - HORIZON + 1))
    return list(
        torch.randperm(windows, generator=torch.Generator().manual_seed(0)).split(size.batch)
    )


def _rate(way: Batches, order: Sequence[Tensor]) -> float:
    """Windows a second by the median batch, which an interruption does not touch."""
    times = []
    start = time.perf_counter()
    for _ in way(order):
        times.append(-start + (start := time.perf_counter()))
    return len(order[0]) / median(times)


def _of_ours(name: str, rates: dict[str, list[float]]) -> float:
    """Median over rounds of a rate by that of ours in the same round."""
    return median(a / b for a, b in zip(rates[name], rates[OURS], strict=True))


def _row(
    name: str, size: Size, rates: dict[str, list[float]], peak: float
) -> dict[str, float | str]:
    return {
        "channels": str(size.channels),
        "batches": name,
        "of": LOADERS[name][1] or "-",
        "windows_per_s": median(rates[name]),
        "of_gather": _of_ours(name, rates),
        "peak_mb": peak,
    }


def _speed_goals(size: Size, rates: dict[str, list[float]]) -> list[Goal]:
    # Five times as fast as the one, and 90 % as fast as the other.
    limits = {PER_SAMPLE: 1 / 5, COPY: 1 / 0.9}
    return [
        Goal(f"{name}, {size.channels} channels", _of_ours(name, rates), limit, "of gather's speed")
        for name, limit in limits.items()
    ]


def _memory_goals(large: list[dict[str, float | str]]) -> list[Goal]:
    return [
        Goal(f"memory to {verb}, {row['missing']} missing", float(row[f"{verb}_mb"]), 2000.0, "MB")
        for row in large
        for verb in ("prepare", "serve")
    ]
