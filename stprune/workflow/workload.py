"""What a run will do: windows, epochs and gradient steps; its data set need not be prepared.

The parts that do it say so themselves: the splits of the protocol, `epoch_windows` of the pruner,
the epochs of the budget.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from stprune.backbones.base import BACKBONES
from stprune.base.layout import DataLayout
from stprune.base.settings import DatasetEntry, MemberEntry
from stprune.config.grid import RunSpec
from stprune.data.card import load_card
from stprune.data.dataset import cut_splits
from stprune.data.tasks.base import build_task
from stprune.data.windows import window_starts
from stprune.pruning.base import PRUNERS, PruningContext
from stprune.training.budget import TrainingBudget
from stprune.training.evaluation import RULES
from stprune.training.optimisation import planned_steps


class Windows(NamedTuple):
    """Windows of the three splits of a run."""

    train: int
    validation: int
    test: int


class Workload(NamedTuple):
    """What one run does: epochs, gradient steps, windows trained on and windows evaluated.

    Scoring models of a static pruner count as windows, but not as steps.
    """

    epochs: int
    steps: int
    trained: int
    evaluated: int


def run_windows(spec: RunSpec, layout: DataLayout) -> Windows:
    """Windows of a run, from the cards, or from the time axis of what is prepared.

    Raises:
        ConfigError: If the part of a data set is too small for the task.
    """
    subset = spec.subset
    if not subset.union:
        return _windows(spec, spec.dataset, subset, layout)
    parts = [_windows(spec, member.dataset, member, layout) for member in subset.union]
    tested = parts
    if subset.task == "transfer":
        tested = [_windows(spec, member.dataset, member, layout) for member in subset.zero_shot]
    return Windows(
        sum(part.train for part in parts),
        sum(part.validation for part in parts),
        sum(part.test for part in tested),
    )


def _windows(
    spec: RunSpec, dataset: str, part: DatasetEntry | MemberEntry, layout: DataLayout
) -> Windows:
    card = load_card(dataset, layout.root)
    path = layout.processed(dataset) / "timestamps.npy"
    if path.exists():
        times = np.load(path, allow_pickle=False)
    else:  # as if the data set had no breaks
        start = np.datetime64(card.start.replace(tzinfo=None), "s")
        times = start + np.arange(card.steps) * np.timedelta64(60 * card.step_minutes, "s")
    if part.days is not None:
        dates = times.astype("datetime64[D]")
        times = times[dates <= np.unique(dates)[: part.days][-1]]
    task = build_task(spec.subset.task, spec.subset.task_options)
    length = task.window_length(spec.training.history, spec.training.horizon)
    starts = window_starts(times, length, card.step_minutes)
    splits = cut_splits(spec.protocol, starts, length, len(times), card.splits)
    stride = spec.subset.evaluation_stride
    return Windows(
        len(task.training_windows(splits)[:: part.window_stride]),
        len(splits.validation[::stride]),
        len(splits.test[::stride]),
    )


def run_workload(spec: RunSpec, windows: Windows) -> Workload:
    """What the run does on ``windows``; its seed does not matter.

    A budget of total time is taken for one of windows trained on, scoring models included.
    """
    training, options = spec.training, spec.pruner_options
    if not BACKBONES.load(spec.backbone).trains:
        return Workload(epochs=1, steps=0, trained=0, evaluated=sum(windows))
    context = PruningContext(
        windows=windows.train,
        epochs=training.epochs,
        prune_ratio=spec.key.prune_ratio,
        seed=0,
        adjacency=torch.zeros(1, 1),
        stationarity=np.arange(windows.train, dtype=np.float32),
    )
    pruner = PRUNERS.load(spec.pruner)(context, options)
    models = getattr(options, "scoring_seeds", 1)
    scoring = models * getattr(options, "scoring_epochs", 0) * windows.train
    epochs = training.epochs
    if training.budget == "total_time":
        each = sum(pruner.epoch_windows(epoch, epochs) for epoch in range(epochs)) / epochs
        epochs = pruner.epochs = max(1, round((epochs * windows.train - scoring) / each))
    else:
        limits = TrainingBudget(training, windows.train)
        limits.plan(pruner, (), 0.0)
        epochs = limits.planned_epochs(pruner)
    drops = RULES[spec.protocol].drops_partial_batches
    visited = sum(pruner.epoch_windows(epoch, pruner.epochs) for epoch in range(epochs))
    # A pass over all windows to score them is about an evaluation.
    evaluated = windows.test + (models * windows.train if scoring else 0)
    evaluated += -(-epochs // training.validate_every) * windows.validation
    steps = sum(planned_steps(pruner, range(epochs), training.batch_size, drops))
    return Workload(epochs, steps, scoring + visited, evaluated)
