"""Windows without materialising them, and their scaler: a batch is one gather from the series.

A window of T input and H target steps is a contiguous block of the (steps, nodes, channels)
series, so a strided view holds every window in one entry and a batch is an ``index_select``. Of the
windows, only the first steps are kept: those of a series with breaks are not consecutive.
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stprune.base.errors import ConfigError, DataError
from stprune.base.settings import ProtocolKind
from stprune.data.canonical import step_blocks

# Largest ready series in main memory; on a GPU it may take this share of the device's.
READY_BYTES, READY_SHARE = 2**29, 1 / 16


class Batch(NamedTuple):
    """B windows, on the device of their store."""

    inputs: Tensor  # (B, T, N, C) float32, standardised
    time_of_day: Tensor  # (B, T) int64
    day_of_week: Tensor  # (B, T) int64, Monday = 0
    targets: Tensor  # (B, H, N) float32, real units
    mask: Tensor  # (B, H, N) bool, True where observed


class SplitRanges(NamedTuple):
    """Window numbers of the three splits, in the order of time."""

    train: range
    validation: range
    test: range


def cut_splits(
    protocol: ProtocolKind,
    starts: NDArray[np.int64],
    length: int,
    steps: int,
    shares: tuple[float, float, float],
) -> SplitRanges:
    """Cut windows into train, validation and test by time; a ConfigError if one would be empty.

    Windows of ``length`` steps begin at ``starts`` (n,), rising, in a series of ``steps``. Shares
    are of windows, as ST-TTC (2025) has it, so neighbouring splits share the steps of the windows
    at the cut; with ``strict`` of steps, and no window crosses a cut. The test split is the rest.
    """
    strict = protocol == "strict"
    total = steps if strict else len(starts)
    train = round(total * shares[0])
    test = train + round(total * shares[1])
    ranges = [range(train), range(train, test), range(test, total)]
    if strict:
        ends = [[part.start, part.stop - length + 1] for part in ranges]
        ranges = [range(*cut) for cut in np.searchsorted(starts, ends).tolist()]
    if not all(ranges):
        few = f"{total} {'steps' if strict else 'windows'} are too few to split {shares}"
        raise ConfigError(f"{few}; take more days, a shorter history, or another protocol")
    return SplitRanges(*ranges)


def calendar(timestamps: NDArray[np.datetime64], step_minutes: int) -> tuple[Tensor, Tensor]:
    """Slot of the day and day of the week (Monday = 0) of each time step, (T,) int64 each."""
    seconds = timestamps.astype("datetime64[s]").astype(np.int64)
    slot = (seconds % 86_400) // (60 * step_minutes)
    # 1 January 1970 was a Thursday.
    weekday = (seconds // 86_400 + 3) % 7
    return torch.from_numpy(slot), torch.from_numpy(weekday)


def window_starts(
    timestamps: NDArray[np.datetime64], length: int, step_minutes: int
) -> NDArray[np.int64]:
    """(n,) int64, first steps of all windows of ``length`` steps that no break of time cuts.

    ``timestamps`` (steps,) rise by ``step_minutes`` or, at a break, by more.
    """
    seconds = timestamps.astype("datetime64[s]").astype(np.int64)
    span = seconds[length - 1 :] - seconds[: max(0, len(seconds) - length + 1)]
    return np.flatnonzero(span == (length - 1) * step_minutes * 60)


@dataclass(frozen=True)
class ReadySeries:
    """What batches are made of, computed once, which is faster and gives the same bits."""

    inputs: Tensor  # (steps, N, C) float32, standardised
    targets: Tensor  # (steps, N) float32, contiguous, real units

    @classmethod
    def of(cls, series: Tensor, scaler: "Scaler") -> "ReadySeries | None":
        """Compute it; None for a series of more than half a gigabyte, on a GPU more."""
        limit: float = READY_BYTES
        if series.device.type == "cuda":
            limit = READY_SHARE * torch.cuda.get_device_properties(series.device).total_memory
        if series.nbytes > limit:
            return None
        targets = series[:, :, scaler.target_channel]
        if not targets.is_contiguous():
            targets = _copy(targets)
        return cls(scaler.standardise_(_copy(series)), targets)


@dataclass(frozen=True)
class WindowStore:
    """The windows of one split."""

    series: Tensor  # (steps, N, C) float32, contiguous, real units; missing inputs already filled
    target_mask: Tensor | None  # (steps, N) bool of the target, or None if nothing is missing
    time_of_day: Tensor  # (steps,) int64
    day_of_week: Tensor  # (steps,) int64, Monday = 0
    history: int  # T
    horizon: int  # H
    target_channel: int
    scaler: "Scaler"
    starts: Tensor  # (n,) int64, first step of each window of this split, rising
    ready: ReadySeries | None = None  # of ``series`` and ``scaler``
    #: Whether a batch's mask says what is hidden, not only what was observed.
    hides_targets: ClassVar[bool] = False

    @classmethod
    def of(cls, store: "WindowStore", **more: Any) -> Self:
        """The windows of ``store``, as this kind of store shows them."""
        return cls(**{part.name: getattr(store, part.name) for part in fields(WindowStore)}, **more)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def device(self) -> torch.device:
        """Where the series lives and batches appear."""
        return self.series.device

    @property
    def length(self) -> int:
        """Steps of the series that a window covers, inputs and targets."""
        return self.target_offset + self.horizon

    @property
    def target_offset(self) -> int:
        """Steps from a window's first step to its first target; targets may also be inputs."""
        return self.history

    @property
    def channels(self) -> int:
        """C of a batch's inputs."""
        return self.series.shape[2]

    @property
    def has_targets(self) -> bool:
        """Whether any target of these windows was observed."""
        mask = self.target_mask
        if mask is None:
            return True
        return bool(_rows(mask.any(1)[self.target_offset :], self.horizon)[self.starts].any())

    def begin_epoch(self, epoch: int) -> None:
        """Training epoch ``epoch`` begins; here every epoch's windows are the same."""

    def split(self, windows: range) -> Self:
        """The store of ``windows``, numbered as in this one and evenly spaced."""
        return replace(self, starts=self.starts[windows.start : windows.stop : windows.step])

    def gather(self, windows: Tensor) -> Batch:
        """The batch of (B,) int64 window numbers of this split, on the store's device."""
        start = self.starts.index_select(0, windows)
        rows = self._rows
        inputs = rows.inputs.index_select(0, start)
        targets = rows.targets.index_select(0, start)
        if not rows.standardised:
            self.scaler.standardise_(inputs)
            targets = targets[..., self.target_channel]
        return Batch(
            inputs=inputs,
            time_of_day=rows.time_of_day.index_select(0, start),
            day_of_week=rows.day_of_week.index_select(0, start),
            targets=targets,
            mask=rows.mask.expand(targets.shape)
            if self.target_mask is None
            else rows.mask.index_select(0, start),
        )

    @cached_property
    def _rows(self) -> "_Rows":
        # Cached: a view takes microseconds to make and a batch needs five.
        series, first, mask, ready = self.series, self.target_offset, self.target_mask, self.ready
        inputs, targets = (series, series) if ready is None else (ready.inputs, ready.targets)
        return _Rows(
            inputs=_rows(inputs, self.history),
            standardised=ready is not None,
            targets=_rows(targets[first:], self.horizon),
            time_of_day=_rows(self.time_of_day, self.history),
            day_of_week=_rows(self.day_of_week, self.history),
            mask=torch.ones((), dtype=torch.bool, device=self.device)
            if mask is None
            else _rows(mask[first:], self.horizon),
        )


def _copy(values: Tensor) -> Tensor:
    if values.device.type != "cpu":
        return values.clone(memory_format=torch.contiguous_format)
    # numpy asks for huge pages, torch does not; rows are gathered from the whole array.
    copy = np.empty(values.shape, np.float32)
    copy[:] = values.numpy()
    return torch.from_numpy(copy)


class _Rows(NamedTuple):
    """Views whose entry i holds the steps of the window that starts at step i."""

    inputs: Tensor  # (n, T, N, C)
    standardised: bool  # inputs are, and targets are of the target channel alone
    targets: Tensor  # (n, H, N) or (n, H, N, C)
    time_of_day: Tensor  # (n, T)
    day_of_week: Tensor  # (n, T)
    mask: Tensor  # (n, H, N), or a single True if nothing is missing


def _rows(values: Tensor, length: int) -> Tensor:
    """View of a (steps, ...) tensor whose entry i is steps i to i + length - 1."""
    shape = (values.shape[0] - length + 1, length, *values.shape[1:])
    strides = (values.stride(0), *values.stride())
    return values.as_strided(shape, strides, values.storage_offset())


@dataclass(frozen=True)
class LegacyStore(WindowStore):
    """Training windows in which a missing value is 0, as in the series itself."""

    def gather(self, windows: Tensor) -> Batch:
        """See :meth:`WindowStore.gather`; the mask depends on all windows of the batch."""
        batch = super().gather(windows)
        return batch._replace(mask=batch.targets != null_label(batch.targets.min()))


def null_label(lowest: Tensor) -> Tensor:
    """The label that does not count where ``lowest`` is the lowest of all: () each, real units."""
    return torch.where(lowest < 1, lowest, torch.zeros_like(lowest))


@dataclass(frozen=True)
class Scaler:
    """Z-score per channel."""

    mean: Tensor  # (C,) float32, of the observed training values
    std: Tensor  # (C,) float32
    target_channel: int

    def standardise_(self, values: Tensor) -> Tensor:
        """(..., N, C) real units to standardised units, in place; the last two axes contiguous."""
        # Rows of N * C values: three channels would be an inner loop of three steps, which takes
        # ten times as long as the copying of a batch.
        nodes = values.shape[-2]
        rows = values.view(*values.shape[:-2], -1)
        rows.sub_(self.mean.repeat(nodes)).div_(self.std.repeat(nodes))
        return values

    def restore(self, forecast: Tensor) -> Tensor:
        """A standardised forecast of the target, any shape, to real units."""
        return forecast * self.std[self.target_channel] + self.mean[self.target_channel]

    def to(self, device: torch.device) -> "Scaler":
        """The same on another device."""
        return Scaler(self.mean.to(device), self.std.to(device), self.target_channel)


def fit_scaler(series: NDArray[np.float32], seen: NDArray[np.bool_], target_channel: int) -> Scaler:
    """Fit to the (T, N, C) float32 series where ``seen``: observed and in a training input.

    Raises a DataError if a channel has no observed value there or does not vary.
    """
    mean, std = np.zeros((2, series.shape[2]), np.float32)
    blocks = list(step_blocks(series.shape))
    for channel in range(series.shape[2]):
        # Views (t, N), so that nothing is copied whole.
        parts = [(series[steps, :, channel], seen[steps, :, channel]) for steps in blocks]
        if not (count := sum(int(np.count_nonzero(observed)) for _, observed in parts)):
            raise DataError(f"channel {channel} has no observed value in the training split")
        # float64 sums: a float32 sum over 10 million values loses digits.
        average = sum(values.sum(where=there, dtype=np.float64) for values, there in parts) / count
        mean[channel], squares = average, 0.0
        for values, observed in parts:
            squares += np.square(values - average, dtype=np.float64).sum(where=observed)
        std[channel] = np.sqrt(squares / count)
        if not std[channel]:
            raise DataError(f"channel {channel} does not vary in the training split")
    return Scaler(torch.from_numpy(mean), torch.from_numpy(std), target_channel)
