"""Cuts canonical data sets into the windows of a run.

A protocol decides how splits are cut and what the scaler sees: docs/protocols.md.

A run on one data set is a union of one. Data sets of a declared union are reduced to their target
channel, as OpenCity's pre-training (Li et al. 2024) reads them. Each keeps its own nodes, graph and
scaler, so a batch is always of a single one.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from stprune.base.errors import ConfigError
from stprune.base.schema import NoOptions
from stprune.base.settings import ProtocolKind
from stprune.data import windows
from stprune.data.canonical import CanonicalDataset, joint_checksum, release, step_blocks
from stprune.data.tasks.base import Task
from stprune.data.tasks.forecast import Forecast


@dataclass(frozen=True)
class ForecastData:
    """The windows of one data set."""

    train: windows.WindowStore
    validation: windows.WindowStore
    test: windows.WindowStore  # evaluated once, at the end
    adjacency: Tensor  # (N, N) float32
    channels: int  # C
    steps_per_day: int
    mape_floor: float  # smallest target that MAPE counts
    train_times: NDArray[np.datetime64]  # (n,) datetime64[m], first target of each training window
    events: pd.DataFrame  # labelled, perhaps empty; see ``CanonicalDataset``
    description: dict[str, Any]  # checksums, subset and sizes, for the record


@dataclass(frozen=True)
class RunData:
    """What a run trains and is tested on, by id: one data set, or several as a union.

    Training windows are numbered one data set after another.
    """

    members: Mapping[str, ForecastData]  # trained and validated on
    tested: Mapping[str, ForecastData]  # the members, or those held out
    held_out: Mapping[str, ForecastData]  # tried on but not trained on
    union: bool  # whether the configuration declares one, perhaps of one data set
    description: dict[str, Any]  # checksum and sizes for the record

    @property
    def sizes(self) -> list[int]:
        """Number of training windows of each data set."""
        return [len(data.train) for data in self.members.values()]

    @property
    def firsts(self) -> NDArray[np.int64]:
        """(data sets,) number of the first training window of each."""
        return np.cumsum([0, *self.sizes[:-1]])

    @property
    def train_times(self) -> NDArray[np.datetime64]:
        """(n,) datetime64[m], first target step of each training window."""
        return np.concatenate([data.train_times for data in self.members.values()])


def alone(data: ForecastData, name: str = "") -> RunData:
    """A run on the single data set called ``name``."""
    members = {name: data}
    return RunData(members, members, {}, union=False, description=data.description)


def unite(
    members: Mapping[str, ForecastData],
    held_out: Mapping[str, ForecastData],
    tested_elsewhere: bool = False,
) -> RunData:
    """A run on a union of data sets by id, each opened with ``target_only``.

    The test windows are those of the members, or of ``held_out`` if ``tested_elsewhere``.
    """
    tested = held_out if tested_elsewhere else members
    own = {name: data.description for name, data in members.items()}
    away = {name: data.description for name, data in held_out.items()}
    total = ("nodes", "steps", "train_windows", "validation_windows")
    each = ("node_stride", "days", "window_stride")
    units = dict.fromkeys(data.description["target_unit"] for data in tested.values())
    description = {
        "checksum": joint_checksum([d["checksum"] for d in (*own.values(), *away.values())]),
        **{key: sum(values[key] for values in own.values()) for key in total},
        "test_windows": sum(len(data.test) for data in tested.values()),
        **{key: [values[key] for values in own.values()] for key in each},
        "target_unit": " and ".join(units),
        "members": own,
        "held_out": away,
    }
    return RunData(members, tested, held_out, union=True, description=description)


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
    """Open ``dataset`` for a task, by default to forecast ``horizon`` from ``history`` steps.

    Takes every k-th node, the first ``days``, every k-th window of training and of evaluation, and
    with ``target_only`` no channel but the target. A ConfigError if too little is left to be split.
    """
    card, place = dataset.card, device or torch.device("cpu")
    task = task or Forecast(NoOptions())
    # Steps up to the end of each whole day.
    day_ends = np.arange(1, card.steps // card.steps_per_day + 1) * card.steps_per_day
    if card.breaks != "none":
        dates = dataset.timestamps.astype("datetime64[D]")
        day_ends = np.append(np.flatnonzero(dates[1:] != dates[:-1]) + 1, len(dates))
    if (days or 0) > len(day_ends) or node_stride > card.nodes:
        asked = f"the subset asks for {days} days and every k-th node, k = {node_stride}"
        raise ConfigError(f"{card.title} has {len(day_ends)} days, {card.nodes} nodes; {asked}")
    steps = card.steps if days is None else int(day_ends[days - 1])
    first, target = (card.target_channel, 0) if target_only else (0, card.target_channel)
    part = np.s_[:steps, ::node_stride, first : first + 1 if target_only else None]
    mask, timestamps = dataset.mask[part], dataset.timestamps[:steps]
    adjacency = np.ascontiguousarray(dataset.adjacency[::node_stride, ::node_stride])
    graph_sha256 = hashlib.sha256(adjacency.data).hexdigest()
    release(dataset.adjacency)

    length = task.window_length(history, horizon)
    starts = windows.window_starts(timestamps, length, card.step_minutes)
    splits = windows.cut_splits(protocol, starts, length, steps, card.splits)
    trained = task.training_windows(splits)
    train = trained[::window_stride]
    validation, test = splits.validation[::evaluation_stride], splits.test[::evaluation_stride]

    series = np.ascontiguousarray(dataset.series[part])
    fill = protocol != "legacy" and not mask.all()
    if fill and np.may_share_memory(series, whole := dataset.series):
        if isinstance(whole, np.memmap):
            # A second map of the file copies only the pages that are written to.
            series = np.memmap(str(whole.filename), np.float32, "c", whole.offset, series.shape)
        else:
            series = series.copy()
    seen = seen_by_scaler(protocol, starts[trained.start : trained.stop], history, mask)
    scaler = windows.fit_scaler(series[: len(seen)], seen, target)
    # A missing input is fed as the training mean: 0 once standardised.
    for block in step_blocks(series.shape) if fill else ():
        np.copyto(series[block], scaler.mean.numpy(), where=~mask[block])

    target_mask = mask[:, :, target]
    time_of_day, day_of_week = windows.calendar(timestamps, card.step_minutes)
    values, scaler = torch.from_numpy(series).to(place), scaler.to(place)
    seen_targets = torch.from_numpy(np.ascontiguousarray(target_mask)).to(place)
    store = windows.WindowStore(
        series=values,
        target_mask=None if target_mask.all() else seen_targets,
        time_of_day=time_of_day.to(place),
        day_of_week=day_of_week.to(place),
        history=history,
        horizon=horizon,
        target_channel=target,
        scaler=scaler,
        starts=torch.from_numpy(starts).to(place),
        ready=windows.ReadySeries.of(values, scaler),
    )
    training, evaluation = (task.open(store, training=training) for training in (True, False))
    if protocol == "legacy":
        training = windows.LegacyStore.of(training)
    return ForecastData(
        train=training.split(train),
        validation=evaluation.split(validation),
        test=evaluation.split(test),
        adjacency=torch.from_numpy(adjacency).to(place),
        channels=training.channels,
        steps_per_day=card.steps_per_day,
        mape_floor=card.mape_floor,
        train_times=timestamps[starts[train] + training.target_offset].astype("datetime64[m]"),
        events=dataset.events,
        description={
            "checksum": dataset.checksum,
            "graph_sha256": graph_sha256,
            "node_stride": node_stride,
            "days": days,
            "window_stride": window_stride,
            "nodes": series.shape[1],
            "steps": steps,
            "train_windows": len(train),
            "validation_windows": len(validation),
            "test_windows": len(test),
            "target": card.target,
            "target_unit": card.channels[card.target_channel].unit,
            "observed_share": float(target_mask.mean()),
        },
    )


def seen_by_scaler(
    protocol: ProtocolKind, starts: NDArray[np.int64], history: int, mask: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """What the scaler is fitted on: (t, N, C) bool for the first t steps, none is seen after them.

    ``legacy`` takes every value, missing or not, before the last training window; the others the
    observed values, by the (steps, N, C) mask, that the inputs of training windows hold, which
    begin at ``starts`` (n,), rising.
    """
    if protocol == "legacy":
        return np.broadcast_to(np.True_, (int(starts[-1]), *mask.shape[1:]))
    end = int(starts[-1]) + history
    change = np.bincount(starts, minlength=end + 1)
    change = change - np.bincount(starts + history, minlength=end + 1)
    covered = change.cumsum()[:-1] > 0
    seen = mask[:end]
    # Without breaks every step is covered, and a mask of gigabytes need not be copied.
    return seen if covered.all() else seen & covered[:, None, None]
