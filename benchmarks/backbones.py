"""What a training step of each backbone costs, next to the public forms and to peers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.base import BenchResult, Goal
from benchmarks.own_process import in_own_process
from benchmarks.peers import PEERS, missing_package
from benchmarks.step_cost import (
    Form,
    NoCompilerError,
    StepCost,
    StepSize,
    peak_megabytes,
    step_costs,
    trains,
)
from stprune.backbones.base import BACKBONES
from stprune.base.errors import DeclinedError
from stprune.published_forms import CLASSES

SIZE = StepSize()
# Backbones that are measured, or all.
NAMES: tuple[str, ...] | None = None
COMPILED = ("stid", "stgcn", "gwnet")
LEAST_SPEED_UP = {"gwnet": 2.0, "staeformer": 2.0, "stgcn": 1.5, "stid": 1.3}


def run(data_directory: Path) -> BenchResult:
    """Time and weigh training steps on a random graph as thin as PEMS08's.

    Args:
        data_directory: Not used; nothing is read.
    """
    rows: list[dict[str, Any]] = []
    goals: list[Goal] = []
    notes = [
        "A step is forward, mean absolute error, backward, clip to norm 5 and Adam; ours takes as"
        " many windows at a time as its runs do (compute.micro_batch). Forms of a backbone are"
        " timed in turn, each in its process, after one step: step_s is the median, of_ours"
        " the median ratio to our step of the same round.",
        "gflop: matrix products, convolutions and attention of forward and backward, two a"
        " multiply-add, as torch's FlopCounterMode counts them; neither sums and activations nor"
        " the sparse graph products of ours are in it.",
        "peak_mb: largest resident memory of a fresh process's first step, less what was resident"
        " before it. published: the form of the public LargeST or STAEformer code.",
    ]
    for name in NAMES or BACKBONES.ids():
        measured, told = _measure(name)
        rows += measured
        notes += told
        goals += _goals(name, measured)
    return BenchResult(
        title=f"A training step: {SIZE.nodes} nodes, {SIZE.edges} edges, {SIZE.steps} steps in and"
        f" out, batch {SIZE.batch} unless told, {SIZE.threads} threads",
        rows=rows,
        goals=goals,
        notes=notes,
    )


def _measure(name: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of all forms of a backbone, ours first, and what is to be said of them."""
    if not trains(name):
        return [], [f"{name}: nothing to train."]
    forms: list[Form] = ["ours"]
    notes = []
    if name in CLASSES:
        forms.append("published")
    if name in PEERS:
        missing = missing_package(name, SIZE.task())
        if missing is None:
            forms.append("peer")
        else:
            notes.append(f"{name}: its peer in {PEERS[name][0]} does not import here: {missing}.")
    try:
        costs = step_costs(name, tuple(forms), SIZE)
    except DeclinedError as declined:
        return [], [*notes, f"{name}: declined, {declined}"]
    if name in COMPILED:
        costs += step_costs(name, ("ours", "bf16"), SIZE)[1:]
        try:
            costs += step_costs(name, ("ours", "compiled"), SIZE)[1:]
        except NoCompilerError as missing_compiler:
            notes.append(f"{name}: not compiled, {missing_compiler}")
    size = replace(SIZE, batch=costs[0].batch)
    peaks = [in_own_process(peak_megabytes, name, cost.form, size) for cost in costs]
    rows = [_row(name, cost, peak, peaks[0]) for cost, peak in zip(costs, peaks, strict=True)]
    return rows, notes


def _row(name: str, cost: StepCost, peak: float, ours: float) -> dict[str, Any]:
    form = f"{cost.form}: {PEERS[name][0]}" if cost.form == "peer" else cost.form
    return {
        "backbone": name,
        "form": form,
        "batch": cost.batch,
        "parameters": cost.parameters,
        "gflop": cost.operations / 1e9 if cost.operations else "-",
        "step_s": cost.seconds,
        "of_ours": cost.of_ours,
        "peak_mb": peak,
        "memory_of_ours": peak / ours,
    }


def _goals(name: str, rows: list[dict[str, Any]]) -> list[Goal]:
    """Our step's time and memory as shares of the public form's."""
    return [
        goal
        for row in rows
        if row["form"] == "published" and name in LEAST_SPEED_UP
        for goal in (
            Goal(f"step of {name}", 1 / row["of_ours"], 1 / LEAST_SPEED_UP[name], "of published"),
            Goal(f"peak memory of {name}", 1 / row["memory_of_ours"], 1.0, "of published"),
        )
    ]
