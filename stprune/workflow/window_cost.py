"""What a window costs, to train on and to evaluate: as recorded, or measured on noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from multiprocessing import TimeoutError, get_context
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import psutil
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from stprune.backbones.base import BACKBONES, ForecastTask, parameter_count
from stprune.base.layout import DataLayout, ExperimentLayout
from stprune.config.grid import RunSpec
from stprune.data.card import load_card
from stprune.records.run import RunRecord, read_epochs, read_record
from stprune.training.devices import available_cores, fabric_on
from stprune.training.optimisation import build_optimiser
from stprune.training.provenance import environment

# Edges from each node of the made-up graph; road graphs have 2 to 4.
LINKS = 4
# Values that a batch may hold when it is measured on a processor: 64 windows of 12 steps of 207
# nodes. Of a larger graph fewer windows are taken.
PROCESSOR_VALUES = 64 * 12 * 207
# A first step that takes longer is not repeated.
SLOW_SECONDS = 3.0
# Of the memory that is free, what measuring may take.
MEMORY_SHARE = 0.7


@dataclass(frozen=True)
class WindowCost:
    """Seconds to train on a window once and to evaluate one; parameters of the model."""

    train: float
    evaluate: float
    parameters: int


def nodes_of(spec: RunSpec, data: DataLayout) -> int:
    """N; of a union, of its largest data set."""
    if not spec.subset.union:
        return -(-load_card(spec.dataset, data.root).nodes // spec.subset.node_stride)
    sizes = ((load_card(m.dataset, data.root).nodes, m.node_stride) for m in spec.subset.union)
    return max(-(-nodes // stride) for nodes, stride in sizes)


def recorded_cost(
    spec: RunSpec, layout: ExperimentLayout, *, any_machine: bool = False
) -> WindowCost | None:
    """What a window cost the first run of the same cell and settings that has a record.

    Args:
        spec: A run of the cell.
        layout: Where the records lie.
        any_machine: Take one of another processor too.
    """
    for metrics, record in records_like(spec, layout):
        here = record.environment.get("processor") == environment()["processor"]
        epochs = read_epochs(metrics.with_name("epochs.csv"))
        validated = epochs["validation_mae"].count() * record.data.get("validation_windows", 0)
        worked = (epochs["data_seconds"] + epochs["step_seconds"]).sum()
        if (here or any_machine) and validated and worked:
            evaluate = epochs["validation_seconds"].sum() / validated
            return WindowCost(worked / epochs["windows"].sum(), evaluate, record.parameters)
    return None


def records_like(spec: RunSpec, layout: ExperimentLayout) -> Iterator[tuple[Path, RunRecord]]:
    """Records of the same data set, backbone and settings, and their files."""
    wanted = _timed_settings(spec.resolved())
    for metrics in sorted(layout.run(spec.key).parents[2].glob("*/p*/s*/metrics.json")):
        record = read_record(metrics)
        if _timed_settings(record.config) == wanted:
            yield metrics, record


def _timed_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    names = ("history", "horizon", "batch_size", "evaluation_batch_size")
    training = {name: config.get("training", {}).get(name) for name in names}
    return {name: config.get(name) for name in ("dataset", "backbone", "compute")} | training


def measure_costs(
    specs: Mapping[tuple[str, str], RunSpec], data: DataLayout, seconds: float
) -> dict[tuple[str, str], WindowCost | str]:
    """Measure as many cells as ``seconds`` allow, each backbone's smallest graph first.

    Args:
        specs: One run of each cell, by data set and backbone.
        data: Where cards of the user's own lie.
        seconds: For how long, once torch is imported.

    Returns:
        What was measured, or in one line why it cannot be; nothing of the rest.
    """
    measured: dict[tuple[str, str], WindowCost | str] = {}
    if not specs or seconds <= 0:
        return measured
    sizes = {place: nodes_of(spec, data) for place, spec in specs.items()}
    by_backbone: dict[str, list[tuple[str, str]]] = {}
    for place in sorted(specs, key=sizes.__getitem__):
        by_backbone.setdefault(place[1], []).append(place)
    order = [place for rank in zip_longest(*by_backbone.values()) for place in rank if place]
    # A large graph can take minutes to set up: the process is ended when the time is over.
    with get_context("spawn").Pool(1, _limit_memory) as pool:
        pool.apply(nodes_of, (next(iter(specs.values())), data))
        end = monotonic() + seconds
        answers = {place: pool.apply_async(measured_cost, (specs[place], data)) for place in order}
        for place, answer in answers.items():
            try:
                measured[place] = answer.get(max(0.0, end - monotonic()))
            except TimeoutError:
                break
    return measured


def _limit_memory() -> None:
    """Let a model that is too large fail here, and not whatever else runs on the machine."""
    import resource

    most = int(psutil.virtual_memory().available * MEMORY_SHARE)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


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
    optimiser = build_optimiser(network, spec.optimisation)
    model, optimiser = fabric.setup(network, optimiser)
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
    """Of a step after a first one, which loads what torch loads late; of a slow one, of itself."""
    for _ in range(2):
        start = perf_counter()
        step().sum().item()  # waits for the device
        taken = perf_counter() - start
        if taken > SLOW_SECONDS:
            break
    return taken
