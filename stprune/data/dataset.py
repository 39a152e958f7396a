"""From a canonical data set to the three window stores of a run."""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from stprune.base.errors import ConfigError
from stprune.base.schema import NoOptions
from stprune.base.settings import ProtocolKind
from stprune.data.blocks import fill_missing, release
from stprune.data.canonical import CanonicalDataset
from stprune.data.card import DatasetCard
from stprune.data.legacy_store import LegacyStore
from stprune.data.protocol import cut_splits, seen_by_scaler
from stprune.data.scaler import Scaler, fit_scaler
from stprune.data.tasks.base import Task
from stprune.data.tasks.forecast import Forecast
from stprune.data.windows import ReadySeries, WindowStore, calendar, window_starts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ForecastData:
    """What a run trains on.

    Args:
        train: Training windows.
        validation: Validation windows.
        test: Test windows; touched once, at the end.
        adjacency: (N, N) float32.
        channels: C.
        steps_per_day: Time steps in a day.
        mape_floor: Smallest target that MAPE counts.
        train_times: (n,) datetime64[m], first target step of each training window.
        events: What happened when in the data, where they list it; see ``CanonicalDataset``.
        description: Checksums of the data set and of the adjacency's bytes, subset and sizes,
            for the record.
    """

    train: WindowStore
    validation: WindowStore
    test: WindowStore
    adjacency: torch.Tensor
    channels: int
    steps_per_day: int
    mape_floor: float
    train_times: NDArray[np.datetime64]
    events: pd.DataFrame
    description: dict[str, Any]


def forecast_data(
    dataset: CanonicalDataset,
    *,
    history: int,
    horizon: int,
    node_stride: int = 1,
    days: int | None = None,
    window_stride: int = 1,
    evaluation_stride: int = 1,
    target_only: bool = False,
    task: Task | None = None,
    protocol: ProtocolKind = "paper",
    device: torch.device | None = None,
) -> ForecastData:
    """Open ``dataset`` for a task on ``history`` input and ``horizon`` target steps.

    Args:
        dataset: The canonical data set.
        history: T, input steps.
        horizon: H, target steps.
        node_stride: Take every so many-th node.
        days: Take the first so many days of those that are there; None for all.
        window_stride: Keep every so many-th training window.
        evaluation_stride: Keep every so many-th validation and test window.
        target_only: Leave all channels but the target out, so that C is 1.
        task: What to do with the windows; to forecast by default.
        protocol: How splits are cut, the scaler is fitted and training targets are masked.
        device: Where the series shall live; the processor's memory by default.

    Raises:
        ConfigError: If the subset is empty or too short to be split.
    """
    card, place = dataset.card, device or torch.device("cpu")
    task = task or Forecast(NoOptions())
    part = _part(dataset, node_stride, days, target_only)
    length = task.window_length(history, horizon)
    starts = window_starts(part.timestamps, length, card.step_minutes)
    splits = cut_splits(protocol, starts, length, len(part.timestamps), card.splits)
    trained = task.training_windows(splits)
    train = trained[::window_stride]
    validation = splits.validation[::evaluation_stride]
    test = splits.test[::evaluation_stride]
    _warn_of_unseen_times(card, window_stride)
    seen = seen_by_scaler(protocol, starts[trained.start : trained.stop], history, part.mask)
    series, scaler = _scaled(dataset, part, seen, fill=protocol != "legacy")
    target_mask = part.mask[:, :, part.target]
    time_of_day, day_of_week = calendar(part.timestamps, card.step_minutes)
    values, scaler = torch.from_numpy(series).to(place), scaler.to(place)
    store = WindowStore(
        series=values,
        target_mask=None
        if target_mask.all()
        else torch.from_numpy(np.ascontiguousarray(target_mask)).to(place),
        time_of_day=time_of_day.to(place),
        day_of_week=day_of_week.to(place),
        history=history,
        horizon=horizon,
        target_channel=part.target,
        scaler=scaler,
        starts=torch.from_numpy(starts).to(place),
        ready=ReadySeries.of(values, scaler),
    )
    training, evaluation = (task.open(store, training=training) for training in (True, False))
    if protocol == "legacy":
        training = LegacyStore.of(training)
    return ForecastData(
        train=training.split(train),
        validation=evaluation.split(validation),
        test=evaluation.split(test),
        adjacency=torch.from_numpy(part.adjacency).to(place),
        channels=training.channels,
        steps_per_day=card.steps_per_day,
        mape_floor=card.mape_floor,
        train_times=part.timestamps[starts[train] + training.target_offset].astype("datetime64[m]"),
        events=dataset.events,
        description={
            "checksum": dataset.checksum,
            "graph_sha256": part.graph_sha256,
            "node_stride": node_stride,
            "days": days,
            "window_stride": window_stride,
            "nodes": series.shape[1],
            "steps": len(part.timestamps),
            "train_windows": len(train),
            "validation_windows": len(validation),
            "test_windows": len(test),
            "target": card.target,
            "target_unit": card.channels[card.target_channel].unit,
            "observed_share": float(target_mask.mean()),
        },
    )


@dataclass(frozen=True)
class _Part:
    """The declared part of a data set, sharing memory with it where that can be.

    Args:
        series: (steps, N, C) float32.
        mask: (steps, N, C) bool.
        timestamps: (steps,) datetime64[s].
        adjacency: (N, N) float32.
        graph_sha256: Of the adjacency.
        target: Channel of the target.
    """

    series: NDArray[np.float32]
    mask: NDArray[np.bool_]
    timestamps: NDArray[np.datetime64]
    adjacency: NDArray[np.float32]
    graph_sha256: str
    target: int


def _part(
    dataset: CanonicalDataset, node_stride: int, days: int | None, target_only: bool
) -> _Part:
    card, day_ends = dataset.card, _day_ends(dataset)
    if (days or 0) > len(day_ends) or node_stride > card.nodes:
        raise ConfigError(
            f"{card.title} has {len(day_ends)} days and {card.nodes} nodes;"
            f" the subset asks for {days} days and every {node_stride}th node"
        )
    steps = card.steps if days is None else int(day_ends[days - 1])
    target = card.target_channel
    channels = slice(target, target + 1) if target_only else slice(None)
    adjacency = np.ascontiguousarray(dataset.adjacency[::node_stride, ::node_stride])
    graph_sha256 = hashlib.sha256(adjacency.data).hexdigest()
    release(dataset.adjacency)
    return _Part(
        series=np.ascontiguousarray(dataset.series[:steps, ::node_stride, channels]),
        mask=dataset.mask[:steps, ::node_stride, channels],
        timestamps=dataset.timestamps[:steps],
        adjacency=adjacency,
        graph_sha256=graph_sha256,
        target=0 if target_only else target,
    )


def _scaled(
    dataset: CanonicalDataset, part: _Part, seen: NDArray[np.bool_], fill: bool
) -> tuple[NDArray[np.float32], Scaler]:
    """The series to train on, missing values filled if ``fill`` says so, and its scaler."""
    series, filled = part.series, fill and not part.mask.all()
    if filled:
        series = _own(series, dataset)
    scaler = fit_scaler(series[: len(seen)], seen, part.target)
    if filled:
        # A missing input is fed as the training mean: 0 once standardised.
        fill_missing(series, part.mask, scaler.mean.numpy())
    return series, scaler


def _warn_of_unseen_times(card: DatasetCard, window_stride: int) -> None:
    if math.gcd(window_stride, card.steps_per_day) > 1:
        logger.warning(
            "%s: every %dth window trains on some times of day only; a stride without a factor of"
            " the %d steps of a day sees all of them",
            card.title,
            window_stride,
            card.steps_per_day,
        )


def _own(series: NDArray[np.float32], dataset: CanonicalDataset) -> NDArray[np.float32]:
    """``series``, which may share memory with the data set, as an array of our own to write to."""
    whole = dataset.series
    if not np.may_share_memory(series, whole):
        return series
    if not isinstance(whole, np.memmap):
        return series.copy()
    # Of another map of the file, only the pages that are written to are copied.
    return np.memmap(str(whole.filename), np.float32, "c", whole.offset, series.shape)


def _day_ends(dataset: CanonicalDataset) -> NDArray[np.int64]:
    """(days,) int64, how many steps there are up to the end of each whole day."""
    card = dataset.card
    if card.breaks == "none":
        return np.arange(1, card.steps // card.steps_per_day + 1) * card.steps_per_day
    dates = dataset.timestamps.astype("datetime64[D]")
    return np.append(np.flatnonzero(dates[1:] != dates[:-1]) + 1, len(dates))
