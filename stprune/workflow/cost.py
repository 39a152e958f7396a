"""What a run takes: the windows that it visits times what a window costs.

How many windows it visits is counted by the parts that do it: the splits of the protocol,
`epoch_windows` of the pruner, the epochs of the budget. The data set need not be prepared. What a
window costs is read from records of like runs, or measured on noise of the same size.
"""

from __future__ import annotations

import logging
import resource
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from multiprocessing import TimeoutError, get_context
from time import monotonic, perf_counter
from typing import Any, NamedTuple

import numpy as np
import psutil
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from stprune.backbones.base import BACKBONES, ForecastTask, parameter_count
from stprune.base.errors import StpruneError
from stprune.base.layout import DataLayout, ExperimentLayout
from stprune.base.settings import DatasetEntry, MemberEntry
from stprune.config.grid import RunSpec
from stprune.data.card import load_card
from stprune.data.dataset import cut_splits
from stprune.data.tasks.base import build_task
from stprune.data.windows import window_starts
from stprune.pruning.base import PRUNERS, PruningContext
from stprune.records.run import read_epochs, read_record
from stprune.training.budget import TrainingBudget
from stprune.training.devices import available_cores, fabric_on
from stprune.training.optimisation import build_optimiser, planned_steps
from stprune.training.provenance import environment

logger = logging.getLogger(__name__)

# Edges from each node of the made-up graph; road graphs have 2 to 4.
LINKS = 4
# Values of a measured batch on a processor: 64 windows of 12 steps of 207 nodes. Of a larger graph
# fewer windows are taken.
PROCESSOR_VALUES = 64 * 12 * 207
# A first step that takes longer is not repeated.
SLOW_SECONDS = 3.0
# Share of the free memory that measuring may take.
MEMORY_SHARE = 0.7

# Data set and backbone, by their entries in the configuration.
Place = tuple[str, str]


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


class WindowCost(NamedTuple):
    """Seconds to train on a window once and to evaluate one; parameters of the model.

    ``peak_bytes`` is the memory of the run that it was recorded from; 0 if not known.
    """

    train: float
    evaluate: float
    parameters: int
    peak_bytes: int = 0

    def seconds(self, work: Workload) -> float:
        """Time of a run."""
        return work.trained * self.train + work.evaluated * self.evaluate


def nodes_of(spec: RunSpec, data: DataLayout) -> int:
    """N; of a union, of its largest data set."""
    if not spec.subset.union:
        return -(-load_card(spec.dataset, data.root).nodes // spec.subset.node_stride)
    sizes = ((load_card(m.dataset, data.root).nodes, m.node_stride) for m in spec.subset.union)
    return max(-(-nodes // stride) for nodes, stride in sizes)


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
    drops = spec.protocol == "legacy"
    visited = sum(pruner.epoch_windows(epoch, pruner.epochs) for epoch in range(epochs))
    # A pass over all windows to score them is about an evaluation.
    evaluated = windows.test + (models * windows.train if scoring else 0)
    evaluated += -(-epochs // training.validate_every) * windows.validation
    steps = sum(planned_steps(pruner, range(epochs), training.batch_size, drops))
    return Workload(epochs, steps, scoring + visited, evaluated)


def recorded_costs(
    spec: RunSpec, layout: ExperimentLayout, *, any_machine: bool = False
) -> Iterator[WindowCost]:
    """What a window cost the runs of the same cell and settings that have a record.

    Args:
        spec: A run of the cell.
        layout: Where the records lie.
        any_machine: Take those of other processors too.
    """
    wanted, here = _timed_settings(spec.resolved()), environment()["processor"]
    for metrics in sorted(layout.run(spec.key).parents[2].glob("*/p*/s*/metrics.json")):
        try:
            record, epochs = read_record(metrics), read_epochs(metrics.with_name("epochs.csv"))
        except StpruneError as error:
            logger.warning("%s; it does not count for what runs take", error)
            continue
        if not any_machine and record.environment.get("processor") != here:
            continue
        validated = epochs["validation_mae"].count() * record.data.get("validation_windows", 0)
        worked = (epochs["data_seconds"] + epochs["step_seconds"]).sum()
        if _timed_settings(record.config) == wanted and validated and worked:
            yield WindowCost(
                worked / epochs["windows"].sum(),
                epochs["validation_seconds"].sum() / validated,
                record.parameters,
                # On a GPU the recorded peak is the device's.
                record.cost.peak_memory_bytes if record.environment.get("device") == "cpu" else 0,
            )


def _timed_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    names = ("history", "horizon", "batch_size", "evaluation_batch_size")
    training = {name: config.get("training", {}).get(name) for name in names}
    return {name: config.get(name) for name in ("dataset", "backbone", "compute")} | training


def measure_costs(
    specs: Mapping[Place, RunSpec], data: DataLayout, seconds: float
) -> dict[Place, WindowCost | str]:
    """Measure as many cells as ``seconds`` allow, each backbone's smallest graph first.

    Args:
        specs: One run of each cell.
        data: Where cards of the user's own lie.
        seconds: For how long, once torch is imported.

    Returns:
        What was measured, or in one line why it cannot be; nothing of the rest.
    """
    measured: dict[Place, WindowCost | str] = {}
    if not specs or seconds <= 0:
        return measured
    by_backbone: dict[str, list[Place]] = {}
    for place in sorted(specs, key=lambda place: nodes_of(specs[place], data)):
        by_backbone.setdefault(place[1], []).append(place)
    order = [place for rank in zip_longest(*by_backbone.values()) for place in rank if place]
    # A model that is too large fails in the pool, and not whatever else runs on the machine.
    most = int(psutil.virtual_memory().available * MEMORY_SHARE)
    limit = (resource.RLIMIT_DATA, (most, most))
    # A large graph can take minutes to set up: the process is ended when the time is over.
    with get_context("spawn").Pool(1, resource.setrlimit, limit) as pool:
        pool.apply(nodes_of, (specs[order[0]], data))  # imports torch
        end = monotonic() + seconds
        answers = {place: pool.apply_async(measured_cost, (specs[place], data)) for place in order}
        for place, answer in answers.items():
            try:
                measured[place] = answer.get(max(0.0, end - monotonic()))
            except TimeoutError:
                break
    return measured


def measured_cost(spec: RunSpec, data: DataLayout) -> WindowCost | str:
    """Train a run's model on a batch of noise and evaluate one; a union's on its largest graph.

    Returns:
        What a window costs, or in one line why that cannot be measured.
    """
    try:
        return _measure(spec, data)
    except Exception as error:  # a device that is absent, or without memory: any library's
        return " ".join(str(error).split())[:200] or type(error).__name__


def _measure(spec: RunSpec, data: DataLayout) -> WindowCost:
    compute, training, nodes = spec.compute, spec.training, nodes_of(spec, data)
    card = load_card(spec.cards[0], data.root)
    channels = 1 if spec.subset.union else len(card.channels)
    fabric = fabric_on(compute.accelerator, precision=compute.precision)
    threads = min(compute.threads, len(available_cores()))
    torch.set_num_threads(threads)
    size = training.batch_size
    if fabric.device.type == "cpu":
        size = max(1, min(size, PROCESSOR_VALUES // (nodes * training.history)))
    task = ForecastTask(
        nodes=nodes,
        history=training.history,
        horizon=training.horizon,
        channels=channels,
        target_channel=0,
        steps_per_day=24 * 60 // card.step_minutes,
        adjacency=(torch.rand(nodes, nodes) < LINKS / nodes).float(),
    )
    network = BACKBONES.load(spec.backbone)(task, spec.backbone_options)
    model, optimiser = fabric.setup(network, build_optimiser(network, spec.optimisation))
    history = torch.rand(size, training.history, nodes, channels, device=fabric.device)
    slots = torch.zeros(size, training.history, dtype=torch.int64, device=fabric.device)

    def train() -> Tensor:
        optimiser.zero_grad()
        loss = model(history, slots, slots).abs().mean()
        fabric.backward(loss)
        optimiser.step()
        return torch.as_tensor(loss).detach()

    @torch.no_grad()
    def evaluate() -> Tensor:
        forecast: Tensor = model(history, slots, slots)
        return forecast

    with threadpool_limits(threads):
        trained, evaluated = _seconds(train), _seconds(evaluate)
    return WindowCost(trained / size, evaluated / size, parameter_count(network))


def _seconds(step: Callable[[], Tensor]) -> float:
    """Time of a second step, since the first loads parts of torch; of a slow first, of itself."""
    for _ in range(2):
        start = perf_counter()
        step().sum().item()  # waits for the device
        taken = perf_counter() - start
        if taken > SLOW_SECONDS:
            break
    return taken
