"""`stprune show`: an experiment at a glance, on any terminal or in a pipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from paper_figures import tab_main
from paper_figures.rows import budgets, units, with_holes
from stprune.base.errors import RecordError, StpruneError
from stprune.base.layout import ExperimentLayout, recorded_runs, store_table
from stprune.base.quantities import duration
from stprune.paper.tables import Table, is_text, to_cells
from stprune.records.store import read_store
from stprune.results.labels import label
from stprune.results.summarise import collect
from stprune.results.summary import Results, aggregate
from stprune.workflow.run_states import RunState, State, begun_runs, planned_runs, run_states

STATES: tuple[State, ...] = ("done", "running", "failed", "stopped", "to do")
STYLES = {"done": "green", "running": "cyan", "failed": "red", "stopped": "yellow", "to do": "dim"}
# Failures that are listed; of more, the rest is counted.
LISTED = 20
# The speed of a grid is that of its last runs: what ran days ago says nothing.
RECENT_RUNS = 20
# Columns of the main table by the width of terminal that has room for them.
ALL = (
    "pruner",
    *(c.key for c in tab_main.COLUMNS if c.key not in ("dataset", "backbone", "pruner")),
)
LESS = (*ALL[:5], "test_mae_change", "epoch_percent", "total_percent")
LEAST = (*ALL[:4], "test_mae_change", "total_percent")
WIDTHS = ((132, ALL), (86, LESS), (0, LEAST))
SHORT = {
    "prune_ratio": "p",
    "test_mae_change": "Δ MAE %",
    "epoch_percent": "epoch %",
    "total_percent": "time %",
}
RANKS = ("", "bold", "underline")


def show(place: Path | None, results: Path, console: Console) -> None:
    """Print one experiment, or a line for each of several.

    Args:
        place: Folder of the experiment, or its name; None for whatever ``results`` holds.
        results: Folder of all experiments.
        console: Where to.

    Raises:
        RecordError: If there is no such experiment.
    """
    known = experiments(results)
    if place is None and len(known) > 1:
        records = Counter(path.parents[6] for path in recorded_runs(results))
        for path in known:
            console.print(f"{path}: {records[path]} runs with a record", soft_wrap=True)
        console.print("`stprune show FOLDER` shows one of them.", soft_wrap=True)
        return
    layout = ExperimentLayout(experiment_folder(place, results))
    planned = planned_runs(layout)
    states = run_states(layout, begun_runs(layout) if planned is None else planned)
    console.print(Text(str(layout.root), style="bold"), soft_wrap=True)
    try:
        summary = _summary(layout, states)
    except StpruneError as error:
        console.print(Text(f"no table: {error}", style="red"), soft_wrap=True)
    else:
        if summary is not None:
            _print_results(layout, summary, console)
    if states:
        _print_progress(states, planned is not None, console)
        _print_failures(states, console)


def experiment_folder(place: Path | None, results: Path) -> Path:
    """Folder of one experiment.

    Args:
        place: The folder, or the experiment's name; None for the only one there is.
        results: Folder of all experiments.

    Raises:
        RecordError: If there is no such experiment, or there are several to choose from.
    """
    known = experiments(results)
    names = ", ".join(path.name for path in known)
    if place is None:
        if not known:
            raise RecordError(f"there is no experiment in {results}; train one first")
        if len(known) > 1:
            raise RecordError(f"there are several experiments in {results}, name one: {names}")
        return known[0]
    if not place.is_dir() and (results / place).is_dir():
        place = results / place
    if not _is_experiment(place):
        raise RecordError(f"there is no experiment in {place} (in {results}: {names or 'none'})")
    return place


def experiments(results: Path) -> list[Path]:
    """Folders below ``results`` that hold an experiment, sorted."""
    return sorted(path for path in results.glob("*") if _is_experiment(path))


def _is_experiment(path: Path) -> bool:
    names = ("config.yaml", "runs", "store")
    return path.is_dir() and any((path / name).exists() for name in names)


def _summary(layout: ExperimentLayout, states: Sequence[RunState]) -> pd.DataFrame | None:
    """Of all runs that are done by now, whether it has been written yet or not."""
    done = [layout.metrics(state.key) for state in states if state.state == "done"]
    path = store_table(layout.store, "summary")
    if path.exists():
        written = path.stat().st_mtime_ns
        newer = any(path.stat().st_mtime_ns > written for path in done)
        summary = read_store(layout.store, "summary")
        # Thousands of records are read in minutes, their summary at once.
        if not newer and len(done) in (0, len(summary)):
            return summary
    return collect(done, layout.root)["summary"] if done else None


def _print_results(layout: ExperimentLayout, summary: pd.DataFrame, console: Console) -> None:
    results = Results(summary, pd.DataFrame(), aggregate(summary), layout.store)
    frame = with_holes(results.aggregate)
    wanted = next(keys for width, keys in WIDTHS if console.width >= width)
    # Without the marks of significance.
    by_key = {column.key: column._replace(marks="") for column in tab_main.COLUMNS}
    columns = tuple(by_key[key] for key in wanted)
    for (dataset, backbone), rows in frame.groupby(["dataset", "backbone"], sort=False):
        place = Table("", "", rows.reset_index(drop=True), columns, ("prune_ratio",))
        console.print()
        console.print(Text(f"{dataset}, {label(str(backbone))}", style="bold"), soft_wrap=True)
        grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        for column in columns:
            side: Literal["left", "right"] = "left" if is_text(place, column) else "right"
            grid.add_column(SHORT.get(column.key, column.title), justify=side, overflow="fold")
        for row in to_cells(place):
            grid.add_row(*(Text(cell.text, style=RANKS[cell.rank]) for cell in row))
        console.print(grid)
    notes = [*units(results), *budgets(results)]
    console.print()
    console.print(Text(" ".join([*notes, "Bold: best of a prune ratio; underlined: second."])))


def _print_progress(states: Sequence[RunState], complete: bool, console: Console) -> None:
    counts = Counter(state.state for state in states)
    line = Text(f"{counts['done']} of {len(states)} runs done", style="bold")
    for name in STATES[1:]:
        if counts[name]:
            line.append(f", {counts[name]} {name}", style=STYLES[name])
    console.print()
    console.print(line)
    for state in states:
        if state.state == "running":
            console.print(Text(f"  {state.key.path}: {state.note or 'starting'}"), soft_wrap=True)
    if not complete:
        console.print("There is no config.yaml here, so what is to do is not known.")
    elif counts["running"]:
        console.print(_forecast(states))
    elif counts["done"] < len(states):
        console.print("No run is under way on this machine.")


def _forecast(states: Sequence[RunState]) -> str:
    """Rate and time left, if the runs to come take as long as the last ones did."""
    records = [state.record for state in states if state.record is not None]
    ends = sorted(datetime.fromisoformat(record.finished).timestamp() for record in records)
    ends = ends[-RECENT_RUNS:]
    if len(ends) < 2 or ends[-1] == ends[0]:
        return "Time left: not known before two runs are done."
    each = (ends[-1] - ends[0]) / (len(ends) - 1)
    left = duration(each * (len(states) - len(records)))
    return f"Rate of the last {len(ends)}: {3600 / each:.3g} runs an hour; about {left} left."


def _print_failures(states: Sequence[RunState], console: Console) -> None:
    for name in ("failed", "stopped"):
        some = [state for state in states if state.state == name]
        for state in some[:LISTED]:
            line = Text(f"{name} ", style=STYLES[name])
            line.append(f"{state.key.path}: {state.note or 'a checkpoint and no log'}", style="")
            console.print(line, soft_wrap=True)
        if len(some) > LISTED:
            console.print(f"... and {len(some) - LISTED} more {name}")
