"""What an experiment will take, before anything starts, and what its blocks ask of a cluster.

A run takes the windows that it visits times what a window costs. The first is counted by the parts
that do it (splits of the protocol, `epoch_windows` of the pruner, epochs of the budget), the second
read from records of like runs, or measured on a batch of noise.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import groupby, islice
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor
from tqdm import tqdm

from stprune.backbones.base import BACKBONES, ForecastTask, parameter_count
from stprune.base.errors import StpruneError
from stprune.base.layout import DataLayout, ExperimentLayout, RunKey
from stprune.base.quantities import count, duration, size
from stprune.base.settings import DatasetEntry, MemberEntry
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import RunSpec, data_layout, experiment_layout, run_keys, run_spec
from stprune.data.card import load_card
from stprune.data.dataset import cut_splits
from stprune.data.tasks.base import build_task
from stprune.data.windows import window_starts
from stprune.pruning.base import PRUNERS, PruningContext
from stprune.records.run import read_epochs, read_record
from stprune.training.budget import TrainingBudget
from stprune.training.devices import available_cores, fabric_on
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
# Of a run's own files, about: its record and log, and a row of `epochs.csv` and of the log.
RECORD_BYTES, EPOCH_BYTES = 15_000, 400
NOTE = f"""\
Time of the runs without a record, one after another; >: and more that is not known. Left out:
selecting and scoring windows while training, choosing from scores, checkpoints, start-up, early
stops (`patience`), fetching and preparing data, tables and figures; of disk, raw and prepared data,
offline tracking and checkpoints. Scaled: measured on {MOST_NODES} nodes and taken to grow in
proportion to nodes, which may be far too little.
"""
# A node of a cluster may be slower or busier than the one that was recorded. A run that is ended by
# its time limit goes on from its checkpoint, so a request need not cover the worst case.
TIME_FACTOR = 3.0
# Starting Python and torch on a busy shared disk, and the wait for cores.
START_MINUTES = 10
UNKNOWN_MINUTES = 720
MEMORY_FACTOR = 1.5
# Snakemake runs beside the training, twice, with all that its rules import.
BESIDE_MB = 800
UNKNOWN_MB = 4000


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
    train, validation, test = map(sum, zip(*parts, strict=True))
    if subset.task == "transfer":
        tested = [_windows(spec, member.dataset, member, data) for member in subset.zero_shot]
        test = sum(part.test for part in tested)
    return Windows(train, validation, test)


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
    drops = spec.protocol == "legacy"  # partial batches
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


def measured_cost(spec: RunSpec, data: DataLayout, nodes: int) -> WindowCost:
    """Train a run's model on a batch of noise of ``nodes`` nodes, and evaluate one.

    Raises:
        Exception: Of any library, where the device is absent or has too little memory.
    """
    compute, training = spec.compute, spec.training
    card = load_card(spec.cards[0], data.root)
    channels = 1 if spec.subset.union else len(card.channels)
    fabric = fabric_on(compute.accelerator, precision=compute.precision)
    threads = min(compute.threads, len(available_cores()))
    torch.set_num_threads(threads)
    windows = training.batch_size
    if fabric.device.type == "cpu":
        windows = max(1, min(windows, PROCESSOR_VALUES // (nodes * training.history)))
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
    history = torch.rand(windows, training.history, nodes, channels, device=fabric.device)
    slots = torch.zeros(windows, training.history, dtype=torch.int64, device=fabric.device)

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
    return WindowCost(trained / windows, evaluated / windows, parameter_count(network))


def _seconds(step: Callable[[], Tensor]) -> float:
    """Time of a second step: the first loads parts of torch."""
    for _ in range(2):
        start = perf_counter()
        step().sum().item()  # waits for the device
    return perf_counter() - start


def make_plan(config: ExperimentConfig) -> pd.DataFrame:
    """Count what the runs do, and measure a batch of each cell that has no record.

    Returns:
        One row a data set and backbone: ``nodes``; training ``windows``; ``runs`` and how many are
        ``done``; gradient ``steps`` of all runs, without those of scoring models; ``seconds`` of
        the runs that are not done, NaN if not known; bytes of ``disk`` that all leave, at most;
        ``cost``, where that of a window is from, or why it is not known.

    Raises:
        StpruneError: If a run could not be: too few windows, or a pruner that declines.
    """
    data, layout = data_layout(config), experiment_layout(config)
    cells = [list(keys) for _, keys in groupby(run_keys(config), lambda key: key[:2])]
    rows, measured = [], dict[Any, WindowCost | str]()
    for keys in tqdm(cells, "Measuring", disable=not sys.stderr.isatty(), leave=False):
        spec = run_spec(config, keys[0])
        windows, (cost, source) = run_windows(spec, data), _cost(config, spec, measured)
        steps, disk, seconds, done = 0, 0.0, 0.0, 0
        for _, seeds in groupby(keys, lambda key: key[:4]):
            runs = list(seeds)
            work = run_workload(run_spec(config, runs[0]), windows)
            # One bit for each window and epoch, before compression, and the windows' times.
            kept = (work.epochs / 8 + 8) * windows.train
            weights = 4 * cost.parameters if cost and config.keep_weights else 0
            disk += len(runs) * (RECORD_BYTES + EPOCH_BYTES * work.epochs + kept + weights)
            steps += len(runs) * work.steps
            ended = sum(layout.metrics(key).exists() for key in runs)
            done += ended
            seconds += (len(runs) - ended) * cost.seconds(work) if cost else math.nan
        row: dict[str, Any] = {"data set": spec.key.dataset, "backbone": spec.key.backbone}
        row |= {"nodes": nodes_of(spec, data), "windows": windows.train}
        row |= {"runs": len(keys), "done": done, "steps": steps, "seconds": seconds, "disk": disk}
        rows.append(row | {"cost": source})
    return pd.DataFrame(rows)


def _cost(
    config: ExperimentConfig, spec: RunSpec, measured: dict[Any, WindowCost | str]
) -> tuple[WindowCost | None, str]:
    """What a window costs, and where that is from, or why it is not known."""
    if not BACKBONES.load(spec.backbone).trains:
        return WindowCost(0.0, 0.0, 0), "no training"
    recorded = recorded_cost(spec, experiment_layout(config))
    if recorded is not None:
        return recorded, "records"
    data = data_layout(config)
    all_nodes = nodes_of(spec, data)
    nodes = min(all_nodes, MOST_NODES)
    like = (spec.key.backbone, nodes, spec.training)
    if like not in measured:
        try:
            measured[like] = measured_cost(spec, data, nodes)
        except Exception as error:
            measured[like] = " ".join(str(error).split())[:200] or type(error).__name__
    cost = measured[like]
    if isinstance(cost, str):
        return None, cost
    if all_nodes == nodes:
        return cost, "measured"
    scale = all_nodes / nodes
    return cost._replace(train=scale * cost.train, evaluate=scale * cost.evaluate), "scaled"


def plan_text(plan: pd.DataFrame) -> str:
    """A line for each row of `make_plan`, their sum, and what it does not hold."""
    total = {"data set": "in all", **plan[["runs", "done", "steps", "seconds", "disk"]].sum()}
    shown = pd.concat([plan, pd.DataFrame([total])], ignore_index=True)
    whole = dict.fromkeys(("nodes", "windows", "runs", "done"), "{:,.0f}".format)
    words: dict[str, Callable[[float], str]] = {"steps": count, "seconds": duration, "disk": size}
    for name, in_words in (whole | words).items():
        shown[name] = shown[name].map(in_words, na_action="ignore")
    if plan["seconds"].isna().any():
        shown.loc[len(plan), ["seconds"]] = "> " + shown["seconds"].astype(str).iloc[-1]
    table = shown.rename(columns={"seconds": "time"}).to_string(index=False, na_rep="-")
    return f"{table}\n\n{NOTE}"


def data_bytes(name: str, data: DataLayout) -> int:
    """Bytes of a prepared data set; at most, if it is not prepared yet."""
    folder = data.processed(name)
    if (folder / "meta.json").exists():
        return sum(path.stat().st_size for path in folder.iterdir())
    card = load_card(name, data.root)
    # Series and mask, times and graph.
    values = card.steps * card.nodes * len(card.channels)
    return 5 * values + 8 * card.steps + 4 * card.nodes**2


class RunRequests:
    """What blocks of runs ask of a cluster, by what runs of the same cell took, on any machine.

    How many windows a run visits is counted, so that a heavily pruned run asks for less time.
    """

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config
        self.layout, self.data = experiment_layout(config), data_layout(config)

    def minutes(self, keys: Iterable[RunKey], attempt: int = 1) -> int:
        """Minutes for runs one after another; more with each attempt."""
        work = sum(self._minutes(key._replace(seed=0)) for key in keys)
        return attempt * (START_MINUTES + math.ceil(work))

    def megabytes(self, dataset: str, backbone: str, attempt: int = 1) -> int:
        """Memory for a run; twice as much with each attempt, for one may have been too little."""
        cost = self._cost(dataset, backbone)
        if cost is not None and cost.peak_bytes:
            wanted = BESIDE_MB + MEMORY_FACTOR * cost.peak_bytes / 1e6
        else:
            # The series and its mask may be in memory twice while they are opened.
            cards = self._cell(dataset, backbone).cards
            wanted = UNKNOWN_MB + 2 * sum(data_bytes(card, self.data) for card in cards) / 1e6
        return int(2 ** (attempt - 1)) * 100 * math.ceil(wanted / 100)

    @cache  # noqa: B019 - there is one plan, as long as its process
    def _minutes(self, key: RunKey) -> float:
        spec, cost = run_spec(self.config, key), self._cost(key.dataset, key.backbone)
        if not BACKBONES.load(spec.backbone).trains:
            return 0.0
        try:
            work = run_workload(spec, run_windows(spec, self.data))
        except StpruneError:
            return UNKNOWN_MINUTES  # the run's own log says what is wrong with it
        return TIME_FACTOR * cost.seconds(work) / 60 if cost else UNKNOWN_MINUTES

    @cache  # noqa: B019
    def _cost(self, dataset: str, backbone: str) -> WindowCost | None:
        return recorded_cost(self._cell(dataset, backbone), self.layout)

    def _cell(self, dataset: str, backbone: str) -> RunSpec:
        """A run on the data set with the backbone; which one does not matter."""
        pruner = next(iter(self.config.pruners))
        return run_spec(self.config, RunKey(dataset, backbone, pruner, 0.0, 0))
