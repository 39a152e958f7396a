"""What a training step costs: our backbones beside the form in which the public code writes them.

A step is forward, mean absolute error, backward and one step of Adam. Ours takes as many windows at
a time as its runs do (`compute.micro_batch`). The forms are timed in turn.
"""

import sys
import time
from importlib import import_module
from statistics import median
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from benchmarks.base import BenchResult, Goal, Row, main
from stprune.backbones.base import BACKBONES, ForecastTask

# Times faster than the public form.
LEAST_SPEED_UP = {"gwnet": 2.0, "staeformer": 2.0, "stgcn": 1.5, "stid": 1.3}
FORMS = ("ours", "public")


class Size(NamedTuple):
    """What is trained on: a thin random graph, windows of 12 + 12 steps; PEMS08 by default."""

    nodes: int = 170
    edges: int = 295
    batch: int = 64
    rounds: int = 5


class Subject:
    """A model in one form, with a batch and an optimiser."""

    def __init__(self, name: str, form: str, size: Size) -> None:
        torch.set_num_threads(2)
        torch.manual_seed(0)
        graph = torch.zeros(size.nodes, size.nodes)
        graph.view(-1)[torch.randperm(graph.numel())[: size.edges]] = 1.0
        task = ForecastTask(size.nodes, 12, 12, 1, 0, 288, graph)
        backbone_class = BACKBONES.load(name)
        ours = backbone_class(task, backbone_class.Options())
        values, self.target = torch.randn(2, size.batch, 12, size.nodes)
        steps = torch.randint(7 * 288, (size.batch, 1)) + torch.arange(12)
        self.model, self.windows = cast(nn.Module, ours), ours.micro_batch() or size.batch
        self.arguments: tuple[Tensor, ...] = (values[..., None], steps % 288, steps // 288 % 7)
        if form == "public":
            self.model = import_module(f"tests.oracles.{name}").Form(task, ours.options)
            self.windows, self.arguments = size.batch, (ours.calendar_inputs(*self.arguments),)
        self.optimiser = torch.optim.Adam(self.model.parameters())

    def step(self) -> float:
        """Seconds of one training step."""
        start = time.perf_counter()
        self.optimiser.zero_grad()
        arguments = zip(*(argument.split(self.windows) for argument in self.arguments), strict=True)
        for inputs, target in zip(arguments, self.target.split(self.windows), strict=True):
            errors = (self.model(*inputs) - target).abs()
            (errors.mean() * (len(target) / len(self.target))).backward()
        self.optimiser.step()
        return time.perf_counter() - start


def run(size: Size | None = None) -> BenchResult:
    """Measure the backbones whose public form is at hand."""
    size = size or Size()
    rows, goals = list[Row](), list[Goal]()
    for name, speed_up in LEAST_SPEED_UP.items():
        subjects = [Subject(name, form, size) for form in FORMS]
        # The first round warms up.
        rounds = [[subject.step() for subject in subjects] for _ in range(1 + size.rounds)][1:]
        share = median(ours / public for ours, public in rounds)
        row: Row = {"backbone": name, "of_public": share}
        rows.append(row | {"ours_s": median(ours for ours, _ in rounds)})
        goals.append(Goal(f"seconds of {name}, of public", share, 1 / speed_up))
    title = f"A training step: {size.nodes} nodes, {size.edges} edges, batch {size.batch}"
    return BenchResult(title, rows, goals)


if __name__ == "__main__":
    sys.exit(main(run))
