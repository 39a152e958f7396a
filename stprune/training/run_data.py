"""The data of a run: one data set, or several as a union."""

from __future__ import annotations

import torch

from stprune.base.layout import DataLayout
from stprune.config.experiment import DatasetEntry
from stprune.config.grid import RunSpec
from stprune.config.protocol import RULES, refuse_small_splits
from stprune.config.union import MemberEntry
from stprune.data.canonical import read_canonical
from stprune.data.dataset import ForecastData, forecast_data
from stprune.data.tasks.base import build_task
from stprune.data.union import UnionData, joint_checksum, unite


def open_run_data(
    spec: RunSpec, layout: DataLayout, device: torch.device
) -> ForecastData | UnionData:
    """Open what a run trains and is tested on, on ``device``.

    Raises:
        DataError: If a data set is not prepared, or damaged.
        ConfigError: If a subset is empty, too short, or data sets do not fit each other.
    """
    subset = spec.subset
    if not subset.union:
        data = _open(spec, layout, device, spec.dataset, subset)
        if RULES[spec.protocol].drops_partial_batches:
            refuse_small_splits(data, spec.training.batch_size)
        return data

    def opened(members: list[MemberEntry]) -> dict[str, ForecastData]:
        return {m.dataset: _open(spec, layout, device, m.dataset, m, True) for m in members}

    return unite(opened(subset.union), opened(subset.zero_shot), subset.task == "transfer")


def run_checksum(spec: RunSpec, layout: DataLayout) -> str:
    """Checksum of the data that a run would read now, as its record has it."""
    return joint_checksum([read_canonical(layout.processed(name)).checksum for name in spec.cards])


def _open(
    spec: RunSpec,
    layout: DataLayout,
    device: torch.device,
    dataset: str,
    part: DatasetEntry | MemberEntry,
    target_only: bool = False,
) -> ForecastData:
    return forecast_data(
        read_canonical(layout.processed(dataset)),
        history=spec.training.history,
        horizon=spec.training.horizon,
        node_stride=part.node_stride,
        days=part.days,
        window_stride=part.window_stride,
        evaluation_stride=spec.subset.evaluation_stride,
        target_only=target_only,
        task=build_task(spec.subset.task, spec.subset.task_options),
        protocol=spec.protocol,
        device=device,
    )
