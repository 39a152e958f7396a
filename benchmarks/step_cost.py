"""What a training step of a model costs: seconds, floating-point operations, peak memory.

Everything is measured in processes of its own, so that one model's memory, threads and compiled
code do not touch the next one's figures. A step is forward, mean absolute error, backward, a clip
of the gradient norm and one step of Adam, the same for every model; forward and backward by as
many windows at a time as a run would take.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.own_process import own_process, resident
from benchmarks.peers import peer
from stprune.backbones.base import BACKBONES, Backbone, ForecastTask, parameter_count
from stprune.base.errors import StpruneError
from stprune.published_forms import published_form

Form = Literal["ours", "published", "peer", "compiled", "bf16"]
LEAST_ROUNDS = 2


class NoCompilerError(StpruneError):
    """The machine cannot compile models."""


@dataclass(frozen=True)
class StepSize:
    """What is trained on, and how long is measured.

    Args:
        nodes: N, in a random directed graph.
        edges: Edges of that graph.
        batch: Windows a step.
        steps: Input steps, and forecast steps.
        steps_per_day: Slots of a day.
        threads: Threads of torch.
        rounds: Most steps of each model that are timed.
        seconds: No round begins after so long, once there were two.
        slow_seconds: A model whose first step takes longer is measured at a quarter of the
            batch, if it has nothing to be compared with.
    """

    nodes: int = 170
    edges: int = 295
    batch: int = 64
    steps: int = 12
    steps_per_day: int = 288
    threads: int = 2
    rounds: int = 9
    seconds: float = 8.0
    slow_seconds: float = 10.0

    def task(self) -> ForecastTask:
        """One measured channel on the random graph, weights 1, no self-loops."""
        generator = torch.Generator().manual_seed(0)
        pairs = torch.randperm(self.nodes * (self.nodes - 1), generator=generator)[: self.edges]
        source, target = pairs // (self.nodes - 1), pairs % (self.nodes - 1)
        adjacency = torch.zeros(self.nodes, self.nodes)
        adjacency[source, target + (target >= source)] = 1.0
        return ForecastTask(self.nodes, self.steps, self.steps, 1, 0, self.steps_per_day, adjacency)


@dataclass(frozen=True)
class StepCost:
    """What one form of a model costs.

    Args:
        form: Which form.
        batch: Windows a step, as measured.
        parameters: Trainable ones.
        operations: Of a step, as torch's counter counts; 0 if not counted.
        seconds: Median of the timed steps.
        of_ours: Median over rounds of the step's time by that of our form in the same round.
    """

    form: Form
    batch: int
    parameters: int
    operations: int
    seconds: float
    of_ours: float


class Subject:
    """A model in one form, with a batch and an optimiser."""

    def __init__(self, name: str, form: Form, size: StepSize) -> None:
        torch.manual_seed(0)
        task, backbone_class = size.task(), BACKBONES.load(name)
        options = backbone_class.Options()
        shape = (size.batch, size.steps, size.nodes)
        minutes = torch.randint(7 * size.steps_per_day, (size.batch, 1)) + torch.arange(size.steps)
        slots, weekdays = minutes % size.steps_per_day, minutes // size.steps_per_day % 7
        values = torch.randn(*shape, 1)
        self.model: nn.Module
        self.windows = size.batch
        self.arguments: tuple[Tensor, ...] = (values, slots, weekdays)
        if form == "published":
            self.model = published_form(name, task, options)
            self.arguments = (_features(values, slots, weekdays, size),)
        elif form == "peer":
            self.model = peer(name, task)
            self.arguments = (_features(values, slots, weekdays, size),)
        else:
            network = backbone_class(task, options)
            self.model, self.windows = network, network.micro_batch() or size.batch
        self.target = torch.randn(*shape)
        self.forecast: Callable[..., Tensor] = (
            torch.compile(self.model) if form == "compiled" else self.model
        )
        self.precision: Callable[[], AbstractContextManager[Any]] = (
            (lambda: torch.autocast("cpu", torch.bfloat16)) if form == "bf16" else nullcontext
        )
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-3, weight_decay=1e-4)

    def step(self) -> float:
        """Seconds of one training step."""
        start = time.perf_counter()
        self.optimiser.zero_grad()
        arguments = zip(*(argument.split(self.windows) for argument in self.arguments), strict=True)
        for inputs, target in zip(arguments, self.target.split(self.windows), strict=True):
            with self.precision():
                errors = (self.forecast(*inputs) - target).abs()
                loss = errors.mean() * (len(target) / len(self.target))
            loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimiser.step()
        return time.perf_counter() - start


@dataclass(frozen=True)
class Begun:
    """What the first step of a model tells, in which a compiled one is compiled."""

    seconds: float
    operations: int
    parameters: int


class _Measured:
    """The model that this process measures, once it has begun."""

    subject: ClassVar[Subject]


def step_costs(name: str, forms: tuple[Form, ...], size: StepSize) -> list[StepCost]:
    """Time the forms of a backbone in turn, so that a slow moment touches all of them.

    Each has a process of its own: what one asks of the allocator would decide how long another
    waits for its memory.

    Args:
        name: Id of the backbone.
        forms: What to measure, ours first.
        size: Of the task and of the measurement.
    """
    with ExitStack() as stack:
        processes = [stack.enter_context(own_process()) for _ in forms]
        begun = [
            process.submit(_begin, name, form, size).result()
            for process, form in zip(processes, forms, strict=True)
        ]
        slow = len(forms) == 1 and begun[0].seconds > size.slow_seconds and size.batch >= 4
        rounds: list[list[float]] = []
        start = time.perf_counter()
        while not slow and (
            len(rounds) < LEAST_ROUNDS
            or (len(rounds) < size.rounds and time.perf_counter() - start < size.seconds)
        ):
            rounds.append([process.submit(_timed_step).result() for process in processes])
    if slow:
        return step_costs(name, forms, replace(size, batch=size.batch // 4))
    return [
        StepCost(
            form,
            size.batch,
            begun[i].parameters,
            begun[i].operations,
            median(times[i] for times in rounds),
            median(times[i] / times[0] for times in rounds),
        )
        for i, form in enumerate(forms)
    ]


def _begin(name: str, form: Form, size: StepSize) -> Begun:
    """Build the model that this process measures, and train its first step."""
    torch.set_num_threads(size.threads)
    subject = _Measured.subject = Subject(name, form, size)
    counter = FlopCounterMode(display=False)
    counted = form in ("ours", "published", "peer")
    with counter if counted else nullcontext():
        seconds = _first_step(subject, form)
    operations = counter.get_total_flops() if counted else 0
    return Begun(seconds, operations, parameter_count(subject.model))


def _timed_step() -> float:
    """Seconds of one more step of the model that this process measures."""
    return _Measured.subject.step()


def peak_megabytes(name: str, form: Form, size: StepSize) -> float:
    """Largest resident memory of the first training step, above what was resident before it."""
    torch.set_num_threads(size.threads)
    subject = Subject(name, form, size)
    before = resident("VmRSS")
    subject.step()
    return (resident("VmHWM") - before) / 1e6


def _first_step(subject: Subject, form: Form) -> float:
    """Seconds of the first step, in which a compiled model is compiled."""
    try:
        return subject.step()
    except RuntimeError as error:
        if form != "compiled":
            raise
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise NoCompilerError(lines[0] if lines else type(error).__name__) from error


def _features(values: Tensor, slots: Tensor, weekdays: Tensor, size: StepSize) -> Tensor:
    day, week = slots / size.steps_per_day, weekdays / 7
    return torch.cat(
        [values, *(c[:, :, None, None].expand_as(values) for c in (day, week))], dim=-1
    )


def trains(name: str) -> bool:
    """Whether the backbone learns by gradients, so that it has steps to time."""
    backbone_class: type[Backbone] = BACKBONES.load(name)
    return backbone_class.trains
