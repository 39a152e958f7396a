"""The data of a run: one data set, or several as a union."""

from __future__ import annotations

import torch

from stprune.base.errors import ConfigError
from stprune.base.layout import DataLayout
from stprune.base.settings import DatasetEntry, MemberEntry
from stprune.config.grid import RunSpec
from stprune.data.canonical import read_canonical
from stprune.data.dataset import ForecastData, forecast_data
from stprune.data.tasks.base import build_task
from stprune.data.union import UnionData, unite
from stprune.training.metric_rules import RULES


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


def refuse_small_splits(data: ForecastData, batch_size: int) -> None:
    """Refuse splits of which dropping partial batches would leave nothing.

    Raises:
        ConfigError: Naming the split.
    """
    stores = {"training": data.train, "validation": data.validation, "test": data.test}
    for name, store in stores.items():
        if len(store) < batch_size:
            raise ConfigError(
                f"protocol `legacy` drops partial batches, and {len(store)} {name} windows fill"
                f" none of {batch_size}; lower `batch_size`, or take protocol `paper`"
            )
