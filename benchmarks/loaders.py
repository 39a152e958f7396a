"""Ways to make batches of windows: ours, plain ones, and those of other packages if they are here.

A loader is built from a data set and then turns window numbers into batches, one batch at a time,
in this process. Every one but ours is given the series standardised beforehand, so that collecting
is what is timed.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stprune.backbones.layers.geometric_temporal import import_geometric_temporal
from stprune.data.canonical import CanonicalDataset
from stprune.data.dataset import forecast_data
from stprune.data.windows import calendar

HISTORY = HORIZON = 12

# The window numbers of batches, (B,) int64 each, to the batches.
Batches = Callable[[Sequence[Tensor]], Iterable[Any]]


@dataclass(frozen=True)
class Prepared:
    """What other loaders collect from.

    Args:
        inputs: (steps, N, C) float32, standardised.
        targets: (steps, N) float32, real units.
        slot: (steps,) int64, slot of the day.
        weekday: (steps,) int64.
    """

    inputs: NDArray[np.float32]
    targets: NDArray[np.float32]
    slot: NDArray[np.int64]
    weekday: NDArray[np.int64]

    @classmethod
    def of(cls, dataset: CanonicalDataset) -> Prepared:
        """Standardise the whole series."""
        series = dataset.series
        mean, std = series.mean((0, 1)), series.std((0, 1))
        targets = np.ascontiguousarray(series[:, :, dataset.card.target_channel])
        slot, weekday = calendar(dataset.timestamps, dataset.card.step_minutes)
        return cls((series - mean) / std, targets, slot.numpy(), weekday.numpy())


def gather(dataset: CanonicalDataset) -> Batches:
    """Ours."""
    store = forecast_data(dataset, history=HISTORY, horizon=HORIZON).train
    return lambda order: map(store.gather, order)


def memory_copy(dataset: CanonicalDataset) -> Batches:
    """As many bytes as a batch has, from the same arrays, but each part in one piece."""
    data = Prepared.of(dataset)
    parts = [
        (torch.from_numpy(part), length)
        for part, length in (
            (data.inputs, HISTORY),
            (data.slot, HISTORY),
            (data.weekday, HISTORY),
            (data.targets, HORIZON),
        )
    ]

    def copy(windows: Tensor) -> tuple[Tensor, ...]:
        # Any place does, but not always the same one, which would stay in the cache.
        start = int(windows[0]) % max(1, len(data.slot) - len(windows) * max(HISTORY, HORIZON))
        return tuple(part[start : start + len(windows) * length].clone() for part, length in parts)

    return lambda order: map(copy, order)


def fancy_indexing(dataset: CanonicalDataset) -> Batches:
    """numpy, with a table of the steps of each window."""
    data = Prepared.of(dataset)

    def collect(windows: Tensor) -> tuple[Tensor, ...]:
        before = windows.numpy()[:, None] + np.arange(HISTORY)
        after = windows.numpy()[:, None] + np.arange(HISTORY, HISTORY + HORIZON)
        parts = data.inputs[before], data.slot[before], data.weekday[before], data.targets[after]
        return tuple(torch.from_numpy(part) for part in parts)

    return lambda order: map(collect, order)


class _Windows(Dataset[tuple[Tensor, ...]]):
    """One window at a time."""

    def __init__(self, data: Prepared) -> None:
        self.inputs, self.targets = torch.from_numpy(data.inputs), torch.from_numpy(data.targets)
        self.slot, self.weekday = torch.from_numpy(data.slot), torch.from_numpy(data.weekday)

    def __getitem__(self, window: int) -> tuple[Tensor, ...]:
        end = window + HISTORY
        before, after = slice(window, end), slice(end, end + HORIZON)
        return self.inputs[before], self.slot[before], self.weekday[before], self.targets[after]


def per_sample(dataset: CanonicalDataset) -> Batches:
    """torch's DataLoader over a data set of single windows, which it stacks."""
    windows = _Windows(Prepared.of(dataset))
    return lambda order: _data_loader(windows, order)


def threads(dataset: CanonicalDataset) -> Batches:
    """A thread for every two windows copies them into shared memory, as LargeST's code does.

    Its calendar is not made here: that code has it tiled over the nodes, as channels.
    """
    data = Prepared.of(dataset)
    nodes, channels = data.inputs.shape[1:]

    def shared(*shape: int) -> NDArray[np.float32]:
        memory = multiprocessing.RawArray("f", int(np.prod(shape)))
        return np.frombuffer(memory, np.float32).reshape(shape)

    def fill(places: NDArray[np.int64], starts: Tensor, inputs: Any, targets: Any) -> None:
        for place in places:
            steps = int(starts[place]) + np.arange(HISTORY + HORIZON)
            inputs[place] = data.inputs[steps[:HISTORY]]
            targets[place] = data.targets[steps[HISTORY:]]

    def collect(windows: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        size = len(windows)
        batch = shared(size, HISTORY, nodes, channels), shared(size, HORIZON, nodes)
        shares = np.array_split(np.arange(size), max(1, size // 2))
        workers = [Thread(target=fill, args=(share, windows, *batch)) for share in shares]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return batch

    return lambda order: map(collect, order)


def geometric_temporal(dataset: CanonicalDataset) -> Batches:
    """torch-geometric-temporal's index batching; targets of all channels, no calendar."""
    import_geometric_temporal()
    with _lent("dask", "dask.array"):
        package = import_module("torch_geometric_temporal.signal.index_dataset")
    data = Prepared.of(dataset)
    numbers = np.arange(len(data.inputs) - HISTORY - HORIZON + 1)
    windows = package.IndexDataset(numbers, data.inputs, HORIZON)
    return lambda order: _data_loader(windows, order)


def spatiotemporal(dataset: CanonicalDataset) -> Batches:
    """torch-spatiotemporal's loader for one graph; targets of all channels, no calendar."""
    loader = import_module("tsl.data.loader").StaticGraphLoader
    windows = import_module("tsl.data").SpatioTemporalDataset(
        target=Prepared.of(dataset).inputs, window=HISTORY, horizon=HORIZON
    )
    return lambda order: loader(windows, batch_sampler=[batch.tolist() for batch in order])


def basicts(dataset: CanonicalDataset) -> Batches:
    """BasicTS's data set in torch's DataLoader; targets of all channels, no calendar."""
    package = import_module("basicts.data")
    with TemporaryDirectory() as folder:
        np.save(Path(folder) / "train_data.npy", Prepared.of(dataset).inputs)
        windows = package.BasicTSForecastingDataset(
            "bench", HISTORY, HORIZON, "train", data_file_path=folder
        )
    return lambda order: _data_loader(windows, order)


@contextmanager
def _lent(*names: str) -> Iterator[None]:
    """Empty modules for packages that are imported but not used, where they are not installed."""
    missing = [] if find_spec(names[0]) else names
    sys.modules.update({name: ModuleType(name) for name in missing})
    try:
        yield
    finally:
        for name in missing:
            sys.modules.pop(name, None)


def _data_loader(windows: Any, order: Sequence[Tensor]) -> Iterable[Any]:
    return DataLoader(windows, batch_sampler=[batch.tolist() for batch in order])


# By name, with the package that each is of where it is not ours, torch's or numpy's.
LOADERS: dict[str, tuple[Callable[[CanonicalDataset], Batches], str]] = {
    "gather": (gather, ""),
    "memory copy": (memory_copy, ""),
    "numpy fancy indexing": (fancy_indexing, ""),
    "per-sample DataLoader": (per_sample, ""),
    "threads, as LargeST": (threads, ""),
    "index batching": (geometric_temporal, "torch-geometric-temporal"),
    "StaticGraphLoader": (spatiotemporal, "torch-spatiotemporal"),
    "forecasting data set": (basicts, "BasicTS"),
}
