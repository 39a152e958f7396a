"""What an experiment will take, before anything starts: runs, gradient steps, hours, disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stprune.backbones.base import BACKBONES
from stprune.base.layout import DataLayout, ExperimentLayout, RunKey
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import data_layout, experiment_layout, run_keys, run_spec
from stprune.data.card import load_card
from stprune.training.devices import available_cores
from stprune.workflow.known_seconds import known_seconds, run_nodes
from stprune.workflow.step_seconds import StepSeconds
from stprune.workflow.workload import Windows, Workload, run_windows, run_workload

# Of a run's own files, about: its record and log, and a row of `epochs.csv` and of the log.
RECORD_BYTES, EPOCH_BYTES = 15_000, 400


@dataclass(frozen=True)
class Cell:
    """All runs of a backbone on a data set.

    Args:
        dataset: Entry of the configuration.
        backbone: Entry of the configuration.
        nodes: N.
        windows: Of the splits.
        batch: Windows of a training batch.
        runs: How many there are.
        done: How many of them have a record.
        steps: Gradient steps of all runs, without those of scoring models.
        seconds: Time of the runs without a record, one after another; None if not known.
        disk: Bytes that all runs leave, at most.
        step: What a window costs; None if not known.
        source: Where that is from; see `stprune.workflow.known_seconds`.
    """

    dataset: str
    backbone: str
    nodes: int
    windows: Windows
    batch: int
    runs: int
    done: int
    steps: int
    seconds: float | None
    disk: int
    step: StepSeconds | None
    source: str


@dataclass(frozen=True)
class Plan:
    """An experiment before it starts.

    Args:
        experiment: Its name.
        cells: Data set by data set.
        data_bytes: Of the prepared data sets, by card; at most, where one is not prepared yet.
        together: Runs side by side on this machine.
        unprepared_breaks: Cards whose nights are left out, but which are not prepared, so that
            their windows are counted as if there were no breaks.
    """

    experiment: str
    cells: tuple[Cell, ...]
    data_bytes: Mapping[str, int]
    together: int
    unprepared_breaks: tuple[str, ...] = ()


def make_plan(config: ExperimentConfig, seconds: float) -> Plan:
    """Count, and measure for at most ``seconds`` what is not known from before.

    Raises:
        StpruneError: If a run could not be: too few windows, or a pruner that declines.
    """
    layout, data = experiment_layout(config), data_layout(config)
    groups: dict[tuple[str, str], list[RunKey]] = {}
    for key in run_keys(config):
        groups.setdefault((key.dataset, key.backbone), []).append(key)
    specs = {place: run_spec(config, keys[0]) for place, keys in groups.items()}
    nodes = {name: run_nodes(spec, data) for (name, _), spec in specs.items()}
    steps = known_seconds(config, specs, nodes, seconds)
    windows = {name: run_windows(spec, data) for (name, _), spec in specs.items()}
    counted: dict[tuple[object, ...], Workload] = {}
    cells = []
    for (dataset, backbone), keys in groups.items():
        step, source = steps[dataset, backbone]
        cell = Cell(
            *(dataset, backbone, nodes[dataset], windows[dataset]),
            batch=specs[dataset, backbone].training.batch_size,
            **_totals(config, layout, keys, windows[dataset], step, counted),
            step=step,
            source=source,
        )
        cells.append(cell)
    cards = list(dict.fromkeys(card for spec in specs.values() for card in spec.cards))
    return Plan(
        config.experiment,
        tuple(cells),
        {card: data_bytes(card, data) for card in cards},
        _together(config),
        tuple(card for card in cards if _breaks_unknown(card, data)),
    )


def _totals(
    config: ExperimentConfig,
    layout: ExperimentLayout,
    keys: Iterable[RunKey],
    windows: Windows,
    step: StepSeconds | None,
    counted: dict[tuple[object, ...], Workload],
) -> dict[str, Any]:
    """Sums over the runs of a cell; what does not depend on the backbone is counted once."""
    seeds: dict[tuple[str, float], list[bool]] = {}
    for key in keys:
        there = layout.metrics(key).exists()
        seeds.setdefault((key.pruner, key.prune_ratio), []).append(there)
        any_key = key
    runs = done_runs = steps = disk = 0
    seconds = 0.0
    for (pruner, ratio), done in seeds.items():
        spec = run_spec(config, any_key._replace(pruner=pruner, prune_ratio=ratio))
        by_clock = spec.training.budget == "total_time"
        trains = BACKBONES.load(spec.backbone).trains
        name = (any_key.dataset, pruner, ratio, trains, step if by_clock else None)
        if name not in counted:
            counted[name] = run_workload(spec, windows, step)
        work = counted[name]
        runs, done_runs = runs + len(done), done_runs + sum(done)
        steps += work.steps * len(done)
        weights = 4 * step.parameters if step and config.keep_weights else 0
        disk += (_run_bytes(work) + weights) * len(done)
        if step is not None:
            seconds += work.seconds(step) * (len(done) - sum(done))
    return {
        "runs": runs,
        "done": done_runs,
        "steps": steps,
        "seconds": None if step is None else seconds,
        "disk": disk,
    }


def _run_bytes(work: Workload) -> int:
    # One bit for each window and epoch, before compression, and the windows' times.
    kept = work.epochs * -(-work.windows.train // 8) + 8 * work.windows.train
    return RECORD_BYTES + EPOCH_BYTES * work.epochs + kept


def _together(config: ExperimentConfig) -> int:
    compute = config.compute
    if compute.accelerator != "cpu":
        return 1
    return max(1, len(available_cores()) // (compute.threads * compute.devices))


def data_bytes(name: str, data: DataLayout) -> int:
    """Bytes of a prepared data set; at most, if it is not prepared yet."""
    folder = data.processed(name)
    if (folder / "meta.json").exists():
        return sum(path.stat().st_size for path in folder.iterdir())
    card = load_card(name, data.root)
    # Series and mask, times and graph.
    values = card.steps * card.nodes * len(card.channels)
    return 5 * values + 8 * card.steps + 4 * card.nodes**2


def _breaks_unknown(name: str, data: DataLayout) -> bool:
    prepared = (data.processed(name) / "meta.json").exists()
    return load_card(name, data.root).breaks != "none" and not prepared
