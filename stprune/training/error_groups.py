"""Errors where a mean over everything hides them: rare windows, and the worst node."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor

from stprune.data.stationarity import first_difference
from stprune.data.windows import WindowStore, incident_windows

LEAST_STATIONARY = 0.1


class GroupErrors:
    """Adds up a split's absolute errors by window and by node, in float64 on the device.

    Args:
        store: The windows of the split.
    """

    def __init__(self, store: WindowStore) -> None:
        nodes = store.series.shape[1]
        self.windows = torch.zeros(2, len(store), dtype=torch.float64, device=store.device)
        self.nodes = torch.zeros(2, nodes, dtype=torch.float64, device=store.device)

    def observe(self, indices: Tensor, errors: Tensor, mask: Tensor) -> None:
        """Add a batch; shapes are those of ``Pruner.observe``."""
        both = torch.stack([errors.double(), mask.expand_as(errors).double()])
        self.windows[:, indices] = both.sum((2, 3))
        self.nodes += both.sum((1, 2))

    def merge(self, fabric: Fabric) -> None:
        """Add what the other devices observed."""
        if fabric.world_size > 1:
            self.windows = cast(Tensor, fabric.all_reduce(self.windows, reduce_op="sum"))
            self.nodes = cast(Tensor, fabric.all_reduce(self.nodes, reduce_op="sum"))

    def scores(self, groups: dict[str, Tensor]) -> dict[str, float | None]:
        """Masked MAE of each group, pooled over its windows, and of the worst node.

        Args:
            groups: By name, (n,) bool: the windows that belong to it.
        """
        sums = {name: self.windows[:, members].sum(1) for name, members in groups.items()}
        scores = {name: _mean(float(total), float(count)) for name, (total, count) in sums.items()}
        total, count = self.nodes
        by_node = (total / count)[count > 0]
        return {**scores, "worst_node": float(by_node.max()) if len(by_node) else None}


def window_groups(store: WindowStore, events: pd.DataFrame) -> dict[str, Tensor]:
    """Groups of the windows of a split: (n,) bool by name.

    ``least_stationary`` is the tenth with the largest mean absolute first difference;
    ``incident`` has a listed incident among the target steps, where the data list any.
    """
    moves = first_difference(store)
    rare = max(1, math.ceil(LEAST_STATIONARY * len(store)))
    least = torch.zeros(len(store), dtype=torch.bool, device=store.device)
    least[moves.argsort(descending=True, stable=True)[:rare]] = True
    groups = {"least_stationary": least}
    if {"first_step", "last_step"} <= set(events.columns):
        touched = incident_windows(
            events, store.starts.cpu().numpy(), history=store.target_offset, horizon=store.horizon
        )
        groups["incident"] = torch.from_numpy(np.ascontiguousarray(touched)).to(store.device)
    return groups


def _mean(total: float, count: float) -> float | None:
    return total / count if count else None
