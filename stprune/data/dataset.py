"""From a canonical data set to the three window stores of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from stprune.data.canonical import CanonicalDataset
from stprune.data.scaler import fit_scaler
from stprune.data.windows import WindowStore, calendar, split_windows
from stprune.errors import ConfigError


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
        description: Checksum, subset and sizes, for the record.
    """

    train: WindowStore
    validation: WindowStore
    test: WindowStore
    adjacency: torch.Tensor
    channels: int
    steps_per_day: int
    mape_floor: float
    description: dict[str, Any]


def forecast_data(
    dataset: CanonicalDataset,
    *,
    history: int,
    horizon: int,
    node_stride: int = 1,
    days: int | None = None,
    device: torch.device | None = None,
) -> ForecastData:
    """Open ``dataset`` for forecasting ``horizon`` from ``history`` steps.

    Args:
        dataset: The canonical data set.
        history: T, input steps.
        horizon: H, forecast steps.
        node_stride: Take every so many-th node.
        days: Take the first so many days; None for all.
        device: Where the series shall live; the processor's memory by default.

    Raises:
        ConfigError: If the subset is empty or too short to be split.
    """
    card = dataset.card
    steps = card.steps if days is None else days * card.steps_per_day
    if steps > card.steps or node_stride > card.nodes:
        raise ConfigError(
            f"{card.title} has {card.steps // card.steps_per_day} days and {card.nodes} nodes;"
            f" the subset asks for {days} days and every {node_stride}th node"
        )
    series = np.ascontiguousarray(dataset.series[:steps, ::node_stride])
    mask = dataset.mask[:steps, ::node_stride]
    windows = steps - history - horizon + 1
    splits = split_windows(windows, card.splits)
    scaler = fit_scaler(series, mask, len(splits.train) + history - 1, card.target_channel)
    if not mask.all():
        # A missing input is fed as the training mean: 0 once standardised.
        series = np.where(mask, series, scaler.mean.numpy())
    target_mask = mask[:, :, card.target_channel]
    place = device or torch.device("cpu")
    time_of_day, day_of_week = calendar(dataset.timestamps[:steps], card.step_minutes)
    store = WindowStore(
        series=torch.from_numpy(series).to(place),
        target_mask=None
        if target_mask.all()
        else torch.from_numpy(np.ascontiguousarray(target_mask)).to(place),
        time_of_day=time_of_day.to(place),
        day_of_week=day_of_week.to(place),
        history=history,
        horizon=horizon,
        target_channel=card.target_channel,
        scaler=scaler.to(place),
        first=0,
        size=windows,
    )
    return ForecastData(
        train=store.split(splits.train),
        validation=store.split(splits.validation),
        test=store.split(splits.test),
        adjacency=torch.from_numpy(
            np.ascontiguousarray(dataset.adjacency[::node_stride, ::node_stride])
        ).to(place),
        channels=series.shape[2],
        steps_per_day=card.steps_per_day,
        mape_floor=card.mape_floor,
        description={
            "checksum": dataset.checksum,
            "node_stride": node_stride,
            "days": days,
            "nodes": series.shape[1],
            "steps": steps,
            "train_windows": len(splits.train),
            "validation_windows": len(splits.validation),
            "test_windows": len(splits.test),
            "target": card.target,
            "target_unit": card.channels[card.target_channel].unit,
            "observed_share": float(target_mask.mean()),
        },
    )
