"""What runs will have to do: windows, epochs, gradient steps, and what a pruner does before them.

Everything is asked of the parts that do it: splits of the protocol, `epoch_windows` and `prepare`
of the pruner, the epochs of the budget. No data set has to be there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stprune.backbones.base import BACKBONES
from stprune.base.layout import DataLayout
from stprune.base.settings import DatasetEntry, MemberEntry
from stprune.config.grid import RunSpec
from stprune.data.card import DatasetCard, load_card
from stprune.data.protocol import cut_splits
from stprune.data.tasks.base import build_task
from stprune.data.windows import window_starts
from stprune.pruning.base import PRUNERS, Gradients, Observer, Probe, Pruner, PruningContext, budget
from stprune.pruning.probe import NoProbe
from stprune.records.run import EpochRecord
from stprune.training.budget import TrainingBudget
from stprune.training.metric_rules import RULES
from stprune.training.optimisation import planned_steps
from stprune.training.union_engine import NO_SCORING_MODELS
from stprune.workflow.step_seconds import StepSeconds

# Windows of the stand-in that a static pruner chooses from while it is watched.
FEW = 64


@dataclass(frozen=True)
class Windows:
    """Windows of the three splits of a run."""

    train: int
    validation: int
    test: int


@dataclass
class Preparation:
    """What a pruner does before the first epoch, in passes over all training windows.

    Args:
        epochs: Epochs that scoring models are trained.
        evaluations: Passes forward only.
        gradients: Passes that differentiate each window's loss.
        validation_gradients: The same over the validation windows.
    """

    epochs: int = 0
    evaluations: int = 0
    gradients: int = 0
    validation_gradients: int = 0


@dataclass(frozen=True)
class Workload:
    """What one run does.

    Args:
        windows: Of its splits.
        epochs: That it trains.
        visited: Training windows in all epochs, with repetition.
        steps: Gradient steps, without those of scoring models.
        validations: Passes over the validation windows.
        preparation: Of its pruner.
    """

    windows: Windows
    epochs: int
    visited: int
    steps: int
    validations: int
    preparation: Preparation = field(default_factory=Preparation)

    def seconds(self, step: StepSeconds) -> float:
        """Time of the run by what a window costs; what that leaves out says `planning.plan`."""
        ready, windows = self.preparation, self.windows
        trained = self.visited + (ready.epochs + ready.gradients) * windows.train
        trained += ready.validation_gradients * windows.validation
        evaluated = ready.evaluations * windows.train
        evaluated += self.validations * windows.validation + windows.test
        return trained * step.train + evaluated * step.evaluate


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


def time_axis(dataset: str, card: DatasetCard, layout: DataLayout) -> NDArray[np.datetime64]:
    """(steps,) datetime64[s] of the prepared data set; else as if it had no breaks."""
    path = layout.processed(dataset) / "timestamps.npy"
    if path.exists():
        prepared: NDArray[np.datetime64] = np.load(path, allow_pickle=False)
        if len(prepared) == card.steps:
            return prepared
    step = np.timedelta64(60 * card.step_minutes, "s")
    start = np.datetime64(card.start.replace(tzinfo=None), "s")
    regular: NDArray[np.datetime64] = start + np.arange(card.steps) * step
    return regular


def _windows(
    spec: RunSpec, dataset: str, part: DatasetEntry | MemberEntry, layout: DataLayout
) -> Windows:
    card = load_card(dataset, layout.root)
    times = time_axis(dataset, card, layout)
    if part.days is not None:
        dates = times.astype("datetime64[D]")
        days = np.unique(dates)[: part.days]
        times = times[dates <= days[-1]]
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


def run_workload(spec: RunSpec, windows: Windows, step: StepSeconds | None = None) -> Workload:
    """What the run does.

    Args:
        spec: The run; its seed does not matter.
        windows: Of its splits.
        step: What a window costs; only a budget of total time depends on it, and without it
            such a run is taken for as many epochs as full training.
    """
    training = spec.training
    if not BACKBONES.load(spec.backbone).trains:
        return Workload(windows, 1, 0, 0, 1, Preparation(evaluations=1))
    context = PruningContext(
        windows=windows.train,
        epochs=training.epochs,
        prune_ratio=spec.key.prune_ratio,
        seed=0,
        adjacency=torch.zeros(1, 1),
        stationarity=np.arange(windows.train, dtype=np.float32),
    )
    pruner = PRUNERS.load(spec.pruner)(context, spec.pruner_options)
    limits = TrainingBudget(training, windows.train)
    preparation = _preparation(spec, context)
    limits.plan(pruner, (), 0.0)
    if training.budget == "total_time" and step is not None:
        ready = Workload(Windows(windows.train, windows.validation, 0), 0, 0, 0, 0, preparation)
        first = _first_epoch(pruner, windows, step)
        limits.plan(pruner, [first], ready.seconds(step))
    epochs = limits.planned_epochs(pruner)
    drops = RULES[spec.protocol].drops_partial_batches
    return Workload(
        windows,
        epochs,
        sum(pruner.epoch_windows(epoch, pruner.epochs) for epoch in range(epochs)),
        sum(planned_steps(pruner, range(epochs), training.batch_size, drops)),
        epochs // training.validate_every + bool(epochs % training.validate_every),
        preparation,
    )


def _first_epoch(pruner: Pruner, windows: Windows, step: StepSeconds) -> EpochRecord:
    """The first epoch as it would be recorded, for a budget that plans by the clock."""
    count = pruner.epoch_windows(0, pruner.epochs)
    train, validation = count * step.train, windows.validation * step.evaluate
    return EpochRecord(
        epoch=0,
        windows=count,
        keep_ratio=count / windows.train,
        gradient_steps=0,
        learning_rate=0.0,
        train_loss=0.0,
        validation_mae=0.0,
        data_seconds=0.0,
        step_seconds=train,
        scoring_seconds=0.0,
        selection_seconds=0.0,
        train_seconds=train,
        validation_seconds=validation,
        checkpoint_seconds=0.0,
        elapsed_seconds=train + validation,
    )


def _preparation(spec: RunSpec, context: PruningContext) -> Preparation:
    """Watch the pruner choose from a few windows of noise: its passes do not depend on n."""
    counted = Preparation()
    if budget(context.windows, context.keep_ratio) == context.windows:
        return counted
    few = PruningContext(
        windows=FEW,
        epochs=context.epochs,
        prune_ratio=0.5,
        seed=0,
        adjacency=context.adjacency,
        stationarity=np.arange(FEW, dtype=np.float32),
    )
    probe: Probe = CountingProbe(counted)
    if spec.subset.union:
        probe = NoProbe(spec.pruner, NO_SCORING_MODELS)
    PRUNERS.load(spec.pruner)(few, spec.pruner_options).prepare(probe)
    return counted


class CountingProbe:
    """Trains nothing, but counts what it is asked for; see `stprune.pruning.base.Probe`.

    Args:
        counted: Where to.
    """

    def __init__(self, counted: Preparation) -> None:
        self.counted = counted
        self.generator = torch.Generator().manual_seed(0)

    def train(self, epochs: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Noise for errors."""
        self.counted.epochs += epochs
        self.counted.evaluations += 1
        yield self._errors()

    def watch(self, epochs: int, seed: int, observe: Observer) -> None:
        """Noise for errors, once an epoch."""
        self.counted.epochs += epochs
        for _ in range(epochs):
            observe(*self._errors())

    def gradients(self, epochs: int, seed: int, width: int | None) -> Gradients:
        """Noise for gradients."""
        self.counted.epochs += epochs

        def training() -> Iterator[tuple[Tensor, Tensor]]:
            self.counted.gradients += 1
            yield torch.arange(FEW), self._noise(FEW, width or 8)

        def validation() -> Iterator[Tensor]:
            self.counted.validation_gradients += 1
            yield self._noise(FEW, width or 8)

        return Gradients(training(), validation())

    def _errors(self) -> tuple[Tensor, Tensor, Tensor]:
        mask = torch.ones(FEW, 1, 1, dtype=torch.bool)
        return torch.arange(FEW), self._noise(FEW, 1, 1), mask

    def _noise(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator)
