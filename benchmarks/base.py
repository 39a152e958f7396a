"""What a benchmark yields: figures measured side by side in one run, and goals to hold them to."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stprune.base import atomic
from stprune.base.errors import StpruneError
from stprune.base.registry import Registry

BENCHES: Registry[Any] = Registry(
    kind="bench",
    packages=("benchmarks",),
    contract="builtins:object",
    others=("base", "loaders", "made_up", "own_process", "peers", "step_cost"),
)


@dataclass(frozen=True)
class Goal:
    """A figure that should not exceed a limit.

    Args:
        name: What is measured.
        value: The measured figure.
        limit: Largest value that meets the goal.
        unit: Unit of both.
    """

    name: str
    value: float
    limit: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether the figure is within the limit."""
        return self.value <= self.limit


@dataclass(frozen=True)
class BenchResult:
    """All that one benchmark measured.

    Args:
        title: What it is about, and on what.
        rows: One mapping of column to value per line of its table.
        goals: What it is held to.
        notes: Sentences that belong to the figures.
        derived: Lines of a second table, of what follows from the measured figures.
    """

    title: str
    rows: Sequence[dict[str, Any]]
    goals: Sequence[Goal]
    notes: Sequence[str] = field(default_factory=tuple)
    derived: Sequence[dict[str, Any]] = field(default_factory=tuple)

    def text(self) -> str:
        """The tables, the notes, and each goal with what was measured."""
        lines = [self.title, "", *_table(self.rows), ""]
        if self.derived:
            lines += [*_table(self.derived), ""]
        lines += self.notes
        for goal in self.goals:
            verdict = "met" if goal.met else "MISSED"
            lines.append(
                f"{verdict:7}{goal.name}: {goal.value:.4g} {goal.unit} (goal: {goal.limit:.4g})"
            )
        return "\n".join(lines) + "\n"

    def write(self, path: Path) -> None:
        """Write everything as JSON."""
        goals = [{**asdict(goal), "met": goal.met} for goal in self.goals]
        values = {"title": self.title, "rows": list(self.rows), "derived": list(self.derived)}
        atomic.write_json(path, {**values, "goals": goals, "notes": list(self.notes)})


class MissedGoalError(StpruneError):
    """A benchmark that was asked to check its goals missed one."""


def check(result: BenchResult) -> None:
    """Raise if a goal was missed.

    Raises:
        MissedGoalError: Naming the goals that were.
    """
    missed = [goal.name for goal in result.goals if not goal.met]
    if missed:
        raise MissedGoalError(f"goals missed: {'; '.join(missed)}")


def run_bench(name: str, data_directory: Path) -> BenchResult:
    """Run the benchmark ``benchmarks/<name>.py``.

    Raises:
        UnknownNameError: If there is none.
    """
    function: Callable[[Path], BenchResult] = BENCHES.module(name).run
    return function(data_directory)


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    names = list(rows[0])
    cells = [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in [names, *cells]
    ]


def _cell(value: Any) -> str:
    return (
        json.dumps(value)
        if not isinstance(value, float | str)
        else (f"{value:.4g}" if isinstance(value, float) else value)
    )
