"""`stprune show`: an experiment at a glance, on any terminal or in a pipe."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from paper_figures.rows import units, with_holes
from stprune.base.errors import RecordError, StpruneError
from stprune.base.layout import ExperimentLayout
from stprune.paper.findings import findings
from stprune.paper.tables import to_cells
from stprune.results.labels import label, timing_mark, timing_notes
from stprune.results.summarise import summary_so_far
from stprune.results.summary import Results, aggregate
from stprune.workflow.run_states import RunState, State, run_states

STYLES: dict[State, str] = {
    "done": "green",
    "running": "cyan",
    "failed": "red",
    "stopped": "yellow",
    "to do": "dim",
}
# Heading of each column of numbers, column of the aggregate, and format.
COLUMNS = (
    ("p", "prune_ratio", "{:g}"),
    ("n", "seeds", "{:.0f}"),
    ("MAE", "test_mae", "{:.2f}"),
    ("± sd", "test_mae_sd", "{:.2f}"),
    ("Δ MAE %", "test_mae_change", "{:+.1f}"),
    ("time %", "total_percent", "{:.1f}"),
)


def show(place: Path | None, results: Path, console: Console) -> None:
    """Print an experiment, from its folder or its name; None for the only one in ``results``."""
    layout = ExperimentLayout(experiment_folder(place, results))
    states = run_states(layout)
    console.print(Text(str(layout.root), style="bold"), soft_wrap=True)
    try:
        _print_results(layout, states, console)
    except StpruneError as error:
        console.print(Text(f"no table: {error}", style="red"), soft_wrap=True)
    if states:
        _print_progress(states, console)


def experiment_folder(place: Path | None, results: Path) -> Path:
    """Folder of one experiment, from the folder or the name; None for the only one there is.

    Raises RecordError if there is no such experiment, or there are several to choose from.
    """
    known = sorted(path for path in results.glob("*") if _is_experiment(path))
    if place is None and len(known) == 1:
        return known[0]
    for folder in () if place is None else (place, results / place):
        if _is_experiment(folder):
            return folder
    names = ", ".join(path.name for path in known) or "none"
    missing = f"there is no experiment in {place}" if place else "name an experiment"
    raise RecordError(f"{missing}; in {results}: {names}")


def _is_experiment(path: Path) -> bool:
    return any((path / name).exists() for name in ("config.yaml", "runs", "store"))


def _print_results(layout: ExperimentLayout, states: Sequence[RunState], console: Console) -> None:
    """Print the findings, and a table for each place, of all runs that are done by now."""
    done = [layout.metrics(state.key) for state in states if state.state == "done"]
    summary = summary_so_far(layout, done)
    if summary.empty:
        return
    results = Results(summary, pd.DataFrame(), aggregate(summary), layout.store)
    found = findings(results)
    console.print(Text(found.headline))
    if len(found.table.frame):
        rows = [[cell.text for cell in row] for row in to_cells(found.table)]
        _print_table([column.title for column in found.table.columns], rows, console)
    places = with_holes(results.aggregate).groupby(["dataset", "backbone"], sort=False)
    for (dataset, backbone), part in places:
        console.print(Text(f"\n{dataset}, {label(str(backbone))}", style="bold"), soft_wrap=True)
        rows = []
        for row in part.to_dict("records"):
            marks = [timing_mark(row["timing"]) if "time" in title else "" for title, *_ in COLUMNS]
            cells = [
                "-" if pd.isna(row[name]) else form.format(row[name]) + mark
                for (_, name, form), mark in zip(COLUMNS, marks, strict=True)
            ]
            rows.append([label(str(row["pruner"])), *cells])
        _print_table(["pruner", *(title for title, *_ in COLUMNS)], rows, console)
    notes = timing_notes(results.aggregate["timing"])
    console.print(Text("\n" + " ".join([*notes, *units(results)])))


def _print_table(titles: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    table = Table(titles[0], box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for title in titles[1:]:
        table.add_column(title, justify="right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _print_progress(states: Sequence[RunState], console: Console) -> None:
    counts = Counter(state.state for state in states)
    line = Text(f"\n{counts['done']} of {len(states)} runs done", style="bold")
    for name, style in STYLES.items():
        if counts[name] and name != "done":
            line.append(f", {counts[name]} {name}", style=style)
    console.print(line)
    for name in ("running", "failed", "stopped"):
        for key, state, note in states:
            if state == name:
                line = Text(f"{state} ", style=STYLES[state])
                line.append(f"{key.path}: {note or 'starting'}", style="")
                console.print(line, soft_wrap=True)
