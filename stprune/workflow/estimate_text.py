"""A plan as tables for a terminal, with what it rests on and what it leaves out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from statistics import mean
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stprune.base.quantities import count, duration, size
from stprune.results.labels import label
from stprune.workflow.estimate import Cell, Plan

LEFT_OUT = (
    "Left out: selecting and scoring windows while training, choosing from scores once they are"
    " there, checkpoints, start-up, stopping early (`patience`), fetching and preparing data,"
    " tables and figures; of disk, raw files, offline tracking and checkpoints. A pass that"
    " differentiates each window's loss is taken for a pass of training. Steps are those of the"
    " runs themselves; times include the scoring models of static pruners."
)
DASH = "-"


def print_plan(plan: Plan, console: Console, cells: bool, seconds: float) -> None:
    """Print it.

    Args:
        plan: What to print.
        console: Where to.
        cells: Whether each data set and backbone gets a line.
        seconds: For how long was measured.
    """
    title = f"{plan.experiment}: {sum(cell.runs for cell in plan.cells):,} runs"
    console.print(Text(title, style="bold"))
    console.print()
    console.print(_by_dataset(plan))
    console.print()
    console.print(_by_backbone(plan))
    if cells:
        console.print()
        console.print(_by_cell(plan))
    console.print()
    for line in [*totals(plan), *notes(plan, seconds)]:
        console.print(Text(line))


def totals(plan: Plan) -> list[str]:
    """Runs, steps, time and disk in all."""
    cells, done = plan.cells, sum(cell.done for cell in plan.cells)
    steps = count(sum(cell.steps for cell in cells))
    disk, data = sum(cell.disk for cell in cells), sum(plan.data_bytes.values())
    left = f"{sum(cell.runs for cell in cells) - done:,} runs without a record"
    line = f"In all {steps} gradient steps; {left}: {hours(cells)} one after another"
    known = [cell.seconds for cell in cells if cell.seconds is not None]
    if plan.together > 1 and len(known) == len(cells):
        line += f", {duration(sum(known) / plan.together)} with {plan.together} at a time here"
    return [f"{line}.", f"Disk: {size(disk)} of results at most, {size(data)} of prepared data."]


def hours(cells: Sequence[Cell]) -> str:
    """Time of the runs without a record; ``>`` if a part is not known, ``~`` if one is scaled."""
    known = [cell.seconds for cell in cells if cell.seconds is not None]
    if not known:
        return DASH
    text = duration(sum(known))
    if len(known) < len(cells):
        return f"> {text}"
    return f"~ {text}" if any(cell.source == "scaled" for cell in cells) else text


def notes(plan: Plan, seconds: float) -> list[str]:
    """What the plan rests on and leaves out, a sentence or two each."""
    sources = Counter(cell.source for cell in plan.cells)
    told = {
        "records": "from records of this machine",
        "measured": "measured here on made-up data of the same size",
        "scaled": "scaled from another graph of the same backbone in proportion to its nodes (~)",
        "no training": "without training",
    }
    parts = [f"{sources.pop(name)} {text}" for name, text in told.items() if sources[name]]
    lines = [f"Time of a batch, of {len(plan.cells)} data set and backbone pairs: "]
    lines[0] += f"{'; '.join(parts)}." if parts else "known of none."
    lines += [f"Not known ({DASH}) for {some}: {why}." for why, some in sources.items() if some]
    if any(cell.source == "scaled" for cell in plan.cells):
        lines.append(
            "Models with attention or products over all nodes grow faster than their graph, so ~"
            f" may be far too little; more than --seconds {seconds:g} measures more, and goes on"
            " from here."
        )
    measured = [cell.step for cell in plan.cells if cell.step and cell.source == "measured"]
    shares = [step.core_share for step in measured if not step.undisturbed]
    if shares:
        lines.append(
            f"This machine was busy: {len(shares)} of these had a core for {mean(shares):.0%} of"
            " the time only, so that what one core worked stands for their time. They are not kept;"
            " plan again when nothing else runs."
        )
    if any(cell.step and cell.step.batch < cell.batch for cell in plan.cells):
        lines.append(
            "Large graphs are measured with fewer windows than a batch has; the time of a window is"
            " multiplied."
        )
    if plan.unprepared_breaks:
        names = ", ".join(plan.unprepared_breaks)
        lines.append(f"Windows of {names} are counted as if no night were left out: not prepared.")
    return [*lines, LEFT_OUT]


def plan_values(plan: Plan) -> dict[str, Any]:
    """Everything as plain values, for JSON; seconds and bytes, not rounded."""
    cells = [
        {**asdict(cell), "step": None if cell.step is None else cell.step.model_dump()}
        for cell in plan.cells
    ]
    return {
        "experiment": plan.experiment,
        "runs_together": plan.together,
        "data_bytes": dict(plan.data_bytes),
        "cells": cells,
    }


def _by_dataset(plan: Plan) -> Table:
    grid = _grid("Data set", "nodes", "windows", "runs", "steps", "time", "disk")
    for name in dict.fromkeys(cell.dataset for cell in plan.cells):
        cells = [cell for cell in plan.cells if cell.dataset == name]
        sizes = f"{cells[0].nodes:,}", f"{cells[0].windows.train:,}"
        grid.add_row(name, *sizes, *_sums(cells), size(sum(cell.disk for cell in cells)))
    return grid


def _by_backbone(plan: Plan) -> Table:
    grid = _grid("Backbone", "runs", "steps", "time")
    for name in dict.fromkeys(cell.backbone for cell in plan.cells):
        cells = [cell for cell in plan.cells if cell.backbone == name]
        grid.add_row(label(name), *_sums(cells))
    return grid


def _by_cell(plan: Plan) -> Table:
    grid = _grid("Data set", "backbone", "s a batch", "from", "time")
    for cell in plan.cells:
        step = DASH if cell.step is None else f"{cell.step.train * cell.batch:.3g}"
        source = cell.source if cell.step is not None else DASH
        grid.add_row(cell.dataset, label(cell.backbone), step, source, hours([cell]))
    return grid


def _sums(cells: Sequence[Cell]) -> tuple[str, str, str]:
    runs, steps = sum(cell.runs for cell in cells), sum(cell.steps for cell in cells)
    return f"{runs:,}", count(steps), hours(cells)


def _grid(first: str, *others: str) -> Table:
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    grid.add_column(first, overflow="fold")
    for title in others:
        words = title in ("backbone", "from")
        grid.add_column(title, justify="left" if words else "right", overflow="fold")
    return grid
