"""What a run may spend, how many epochs that makes, and what it has spent.

If windows, steps or total time are those of full training, a pruned run trains for more epochs, on
a schedule (first pass, tail, learning rate) of that length.
"""

import math
import sys
from collections.abc import Callable, Sequence
from statistics import mean, median

import torch

from stprune.base.settings import TrainingSettings
from stprune.pruning.base import Pruner
from stprune.records.run import Cost, EpochRecord

# Sums of seconds and shares are inexact; rounding must not cost the last epoch.
TOLERANCE = 1e-9


class TrainingBudget:
    """Plans the epochs of a run anew after each; a limit of time is that of full training."""

    def __init__(self, training: TrainingSettings, windows: int) -> None:
        self.kind, self.epochs = training.budget, training.epochs
        self.windows, self.batch_size = windows, training.batch_size
        self.validate_every = training.validate_every

    def plan(self, pruner: Pruner, records: Sequence[EpochRecord], preparation: float) -> None:
        """Set ``pruner.epochs`` to the most epochs that the budget allows.

        Windows and steps are never exceeded. Time, ``preparation`` included, is met to the nearest
        epoch: full training must not lose its last epoch to a slow first one.
        """
        if self.kind == "epochs" or (self.kind == "total_time" and not records):
            return
        cost = self._cost_of_epoch(records)
        limit = self.epochs * cost(self.windows) * (1 + TOLERANCE)
        spent = self._spent(records, preparation)

        def affordable(epochs: int) -> bool:
            ahead = [pruner.epoch_windows(e, epochs) for e in range(len(records), epochs)]
            costs = [cost(windows) for windows in ahead]
            slack = costs[-1] / 2 if costs and self.kind == "total_time" else 0.0
            return spent + sum(costs) <= limit + slack

        done = max(1, len(records))
        if records and records[-1].validation_mae is None:
            done += 1  # the last epoch is always validated
        epochs, step = max(done, pruner.epochs), 1
        if affordable(epochs) and not self._annealing(pruner, len(records)):
            while affordable(epochs + step):
                epochs += step
                step *= 2
            while (step := step // 2) > 0:
                epochs += step if affordable(epochs + step) else 0
        while epochs > done and not affordable(epochs):
            epochs -= 1
        pruner.epochs = epochs

    def planned_epochs(self, pruner: Pruner) -> int:
        """Epochs that the run trains in all."""
        return pruner.planned_epochs() if self.kind == "epochs" else pruner.epochs

    def share(self, records: Sequence[EpochRecord], preparation: float) -> float:
        """What was spent over what full training spends; 1 is equal. Needs one epoch at least."""
        limit = self.epochs * self._cost_of_epoch(records)(self.windows)
        return self._spent(records, preparation) / limit

    def schedule_epoch(self, records: Sequence[EpochRecord], preparation: float) -> int:
        """Epochs of full training that the learning rate's schedule has completed."""
        if self.kind == "epochs":
            return len(records)
        return math.floor(self.epochs * min(1.0, self.share(records, preparation)) + TOLERANCE)

    def _cost_of_epoch(self, records: Sequence[EpochRecord]) -> Callable[[int], float]:
        """What an epoch costs by its windows; in seconds as the mean over the epochs so far."""
        if self.kind == "epochs":
            return lambda windows: 1.0
        if self.kind == "total_windows":
            return float
        if self.kind == "steps":
            return lambda windows: float(math.ceil(windows / self.batch_size))
        validations = [r.validation_seconds for r in records if r.validation_mae is not None]
        validation = mean(validations) / self.validate_every if validations else 0.0
        training = sum(r.data_seconds + r.step_seconds for r in records)
        a_window = training / sum(r.windows for r in records)
        an_epoch = validation + mean(r.checkpoint_seconds for r in records)
        pruning = mean(r.scoring_seconds + r.selection_seconds for r in records)

        def seconds(windows: int) -> float:
            return an_epoch + a_window * windows + (pruning if windows < self.windows else 0.0)

        return seconds

    def _spent(self, records: Sequence[EpochRecord], preparation: float) -> float:
        if self.kind == "epochs":
            return float(len(records))
        if self.kind == "total_windows":
            return float(sum(r.windows for r in records))
        if self.kind == "steps":
            return float(sum(r.gradient_steps for r in records))
        parts = (r.train_seconds + r.validation_seconds + r.checkpoint_seconds for r in records)
        return preparation + sum(parts)

    def _annealing(self, pruner: Pruner, done: int) -> bool:
        """Whether the return to full data has begun, which must not be undone."""
        if done < 2:
            return False
        last = pruner.epoch_windows(done - 1, pruner.epochs)
        return last > pruner.epoch_windows(1, pruner.epochs) or last == self.windows


def run_cost(
    epochs: list[EpochRecord],
    budget: TrainingBudget,
    prune_ratio: float,
    preparation_seconds: float,
    **measured: float | None,
) -> Cost:
    """Add up a run's epochs; ``measured`` are the other fields of its cost, taken as they are."""
    n = budget.windows
    full = [epoch for epoch in epochs if epoch.windows >= n]
    counted = [epoch for epoch in epochs if epoch.windows < n] or full
    visited = sum(epoch.windows for epoch in epochs)
    parts = ("train_seconds", "validation_seconds", "checkpoint_seconds")
    seconds = {part: sum(getattr(epoch, part) for epoch in epochs) for part in parts}
    seconds["train_seconds"] = preparation_seconds + seconds["train_seconds"]
    values = {
        "budget": budget.kind,
        "budget_share": budget.share(epochs, preparation_seconds),
        "epochs": len(epochs),
        "gradient_steps": sum(epoch.gradient_steps for epoch in epochs),
        "windows_visited": visited,
        "training_windows": n,
        "nominal_keep_ratio": 1.0 - prune_ratio,
        "realised_keep_ratio": sum(e.windows for e in counted) / len(counted) / n,
        "overall_keep_ratio": visited / (n * budget.epochs),
        "preparation_seconds": preparation_seconds,
        "epoch_seconds": median(epoch.train_seconds for epoch in counted),
        "full_epoch_seconds": median(e.train_seconds for e in full) if full else None,
        "overhead_seconds": median(e.scoring_seconds + e.selection_seconds for e in counted),
        **seconds,
        "total_seconds": sum(seconds.values()),
    }
    return Cost.model_validate(values | measured)


def peak_memory_bytes(device: torch.device) -> int:
    """Peak memory of the device, or of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource  # not on Windows

    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
