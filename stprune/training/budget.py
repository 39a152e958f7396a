"""What a run may spend, and how many epochs that makes.

A pruned epoch is cheap, so what a pruned run and full training have in common must be said:
their epochs, the windows they visit, their gradient steps, or their total time. Under the last
three a pruned run trains for more epochs, on a schedule (first pass, tail, learning rate) of
that length.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from statistics import mean, median
from typing import NamedTuple

import torch

from stprune.base.settings import TrainingSettings
from stprune.pruning.base import Pruner
from stprune.records.run import Cost, EpochRecord

# Sums of seconds and shares are inexact; rounding must not cost the last epoch.
TOLERANCE = 1e-9


class EpochPrice(NamedTuple):
    """What an epoch costs, in the unit of a budget."""

    window: float = 0.0  # for each window visited
    step: float = 0.0  # for each gradient step
    epoch: float = 0.0
    pruned_epoch: float = 0.0  # extra, for an epoch that does not visit all windows


class TrainingBudget:
    """Plans the epochs of one run.

    The limit of ``total_time`` is what full training would take at this run's own speed: its
    seconds per window, and per epoch for validation and checkpoints. So both are timed on the same
    machine in the same minutes; the plan is updated after each epoch.

    Args:
        training: Settings of the run: the budget's kind, epochs E, batch size.
        windows: n, training windows.
    """

    def __init__(self, training: TrainingSettings, windows: int) -> None:
        self.kind, self.epochs = training.budget, training.epochs
        self.windows, self.batch_size = windows, training.batch_size
        self.validate_every = training.validate_every

    def plan(self, pruner: Pruner, records: Sequence[EpochRecord], preparation: float) -> None:
        """Set ``pruner.epochs`` to the most epochs that the budget allows.

        Windows and steps are never exceeded. Time is met to the nearest epoch: it varies, and
        full training must not lose its last epoch to a slow first one.

        Args:
            pruner: Tells how many windows its epochs visit.
            records: The epochs so far.
            preparation: Seconds spent before them; they count in total time only.
        """
        if self.kind == "epochs" or (self.kind == "total_time" and not records):
            return
        price = self.price(records)
        limit = self.epochs * self._cost(self.windows, price) * (1 + TOLERANCE)
        spent = self._spent(records, preparation)

        def affordable(epochs: int) -> bool:
            ahead = [pruner.epoch_windows(e, epochs) for e in range(len(records), epochs)]
            costs = [self._cost(windows, price) for windows in ahead]
            slack = costs[-1] / 2 if costs and self.kind == "total_time" else 0.0
            return spent + sum(costs) <= limit + slack

        done = max(1, len(records))
        if records and records[-1].validation_mae is None:
            done += 1  # the last epoch is always validated
        epochs = max(done, pruner.epochs)
        if affordable(epochs) and not self._annealing(pruner, records):
            epochs = _largest(affordable, epochs)
        while epochs > done and not affordable(epochs):
            epochs -= 1
        pruner.epochs = epochs

    def planned_epochs(self, pruner: Pruner) -> int:
        """Epochs that the run trains in all."""
        return pruner.planned_epochs() if self.kind == "epochs" else pruner.epochs

    def share(self, records: Sequence[EpochRecord], preparation: float) -> float:
        """What was spent over what full training spends; 1 is equal. Needs one epoch at least."""
        limit = self.epochs * self._cost(self.windows, self.price(records))
        return self._spent(records, preparation) / limit

    def schedule_epoch(self, records: Sequence[EpochRecord], preparation: float) -> int:
        """Epochs of full training that the learning rate's schedule has completed."""
        if self.kind == "epochs":
            return len(records)
        return math.floor(self.epochs * min(1.0, self.share(records, preparation)) + TOLERANCE)

    def price(self, records: Sequence[EpochRecord]) -> EpochPrice:
        """Prices; those of time are means over the epochs so far, as what is spent is a sum."""
        fixed = {
            "epochs": EpochPrice(epoch=1.0),
            "total_windows": EpochPrice(window=1.0),
            "steps": EpochPrice(step=1.0),
        }
        if self.kind != "total_time":
            return fixed[self.kind]
        validations = [r.validation_seconds for r in records if r.validation_mae is not None]
        validation = mean(validations) / self.validate_every if validations else 0.0
        training = sum(r.data_seconds + r.step_seconds for r in records)
        return EpochPrice(
            window=training / sum(r.windows for r in records),
            epoch=validation + mean(r.checkpoint_seconds for r in records),
            pruned_epoch=mean(r.scoring_seconds + r.selection_seconds for r in records),
        )

    def _cost(self, windows: int, price: EpochPrice) -> float:
        cost = price.epoch + price.window * windows
        cost += price.step * math.ceil(windows / self.batch_size)
        return cost + (price.pruned_epoch if windows < self.windows else 0.0)

    def _spent(self, records: Sequence[EpochRecord], preparation: float) -> float:
        if self.kind == "total_time":
            return preparation + sum(
                record.train_seconds + record.validation_seconds + record.checkpoint_seconds
                for record in records
            )
        price = self.price(records)
        spent = (
            price.epoch + price.window * r.windows + price.step * r.gradient_steps for r in records
        )
        return sum(spent, 0.0)

    def _annealing(self, pruner: Pruner, records: Sequence[EpochRecord]) -> bool:
        """Whether the return to full data has begun, which must not be undone."""
        done = len(records)
        if done < 2:
            return False
        last = pruner.epoch_windows(done - 1, pruner.epochs)
        return last > pruner.epoch_windows(1, pruner.epochs) or last == self.windows


def _largest(affordable: Callable[[int], bool], epochs: int) -> int:
    """The largest affordable number of epochs, from one that is affordable."""
    step = 1
    while affordable(epochs + step):
        epochs += step
        step *= 2
    while step > 1:
        step //= 2
        if affordable(epochs + step):
            epochs += step
    return epochs


def run_cost(
    epochs: list[EpochRecord],
    *,
    budget: TrainingBudget,
    prune_ratio: float,
    preparation_seconds: float,
    test_seconds: float,
    peak_memory: int,
    processor_joules: float | None = None,
    device_joules: float | None = None,
) -> Cost:
    """Add up a run.

    Args:
        epochs: Its epochs.
        budget: Its budget, with n training windows and the epochs of full training.
        prune_ratio: Nominal.
        preparation_seconds: Building and preparing the pruner.
        test_seconds: The one test pass.
        peak_memory: Bytes.
        processor_joules: Up to the test; None if not counted.
        device_joules: The same of the devices.
    """
    training_windows = budget.windows
    pruned = [epoch for epoch in epochs if epoch.windows < training_windows]
    full = [epoch for epoch in epochs if epoch.windows >= training_windows]
    counted = pruned or full
    visited = sum(epoch.windows for epoch in epochs)
    train = preparation_seconds + sum(epoch.train_seconds for epoch in epochs)
    validation = sum(epoch.validation_seconds for epoch in epochs)
    checkpoint = sum(epoch.checkpoint_seconds for epoch in epochs)
    return Cost(
        budget=budget.kind,
        budget_share=budget.share(epochs, preparation_seconds),
        epochs=len(epochs),
        gradient_steps=sum(epoch.gradient_steps for epoch in epochs),
        windows_visited=visited,
        training_windows=training_windows,
        nominal_keep_ratio=1.0 - prune_ratio,
        realised_keep_ratio=sum(e.windows for e in counted) / len(counted) / training_windows,
        overall_keep_ratio=visited / (training_windows * budget.epochs),
        preparation_seconds=preparation_seconds,
        epoch_seconds=median(epoch.train_seconds for epoch in counted),
        full_epoch_seconds=median(e.train_seconds for e in full) if full else None,
        overhead_seconds=median(e.scoring_seconds + e.selection_seconds for e in counted),
        train_seconds=train,
        validation_seconds=validation,
        checkpoint_seconds=checkpoint,
        total_seconds=train + validation + checkpoint,
        test_seconds=test_seconds,
        peak_memory_bytes=peak_memory,
        processor_joules=processor_joules,
        device_joules=device_joules,
    )


def peak_memory_bytes(device: torch.device) -> int:
    """Peak memory of the device, or of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return peak if sys.platform == "darwin" else peak * 1024
