"""What an experiment will take, before anything starts: runs, gradient steps, hours, disk.

The cost of a window is that of ``records`` of this machine; else ``measured`` on noise of the same
size; else ``scaled`` by nodes from the nearest size of the same backbone. Graph products grow
faster than that, so ``scaled`` may be far too little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stprune.backbones.base import BACKBONES
from stprune.base.layout import DataLayout, RunKey
from stprune.base.quantities import count, duration, size
from stprune.config.experiment import ExperimentConfig
from stprune.config.grid import RunSpec, data_layout, experiment_layout, run_keys, run_spec
from stprune.data.card import load_card
from stprune.results.labels import label
from stprune.training.devices import available_cores
from stprune.workflow.cost import (
    Place,
    WindowCost,
    Windows,
    Workload,
    measure_costs,
    nodes_of,
    recorded_costs,
    run_windows,
    run_workload,
)

# Of a run's own files, about: its record and log, and a row of `epochs.csv` and of the log.
RECORD_BYTES, EPOCH_BYTES = 15_000, 400
NOTE = (
    "Left out: selecting and scoring windows while training, choosing from scores, checkpoints,"
    " start-up, early stops (`patience`), fetching and preparing data, tables and figures; of disk,"
    " raw files, offline tracking and checkpoints. ~: scaled from another graph in proportion to"
    " its nodes, which may be far too little; more --seconds measure more."
)


class Cell(NamedTuple):
    """All runs of a backbone on a data set (both by their entries in the configuration).

    ``nodes`` is N, ``done`` the number of runs with a record, ``steps`` the gradient steps of all
    runs without those of scoring models, ``seconds`` the time of the runs without a record, one
    after another (None if not known), ``disk`` the bytes that all runs leave, at most. ``source``
    is where the cost is from, or why it is not known.
    """

    dataset: str
    backbone: str
    nodes: int
    windows: Windows
    runs: int
    done: int
    steps: int
    seconds: float | None
    disk: int
    cost: WindowCost | None
    source: str


class Plan(NamedTuple):
    """An experiment before it starts.

    ``data_bytes`` is the size of the prepared data sets, by card; at most, where one is not
    prepared yet. ``runs_together`` is how many runs this machine has room for side by side.
    """

    experiment: str
    cells: tuple[Cell, ...]
    data_bytes: Mapping[str, int]
    runs_together: int


def make_plan(config: ExperimentConfig, seconds: float) -> Plan:
    """Count, and measure for at most ``seconds`` what has no record.

    Raises:
        StpruneError: If a run could not be: too few windows, or a pruner that declines.
    """
    data, layout = data_layout(config), experiment_layout(config)
    groups: dict[Place, list[RunKey]] = {}
    for key in run_keys(config):
        groups.setdefault((key.dataset, key.backbone), []).append(key)
    specs = {place: run_spec(config, keys[0]) for place, keys in groups.items()}
    costs = _costs(config, specs, seconds)
    windows = {name: run_windows(spec, data) for (name, _), spec in specs.items()}
    # What runs do does not depend on the backbone, so it is counted once.
    counted: dict[tuple[str, str, float, bool], Workload] = {}
    cells = []
    for place, keys in groups.items():
        cost, source = costs[place]
        trains = BACKBONES.load(specs[place].backbone).trains
        steps, disk, left, done = 0, 0.0, 0.0, 0
        for key in keys:
            name = (key.dataset, key.pruner, key.prune_ratio, trains)
            if name not in counted:
                counted[name] = run_workload(run_spec(config, key), windows[key.dataset])
            work = counted[name]
            steps += work.steps
            # One bit for each window and epoch, before compression, and the windows' times.
            kept = (work.epochs / 8 + 8) * windows[key.dataset].train
            disk += RECORD_BYTES + EPOCH_BYTES * work.epochs + kept
            disk += 4 * cost.parameters if cost and config.keep_weights else 0
            if layout.metrics(key).exists():
                done += 1
            elif cost is not None:
                left += cost.seconds(work)
        cell = Cell(
            *place,
            nodes=nodes_of(specs[place], data),
            windows=windows[place[0]],
            runs=len(keys),
            done=done,
            steps=steps,
            seconds=None if cost is None else left,
            disk=round(disk),
            cost=cost,
            source=source,
        )
        cells.append(cell)
    compute = config.compute
    cores = len(available_cores()) // (compute.threads * compute.devices)
    return Plan(
        config.experiment,
        tuple(cells),
        {card: data_bytes(card, data) for spec in specs.values() for card in spec.cards},
        max(1, cores) if compute.accelerator == "cpu" else 1,
    )


def _costs(
    config: ExperimentConfig, specs: Mapping[Place, RunSpec], seconds: float
) -> dict[Place, tuple[WindowCost | None, str]]:
    """What a window of each cell costs, and where that is from."""
    layout, data = experiment_layout(config), data_layout(config)
    known: dict[Place, tuple[WindowCost | None, str]] = {}
    for place, spec in specs.items():
        if not BACKBONES.load(spec.backbone).trains:
            known[place] = WindowCost(0.0, 0.0, 0), "no training"
        elif recorded := next(recorded_costs(spec, layout), None):
            known[place] = recorded, "records"
    waiting = {place: spec for place, spec in specs.items() if place not in known}
    for place, answer in measure_costs(waiting, data, seconds).items():
        known[place] = (None, answer) if isinstance(answer, str) else (answer, "measured")
    nodes = {place: nodes_of(spec, data) for place, spec in specs.items()}
    sure = {place: cost for place, (cost, _) in known.items() if cost is not None}
    for place in [place for place in specs if place not in known]:
        ratios = {other: nodes[place] / nodes[other] for other in sure if other[1] == place[1]}
        if not ratios:
            known[place] = None, "not measured"
            continue
        nearest = min(ratios, key=lambda other: max(ratios[other], 1 / ratios[other]))
        cost, ratio = sure[nearest], ratios[nearest]
        scaled = cost._replace(train=cost.train * ratio, evaluate=cost.evaluate * ratio)
        known[place] = scaled, "scaled"
    return known


def data_bytes(name: str, data: DataLayout) -> int:
    """Bytes of a prepared data set; at most, if it is not prepared yet."""
    folder = data.processed(name)
    if (folder / "meta.json").exists():
        return sum(path.stat().st_size for path in folder.iterdir())
    card = load_card(name, data.root)
    # Series and mask, times and graph.
    values = card.steps * card.nodes * len(card.channels)
    return 5 * values + 8 * card.steps + 4 * card.nodes**2


def print_plan(plan: Plan, console: Console) -> None:
    """Print a table by data set, one by backbone, and the sums."""
    runs = sum(cell.runs for cell in plan.cells)
    console.print(Text(f"{plan.experiment}: {runs:,} runs", style="bold"))
    for by in ("data set", "backbone"):
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        table.add_column(by, overflow="fold")
        sizes = ("nodes", "windows") if by == "data set" else ()
        for name in (*sizes, "runs", "steps", "time", "disk"):
            table.add_column(name, justify="right", overflow="fold")
        groups: dict[str, list[Cell]] = {}
        for cell in plan.cells:
            name = cell.dataset if by == "data set" else label(cell.backbone)
            groups.setdefault(name, []).append(cell)
        for name, cells in groups.items():
            numbers = (f"{cells[0].nodes:,}", f"{cells[0].windows.train:,}") if sizes else ()
            table.add_row(
                name,
                *numbers,
                f"{sum(cell.runs for cell in cells):,}",
                count(sum(cell.steps for cell in cells)),
                hours(cells),
                size(sum(cell.disk for cell in cells)),
            )
        console.print("\n", table, sep="")
    console.print()
    for line in [*totals(plan), NOTE]:
        console.print(Text(line))


def totals(plan: Plan) -> list[str]:
    """Runs, steps, time and disk in all, and where the times are from."""
    cells = plan.cells
    left = sum(cell.runs - cell.done for cell in cells)
    steps = count(sum(cell.steps for cell in cells))
    time = f"{steps} gradient steps; {left:,} runs without a record: {hours(cells)} one by one"
    known = [cell.seconds for cell in cells if cell.seconds is not None]
    if plan.runs_together > 1 and len(known) == len(cells):
        together = duration(sum(known) / plan.runs_together)
        time += f", {together} with {plan.runs_together} at a time here"
    disk, data = sum(cell.disk for cell in cells), sum(plan.data_bytes.values())
    sources = Counter(cell.source for cell in cells)
    return [
        f"In all {time}.",
        f"Disk: {size(disk)} of results at most, {size(data)} of prepared data.",
        "Cost of a window: " + "; ".join(f"{n} {source}" for source, n in sources.items()) + ".",
    ]


def hours(cells: Sequence[Cell]) -> str:
    """Time of the runs without a record; ``>`` if a part is not known, ``~`` if one is scaled."""
    known = [cell.seconds for cell in cells if cell.seconds is not None]
    if not known:
        return "-"
    text = duration(sum(known))
    if len(known) < len(cells):
        return f"> {text}"
    return f"~ {text}" if any(cell.source == "scaled" for cell in cells) else text
