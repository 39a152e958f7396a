"""What a run takes: the windows that it visits times what a window costs.

The first is counted by the parts that do it (splits of the protocol, `epoch_windows` of the pruner,
epochs of the budget), the second read from records of like runs, or measured on a batch of noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
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
from stprune.training.evaluation import RULES
from stprune.training.optimisation import build_optimiser, planned_steps

# Largest graph that is measured. The cost of a larger one is taken to grow with its nodes; graph
# products grow faster, and would not fit in the memory of every machine.
MOST_NODES = 200
# Values of a measured batch on a processor: 2 windows of 12 steps of 200 nodes.
PROCESSOR_VALUES = 2 * 12 * 200
# Edges from each node of the made-up graph; road graphs have 2 to 4.
LINKS = 4
# Records of a cell that are read; seeds hardly differ.
RECORDS = 20


class Windows(NamedTuple):
    """Windows of the three splits of a run."""

    train: int
    validation: int
    test: int


class Workload(NamedTuple):
    """What one run does; scoring models of a static pruner count as windows, but not as steps."""

    epochs: int
    steps: int
    trained: int
    evaluated: int


class WindowCost(NamedTuple):
    """Seconds to train on a window once and to evaluate one; peak memory of a run, 0: not known."""

    train: float
    evaluate: float
    parameters: int
    peak_bytes: int = 0

    def seconds(self, work: Workload) -> float:
        """Time of a run."""
        return work.trained * self.train + work.evaluated * self.evaluate


def nodes_of(spec: RunSpec, data: DataLayout) -> int:
    """N; of a union, of its largest data set."""
    parts = [(part.dataset, part.node_stride) for part in spec.subset.union]
    parts = parts or [(spec.dataset, spec.subset.node_stride)]
    return max(-(-load_card(name, data.root).nodes // stride) for name, stride in parts)


def run_windows(spec: RunSpec, data: DataLayout) -> Windows:
    """Windows of a run, from the cards, or from the time axis of what is prepared.

    Raises:
        ConfigError: If the part of a data set is too small for the task.
    """
    subset = spec.subset
    if not subset.union:
        return _windows(spec, spec.dataset, subset, data)
    parts = [_windows(spec, member.dataset, member, data) for member in subset.union]
    tested = parts
    if subset.task == "transfer":
        tested = [_windows(spec, member.dataset, member, data) for member in subset.zero_shot]
    return Windows(
        sum(part.train for part in parts),
        sum(part.validation for part in parts),
        sum(part.test for part in tested),
    )


def _windows(
    spec: RunSpec, dataset: str, part: DatasetEntry | MemberEntry, data: DataLayout
) -> Windows:
    card = load_card(dataset, data.root)
    path = data.processed(dataset) / "timestamps.npy"
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


def recorded_cost(spec: RunSpec, layout: ExperimentLayout) -> WindowCost | None:
    """What a window cost the runs of the same cell and settings that have a record, if any.

    Times are those of the first, memory is the highest of some 20.
    """
    costs: list[WindowCost] = []
    wanted = _timed_settings(spec.resolved())
    records = sorted(layout.run(spec.key).parents[2].glob("*/p*/s*/metrics.json"))
    for metrics in islice(records, RECORDS):
        try:
            record, epochs = read_record(metrics), read_epochs(metrics.with_name("epochs.csv"))
        except StpruneError:
            continue  # its block trains it again
        validated = epochs["validation_mae"].count() * record.data.get("validation_windows", 0)
        worked = (epochs["data_seconds"] + epochs["step_seconds"]).sum()
        if _timed_settings(record.config) == wanted and validated and worked:
            cost = WindowCost(
                worked / epochs["windows"].sum(),
                epochs["validation_seconds"].sum() / validated,
                record.parameters,
                # On a GPU the recorded peak is the device's.
                record.cost.peak_memory_bytes if record.environment.get("device") == "cpu" else 0,
            )
            costs.append(cost)
    if not costs:
        return None
    return costs[0]._replace(peak_bytes=max(cost.peak_bytes for cost in costs))


def _timed_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    names = ("history", "horizon", "batch_size", "evaluation_batch_size")
    training = {name: config.get("training", {}).get(name) for name in names}
    return {name: config.get(name) for name in ("dataset", "backbone", "compute")} | training


def measured_cost(spec: RunSpec, data: DataLayout, nodes: int) -> WindowCost | str:
    """Train a run's model on a batch of noise of ``nodes`` nodes, and evaluate one.

    Returns:
        What a window costs, or in one line why that cannot be measured.
    """
    try:
        return _measure(spec, data, nodes)
    except Exception as error:  # a device that is absent, or without memory: any library's
        return " ".join(str(error).split())[:200] or type(error).__name__


def _measure(spec: RunSpec, data: DataLayout, nodes: int) -> WindowCost:
    compute, training = spec.compute, spec.training
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
    """Time of a second step: the first loads parts of torch."""
    for _ in range(2):
        start = perf_counter()
        step().sum().item()  # waits for the device
    return perf_counter() - start
