"""What an experiment will take, before anything starts, and what its blocks ask of a cluster."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from functools import cache
from itertools import groupby
from typing import Any

import pandas as pd
from tqdm import tqdm

from stprune.backbones.base import BACKBONES
from stprune.base.errors import StpruneError
from stprune.base.layout import DataLayout, RunKey
from stprune.base.quantities import count, duration, size
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import RunSpec, data_layout, experiment_layout, run_keys, run_spec
from stprune.data.card import load_card
from stprune.workflow.cost import (
    MOST_NODES,
    WindowCost,
    measured_cost,
    nodes_of,
    recorded_cost,
    run_windows,
    run_workload,
)

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
        row = {"data set": spec.key.dataset, "backbone": spec.key.backbone}
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
        measured[like] = measured_cost(spec, data, nodes)
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
        shown.loc[len(plan), "seconds"] = f"> {shown.loc[len(plan), 'seconds']}"
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
