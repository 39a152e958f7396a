"""Evaluation: every window of a split exactly once, nothing dropped or repeated.

Errors are masked: what was not observed counts nowhere. Scores are pooled, however the data were
batched. The same forecasts are scored by the rules `paper` (ours), `st_ttc`, `largest` and
`opencity` (docs/protocols.md); these three know no mask: a missing value is a label of 0.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from stprune.data.dataset import ForecastData
from stprune.data.stationarity import stationarity
from stprune.data.windows import WindowStore, null_label
from stprune.pruning.base import Observer, absolute_errors
from stprune.records.run import HOUR, Scores

LEAST_STATIONARY = 0.1
OPENCITY_FLOOR = 0.001
BLOCK_VALUES = 2**21


def evaluate(
    model: nn.Module,
    store: WindowStore,
    batch_size: int,
    mape_floor: float,
    fabric: Fabric,
    observe: Observer | None = None,
    rules: "RuleSums | None" = None,
) -> "ErrorSums":
    """Errors of ``model`` on all windows of ``store``, pooled over all devices.

    ``observe`` is shown the errors of this device, ``rules`` its forecasts. The model is the bare
    network: one that synchronises devices in every forward pass would wait for ever where they
    have different numbers of batches.
    """
    was_training = model.training
    model.eval()
    for buffer in model.buffers() if fabric.world_size > 1 else ():
        # Running moments of normalisation layers differ from device to device.
        buffer.copy_(fabric.broadcast(buffer))
    zeros = torch.zeros(5, store.horizon, dtype=torch.float64, device=store.device)
    sums = ErrorSums(zeros, mape_floor)
    mine = torch.arange(fabric.global_rank, len(store), fabric.world_size, device=store.device)
    with torch.inference_mode(), fabric.autocast():
        for indices in mine.split(batch_size):
            batch = store.gather(indices)
            forecast = model(batch.inputs, batch.time_of_day, batch.day_of_week)
            # Real units need more digits than a forecast in half precision has.
            restored = store.scaler.restore(forecast.float())
            sums.update(restored, batch.targets, batch.mask)
            if rules:
                rules.update(indices, restored, batch.targets, batch.mask)
            if observe:
                observe(indices, absolute_errors(restored, batch.targets, batch.mask), batch.mask)
    sums.sums, sums.windows = summed(fabric, sums.sums), len(store)
    if rules:
        rules.merge(fabric)
    model.train(was_training)
    return sums


@dataclass
class ErrorSums:
    """Sums of errors by step of the horizon; in MAPE of targets above ``mape_floor``."""

    sums: Tensor  # as of `error_rows`, on the device
    mape_floor: float
    windows: int = 0

    def update(self, forecast: Tensor, targets: Tensor, mask: Tensor) -> None:
        """Add one batch; all (B, H, N), real units."""
        counted = mask & (targets.abs() >= self.mape_floor)
        sizes = targets.double().abs().clamp(min=1e-12)
        self.sums += error_rows(absolute_errors(forecast, targets, mask), mask, counted, sizes)
        self.windows += len(forecast)

    def mae(self) -> float:
        """Pooled masked MAE; NaN if nothing was observed."""
        return pooled_mae(self.sums)

    def scores(self) -> Scores:
        """All scores; None where nothing was observed."""
        return scores_of_sums(self.sums, self.windows, self.mape_floor)


def summed(fabric: Fabric, values: Tensor) -> Tensor:
    """The sum of every process's values, for all."""
    return cast(Tensor, fabric.all_reduce(values, reduce_op="sum"))


def pooled(parts: Sequence[ErrorSums]) -> ErrorSums:
    """The errors of several data sets together; each keeps its own floor of MAPE."""
    sums = sum((part.sums for part in parts), torch.zeros_like(parts[0].sums))
    floor = min(part.mape_floor for part in parts)
    return ErrorSums(sums, floor, sum(part.windows for part in parts))


def error_rows(errors: Tensor, mask: Tensor, in_percent: Tensor, sizes: Tensor) -> Tensor:
    """(5, H) float64 sums of a batch: absolute errors, squares, count, shares, count of shares.

    All are (B, H, N): errors are 0 where masked, shares are of ``sizes``, float64.
    """
    errors = errors.double()
    share = torch.where(in_percent, errors / sizes, 0.0)
    rows = (errors, errors.square(), mask.double(), share, in_percent.double())
    return torch.stack([row.sum((0, 2)) for row in rows])


def pooled_mae(sums: Tensor) -> float:
    """MAE of (5, H) sums as of :func:`error_rows`; NaN where nothing counted."""
    total, _, count, _, _ = sums.sum(1)
    return float(total / count)


def scores_of_sums(
    sums: Tensor, windows: int, mape_floor: float, mean_of_steps: bool = False
) -> Scores:
    """Scores from (5, H) sums, pooled, or the mean of each step's; None where nothing counted."""

    def rates(sums: Tensor) -> Tensor:  # (3, steps), not finite where nothing counted
        absolute, square, count, share, share_count = sums.cpu()
        return torch.stack([absolute / count, (square / count).sqrt(), 100 * share / share_count])

    steps = rates(sums)
    whole = steps.mean(1) if mean_of_steps else rates(sums.sum(1, keepdim=True))[:, 0]
    values: dict[str, float | None] = {}
    by_step: dict[str, list[float | None]] = {}
    for name, total, each in zip(("mae", "rmse", "mape"), whole.tolist(), steps, strict=True):
        values[name] = total if math.isfinite(total) else None
        numbers = each.tolist()
        by_step[f"{name}_per_horizon"] = [n if math.isfinite(n) else None for n in numbers]
    return Scores(**values, **by_step, windows=windows, mape_floor=mape_floor)


class RuleSums:
    """Running sums of a split's errors under the rules of others, in float64 on the device.

    Of batches of ``batch_size`` windows, `st_ttc` drops a partial last one.
    """

    def __init__(self, store: WindowStore, batch_size: int) -> None:
        self.kept = len(store) // batch_size * batch_size
        self.windows, self.hides = len(store), store.hides_targets
        # The lowest label so far; errors at labels equal to it are summed separately.
        self.lowest = torch.full((), torch.inf, device=store.device)
        # At the lowest label, at higher ones (both `st_ttc`), of `largest`, of `opencity`.
        self.sums = torch.zeros(4, 5, store.horizon, dtype=torch.float64, device=store.device)

    def update(self, indices: Tensor, forecast: Tensor, targets: Tensor, mask: Tensor) -> None:
        """Add the windows ``indices`` (B,) of the split; the rest is as in :class:`ErrorSums`."""
        # A few windows at a time: sums over a batch of a large graph would take gigabytes.
        pieces = max(1, BLOCK_VALUES // targets[0].numel())
        batch = (indices, forecast, targets, mask)
        for piece in zip(*(values.split(pieces) for values in batch), strict=True):
            self._add(*piece)

    def _add(self, indices: Tensor, forecast: Tensor, targets: Tensor, mask: Tensor) -> None:
        labels = targets.where(mask, 0.0)
        # If the store hides targets from the model, only those are labels.
        labelled = mask if self.hides else torch.ones_like(labels, dtype=torch.bool)
        kept = labelled & (indices < self.kept)[:, None, None]
        self._lower(labels.where(kept, torch.inf).min())
        lowest = labels == self.lowest
        counted = (kept & lowest, kept & ~lowest, labelled & (labels != 0), labelled & (labels > 0))
        in_percent = (*counted[:3], counted[3] & (labels > OPENCITY_FLOOR))
        errors, sizes = (forecast - labels).abs(), labels.double()
        both = zip(counted, in_percent, strict=True)
        self.sums += torch.stack([error_rows(errors * mine, mine, p, sizes) for mine, p in both])

    def merge(self, fabric: Fabric) -> None:
        """Add what the other devices evaluated."""
        self._lower(cast(Tensor, fabric.all_gather(self.lowest)).min())
        self.sums = summed(fabric, self.sums)

    def _lower(self, lowest: Tensor) -> None:
        """Take note of the lowest label of a batch."""
        falls = lowest < self.lowest
        first, second = self.sums[0].clone(), self.sums[1]
        self.sums[1] = torch.where(falls, first + second, second)
        self.sums[0] = torch.where(falls, 0.0, first)
        self.lowest = torch.minimum(self.lowest, lowest)

    def st_ttc_sums(self) -> Tensor:
        """(5, H) sums that count under `st_ttc`."""
        masked = null_label(self.lowest) == self.lowest
        return self.sums[1] + torch.where(masked, 0.0, self.sums[0])


def rule_scores(parts: Sequence[RuleSums]) -> dict[str, Scores]:
    """Scores under each rule but `paper`, over data sets that each have a lowest label."""
    st_ttc = torch.stack([part.st_ttc_sums() for part in parts]).sum(0)
    sums = torch.stack([part.sums for part in parts]).sum(0)
    kept, windows = sum(part.kept for part in parts), sum(part.windows for part in parts)
    return {
        "st_ttc": scores_of_sums(st_ttc, kept, 0.0, mean_of_steps=True),
        "largest": scores_of_sums(sums[2], windows, 0.0),
        "opencity": scores_of_sums(sums[3], windows, OPENCITY_FLOOR),
    }


def window_errors(
    model: Callable[..., Tensor], store: WindowStore, indices: Tensor
) -> tuple[Tensor, Tensor]:
    """Absolute errors of windows ``indices`` in real units, 0 where masked, and the mask."""
    batch = store.gather(indices)
    forecast = model(batch.inputs, batch.time_of_day, batch.day_of_week)
    return absolute_errors(store.scaler.restore(forecast), batch.targets, batch.mask), batch.mask


def batch_mae_parts(errors: Tensor, mask: Tensor) -> Tensor:
    """(B,) parts whose mean is the pooled masked MAE of the batch, as published for `st_ttc`."""
    return errors.sum((1, 2)) * len(errors) / mask.sum().clamp(min=1)


class GroupErrors:
    """A split's errors by window and node, in float64; a mean over all would hide rare ones."""

    def __init__(self, store: WindowStore) -> None:
        zeros = partial(torch.zeros, dtype=torch.float64, device=store.device)
        self.windows, self.nodes = zeros(2, len(store)), zeros(2, store.series.shape[1])

    def observe(self, indices: Tensor, errors: Tensor, mask: Tensor) -> None:
        """Add a batch; shapes are those of ``Pruner.observe``."""
        both = torch.stack([errors.double(), mask.expand_as(errors).double()])
        self.windows[:, indices] = both.sum((2, 3))
        self.nodes += both.sum((1, 2))

    def scores(self, fabric: Fabric, groups: Mapping[str, Tensor]) -> dict[str, float | None]:
        """Masked MAE, over all devices, of each of `window_groups` and of the worst node."""
        windows, (total, count) = summed(fabric, self.windows), summed(fabric, self.nodes)
        scores: dict[str, float | None] = {}
        for name, members in groups.items():
            error, targets = windows[:, members].sum(1).tolist()
            scores[name] = error / targets if targets else None
        by_node = (total / count)[count > 0]
        return {**scores, "worst_node": float(by_node.max()) if len(by_node) else None}


def window_groups(data: ForecastData) -> dict[str, Tensor]:
    """Groups of the test windows: (n,) bool by name.

    ``least_stationary`` is the tenth with the largest mean absolute first difference; ``incident``
    has a listed incident, `first_step` to `last_step` of the series, among the target steps;
    ``hour_0`` to ``hour_23``, those that there are, have their first target in that hour of day.
    """
    store, events = data.test, data.events
    moves = stationarity([store], "first_difference")
    rare = max(1, math.ceil(LEAST_STATIONARY * len(store)))
    least = torch.zeros(len(store), dtype=torch.bool, device=store.device)
    least[moves.argsort(descending=True, stable=True)[:rare]] = True
    targets = store.starts + store.target_offset  # the first step of each window's
    hours = store.time_of_day[targets] * 24 // data.steps_per_day
    groups = {f"{HOUR}{hour}": hours == hour for hour in hours.unique().tolist()}
    groups["least_stationary"] = least
    if {"first_step", "last_step"} <= set(events.columns):
        groups["incident"] = torch.zeros_like(least)
        for begin, end in zip(events["first_step"], events["last_step"], strict=True):
            groups["incident"] |= (targets <= end) & (targets + store.horizon > begin)
    return groups
