"""Evaluation: every window of a split exactly once, nothing dropped or repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from stprune.backbones.base import Backbone
from stprune.data.union_store import UnionStore
from stprune.data.windows import WindowStore
from stprune.pruning.base import Observer, absolute_errors
from stprune.training.metric_rules import RuleSums
from stprune.training.metrics import ErrorSums


def evaluate(
    model: nn.Module,
    store: WindowStore,
    batch_size: int,
    mape_floor: float,
    fabric: Fabric,
    observe: Observer | None = None,
    rules: RuleSums | None = None,
) -> ErrorSums:
    """Errors of ``model`` on all windows of ``store``, pooled over all devices.

    Args:
        model: The bare network: a wrapper that synchronises devices in every forward pass would
            wait for ever where they have different numbers of batches.
        store: The windows of a split.
        batch_size: Windows in a batch.
        mape_floor: Smallest target that MAPE counts.
        fabric: Precision and devices.
        observe: Shown the errors of each batch that this device evaluates.
        rules: Sums to add the same forecasts to.
    """
    was_training = model.training
    model.eval()
    for buffer in model.buffers() if fabric.world_size > 1 else ():
        # Running moments of normalisation layers differ from device to device.
        buffer.copy_(fabric.broadcast(buffer))
    sums = ErrorSums(store.horizon, mape_floor, store.device)
    mine = torch.arange(fabric.global_rank, len(store), fabric.world_size, device=store.device)
    with torch.inference_mode(), fabric.autocast():
        for indices in mine.split(batch_size):
            batch = store.gather(indices)
            forecast = model(batch.inputs, batch.time_of_day, batch.day_of_week)
            restored = store.scaler.restore(forecast)
            sums.update(restored, batch.targets, batch.mask)
            if rules:
                rules.update(indices, restored, batch.targets, batch.mask)
            if observe:
                observe(indices, absolute_errors(restored, batch.targets, batch.mask), batch.mask)
    if fabric.world_size > 1:
        sums.sums = cast(Tensor, fabric.all_reduce(sums.sums, reduce_op="sum"))
        sums.windows = len(store)
        if rules:
            rules.merge(fabric)
    model.train(was_training)
    return sums


def evaluate_union(
    network: nn.Module,
    store: UnionStore,
    batch_size: int,
    fabric: Fabric,
    rules: Mapping[str, RuleSums] | None = None,
) -> dict[str, ErrorSums]:
    """Errors on all windows of each data set of a union, on its own graph and with its own floor.

    Arguments are those of :func:`evaluate`, ``rules`` by data set; the network is left on the graph
    of the last one.
    """
    sums, rules = {}, rules or {}
    for part in store.parts:
        cast(Backbone, network).use_graph(part.name, part.adjacency)
        sums[part.name] = evaluate(
            network, part.store, batch_size, part.mape_floor, fabric, rules=rules.get(part.name)
        )
    return sums


def pooled(parts: Sequence[ErrorSums]) -> ErrorSums:
    """The errors of several data sets as if they were of one; MAPE keeps to each one's floor."""
    first = parts[0]
    floor = min(part.mape_floor for part in parts)
    whole = ErrorSums(len(first.sums[0]), floor, first.sums.device)
    for part in parts:
        whole.sums += part.sums
        whole.windows += part.windows
    return whole
