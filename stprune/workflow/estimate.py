"""What an experiment will take, before anything starts, and what its blocks ask of a cluster.

A run takes the windows that it visits, counted by the parts that do it, times what a window costs,
by records of like runs or measured on a few batches of noise.
"""

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from stprune.backbones.base import BACKBONES, parameter_count
from stprune.base.errors import StpruneError
from stprune.base.layout import DataLayout, ExperimentLayout, RunKey
from stprune.base.settings import DatasetEntry, MemberEntry
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import RunSpec, data_layout, experiment_layout, run_keys, run_spec
from stprune.data.canonical import CanonicalDataset
from stprune.data.card import DatasetCard, load_card
from stprune.data.dataset import alone, forecast_data
from stprune.data.tasks.base import build_task
from stprune.data.windows import cut_splits, window_starts
from stprune.pruning.base import PRUNERS, PruningContext
from stprune.records.run import read_epochs, read_record
from stprune.training.budget import TrainingBudget
from stprune.training.optimisation import planned_steps
from stprune.training.sharing import available_cores

# Largest graph that is measured; a larger one would not fit in the memory of every machine.
MOST_NODES = 200
# Values of the first measured batch on a processor: 2 windows of 12 steps of 200 nodes.
PROCESSOR_VALUES = 2 * 12 * 200
QUICK_SECONDS = 0.5  # an epoch that takes less is measured once more, with larger batches
LINKS = 4  # edges from each node of the made-up graph; road graphs have 2 to 4
# Of a run's own files, about: its record and log, and a row of `epochs.csv` and of the log.
RECORD_BYTES, EPOCH_BYTES = 15_000, 400
NOTE = f"""\
Time of the runs without a record, one after another; >: and more that is not known. Left out: all
but training on windows and evaluating them, and early stops; of disk, data sets, offline tracking
and checkpoints. Scaled: measured on {MOST_NODES} nodes and taken to grow in proportion to nodes.
"""
# A node of a cluster may be slower or busier than the one that was recorded. A run that is ended by
# its time limit goes on from its checkpoint, so a request need not cover the worst case.
TIME_FACTOR = 3.0
START_MINUTES = 10
UNKNOWN_MINUTES = 720
MEMORY_FACTOR = 1.5
# Snakemake runs beside the training, twice, with all that its rules import.
BESIDE_MB = 800
UNKNOWN_MB = 4000
Windows = tuple[int, int, int]  # for training, validation and test


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
        """How long a run takes."""
        return work.trained * self.train + work.evaluated * self.evaluate


def _parts(spec: RunSpec) -> list[tuple[str, DatasetEntry | MemberEntry]]:
    """The data set that a run trains on, or those of its union."""
    return [(part.dataset, part) for part in spec.subset.union] or [(spec.dataset, spec.subset)]


def nodes_of(spec: RunSpec, data: DataLayout) -> int:
    """N; of a union, of its largest data set."""
    return max(-(-load_card(id, data.root).nodes // part.node_stride) for id, part in _parts(spec))


def run_windows(spec: RunSpec, data: DataLayout) -> Windows:
    """Windows of a run, from the cards, or from the time axis of what is prepared.

    Raises ConfigError if the part of a data set is too small for the task.
    """
    parts = [_windows(spec, dataset, part, data) for dataset, part in _parts(spec)]
    train, validation, test = map(sum, zip(*parts, strict=True))
    if spec.subset.task == "transfer":
        tested = spec.subset.zero_shot
        test = sum(_windows(spec, member.dataset, member, data)[2] for member in tested)
    return train, validation, test


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
    train = task.training_windows(splits)[:: part.window_stride]
    stride = spec.subset.evaluation_stride
    return len(train), len(splits.validation[::stride]), len(splits.test[::stride])


def run_workload(spec: RunSpec, windows: Windows) -> Workload:
    """What the run does on ``windows``; a budget of total time is taken for one of windows."""
    training, options = spec.training, spec.pruner_options
    if not BACKBONES.load(spec.backbone).trains:
        return Workload(epochs=1, steps=0, trained=0, evaluated=sum(windows))
    context = PruningContext(
        windows=windows[0],
        epochs=training.epochs,
        prune_ratio=spec.key.prune_ratio,
        seed=0,
        adjacency=torch.zeros(1, 1),
        stationarity=np.arange(windows[0], dtype=np.float32),
    )
    pruner = PRUNERS.load(spec.pruner)(context, options)
    models = getattr(options, "scoring_seeds", 1)
    scoring = models * getattr(options, "scoring_epochs", 0) * windows[0]
    epochs = training.epochs
    if training.budget == "total_time":
        each = sum(pruner.epoch_windows(epoch, epochs) for epoch in range(epochs)) / epochs
        epochs = pruner.epochs = max(1, round((epochs * windows[0] - scoring) / each))
    else:
        limits = TrainingBudget(training, windows[0])
        limits.plan(pruner, (), 0.0)
        epochs = limits.planned_epochs(pruner)
    drops = spec.protocol == "legacy"  # partial batches
    visited = sum(pruner.epoch_windows(epoch, pruner.epochs) for epoch in range(epochs))
    # A pass over all windows to score them is about an evaluation.
    evaluated = windows[2] + (models * windows[0] if scoring else 0)
    evaluated += -(-epochs // training.validate_every) * windows[1]
    steps = sum(planned_steps(pruner, range(epochs), training.batch_size, drops))
    return Workload(epochs, steps, scoring + visited, evaluated)


def recorded_cost(spec: RunSpec, layout: ExperimentLayout) -> WindowCost | None:
    """What a window cost the first run of the same cell and settings that has a record, if any."""
    wanted = _timed_settings(spec.resolved())
    for metrics in sorted(layout.run(spec.key).parents[2].glob("*/p*/s*/metrics.json")):
        try:
            record, epochs = read_record(metrics), read_epochs(metrics.with_name("epochs.csv"))
        except StpruneError:
            continue  # its block trains it again
        validated = epochs["validation_mae"].count() * record.data.get("validation_windows", 0)
        worked = (epochs["data_seconds"] + epochs["step_seconds"]).sum()
        if _timed_settings(record.config) == wanted and validated and worked:
            evaluate = epochs["validation_seconds"].sum() / validated
            # On a GPU the recorded peak is the device's.
            peak = record.cost.peak_memory_bytes if record.environment.get("device") == "cpu" else 0
            return WindowCost(worked / epochs["windows"].sum(), evaluate, record.parameters, peak)
    return None


def _timed_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    names = ("history", "horizon", "batch_size", "evaluation_batch_size")
    training = {name: config.get("training", {}).get(name) for name in names}
    return {name: config.get(name) for name in ("dataset", "backbone", "compute")} | training


def made_up(card: DatasetCard, nodes: int, steps: int) -> CanonicalDataset:
    """Noise of ``nodes`` nodes on a thin random graph, as if it were the data set of ``card``."""
    changes = {"nodes": nodes, "steps": steps, "splits": (0.6, 0.2, 0.2)}
    rng, shape = np.random.default_rng(0), (steps, nodes, len(card.channels))
    seconds = 60 * card.step_minutes * np.arange(steps)
    return CanonicalDataset(
        card=card.model_copy(update=changes),
        series=rng.normal(50, 5, shape).astype(np.float32),
        mask=np.ones(shape, dtype=bool),
        timestamps=np.datetime64("2024-01-01", "s") + seconds.astype("timedelta64[s]"),
        adjacency=(rng.random((nodes, nodes)) < LINKS / nodes).astype(np.float32),
        node_ids=[str(node) for node in range(nodes)],
        events=pd.DataFrame(),
        checksum="made up",
    )


def measured_cost(spec: RunSpec, data: DataLayout, nodes: int) -> WindowCost:
    """Train a run's model for two short epochs on noise of ``nodes`` nodes; the second one counts.

    On a processor batches are small at first and grow to the run's while they are quick: a large
    model may take minutes for one. Raises whatever a library does where the device is absent or has
    too little memory.
    """
    # Fabric takes longer to load than all else that requests of a block need.
    from stprune.training.devices import fabric_on
    from stprune.training.engine import Engine

    compute, training = spec.compute, spec.training
    fabric = fabric_on(compute)
    threads = min(compute.threads, len(available_cores()))
    torch.set_num_threads(threads)
    history, horizon = training.history, training.horizon
    windows = training.batch_size
    if fabric.device.type == "cpu":
        windows = max(1, min(windows, PROCESSOR_VALUES // (nodes * history)))
    card, union = load_card(spec.cards[0], data.root), bool(spec.subset.union)
    while True:
        # Three batches to train on, one to validate and one to test.
        noise = made_up(card, nodes, history + horizon + 5 * windows)
        opened = forecast_data(
            noise, history=history, horizon=horizon, target_only=union, device=fabric.device
        )
        full = spec.unpruned(batch_size=windows, epochs=2, validate_every=1, budget="epochs")
        with threadpool_limits(threads):
            engine = Engine(replace(full, protocol="paper"), alone(opened), fabric)
            for _ in range(2):
                epoch = engine.train_epoch()
        worked = epoch.data_seconds + epoch.step_seconds
        if windows == training.batch_size or worked > QUICK_SECONDS:
            return WindowCost(
                train=worked / epoch.windows,
                evaluate=epoch.validation_seconds / len(opened.validation),
                parameters=parameter_count(engine.network),
            )
        windows = min(training.batch_size, 4 * windows)


def make_plan(config: ExperimentConfig) -> pd.DataFrame:
    """Count what the runs do, and measure a few batches of each cell that has no record.

    One row a data set and backbone: training ``windows``; gradient ``steps`` of all runs,
    ``seconds`` of those that are not done, NaN if not known; bytes of ``disk`` that all leave, at
    most; ``cost``, where that of a window is from, or why it is not known. Raises a StpruneError if
    a run could not be: too few windows, or a pruner that declines.
    """
    data, layout = data_layout(config), experiment_layout(config)
    cells = [list(keys) for _, keys in groupby(run_keys(config), lambda key: key[:2])]
    rows, measured = [], dict[Any, WindowCost | str]()
    for keys in tqdm(cells, "Measuring", disable=not sys.stderr.isatty(), leave=False):
        spec = run_spec(config, keys[0])
        windows, (cost, source) = run_windows(spec, data), _cost(config, spec, measured)
        row: dict[str, Any] = {"data set": spec.key.dataset, "backbone": spec.key.backbone}
        row |= {"nodes": nodes_of(spec, data), "windows": windows[0], "runs": len(keys)}
        row |= {"done": 0, "steps": 0, "seconds": 0.0, "disk": 0.0, "cost": source}
        for _, seeds in groupby(keys, lambda key: key[:4]):
            runs = list(seeds)
            work = run_workload(run_spec(config, runs[0]), windows)
            done = sum(layout.metrics(key).exists() for key in runs)
            row["done"] += done
            row["steps"] += len(runs) * work.steps
            row["seconds"] += (len(runs) - done) * cost.seconds(work) if cost else math.nan
            # One bit for each window and epoch, before compression, and the windows' times.
            kept = (work.epochs / 8 + 8) * windows[0]
            weights = 4 * cost.parameters if cost and config.keep_weights else 0
            row["disk"] += len(runs) * (RECORD_BYTES + EPOCH_BYTES * work.epochs + kept + weights)
        rows.append(row)
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
    scale = all_nodes / nodes
    cost = cost._replace(train=scale * cost.train, evaluate=scale * cost.evaluate)
    return cost, "measured" if all_nodes == nodes else "scaled"


def plan_text(plan: pd.DataFrame) -> str:
    """A line for each row of `make_plan`, their sum, and what it does not hold."""
    total = {"data set": "in all", **plan[["runs", "done", "steps", "seconds", "disk"]].sum()}
    shown = pd.concat([plan, pd.DataFrame([total])], ignore_index=True)
    words: dict[str, Callable[[float], str]] = {"seconds": duration, "disk": size}
    words["steps"] = partial(size, units=("", "k", "M", "G"))
    words |= dict.fromkeys(("nodes", "windows", "runs", "done"), "{:,.0f}".format)
    for name, in_words in words.items():
        shown[name] = shown[name].map(in_words, na_action="ignore")
    if plan["seconds"].isna().any():
        shown.loc[len(plan), ["seconds"]] = "> " + shown["seconds"].astype(str).iloc[-1]
    table = shown.rename(columns={"seconds": "time"}).to_string(index=False, na_rep="-")
    return f"{table}\n\n{NOTE}"


class RunRequests:
    """What blocks of runs ask of a cluster, by what runs of the same cell took, on any machine."""

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
            ids = self.config.datasets[dataset].cards(dataset)
            cards = [load_card(card, self.data.root) for card in ids]
            values = sum(card.steps * card.nodes * len(card.channels) for card in cards)
            # Series and mask, five bytes a value, may be in memory twice while they are opened.
            wanted = UNKNOWN_MB + 10 * values / 1e6
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
        pruner = next(iter(self.config.pruners))  # any will do
        spec = run_spec(self.config, RunKey(dataset, backbone, pruner, 0.0, 0))
        return recorded_cost(spec, self.layout)


def duration(seconds: float) -> str:
    """A time in the unit that fits it: ``42 s``, ``7 min``, ``3.5 h``, ``12 days``, ``3 years``."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 99.5 * 3600:
        return f"{seconds / 3600:.1f} h"
    days = seconds / 86_400
    return f"{days:.0f} days" if days < 999.5 else f"{days / 365.25:,.1f} years"


def size(number: float, units: Sequence[str] = ("B", "kB", "MB", "GB", "TB")) -> str:
    """A number in the unit that fits it, by default bytes: ``12.3 kB``, ``3.4 GB``."""
    power = 0
    while number >= 999.5 and power + 1 < len(units):
        number, power = number / 1000, power + 1
    digits = f"{number:.3g}" if number < 99.5 else f"{number:,.0f}"
    return f"{digits} {units[power]}".rstrip()
