"""What the benchmarks share: results with goals, the command line, a process to measure in."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

Row = dict[str, str | float]


@dataclass(frozen=True)
class Goal:
    """A figure and the largest value that it should have."""

    name: str
    value: float
    limit: float


@dataclass(frozen=True)
class BenchResult:
    """What one benchmark measured: rows with the same columns, and its goals."""

    title: str
    rows: Sequence[Row]
    goals: Sequence[Goal]

    def text(self) -> str:
        """The table, then each goal with what was measured."""
        cells = [list(self.rows[0]), *([_cell(v) for v in row.values()] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            for line in cells
        ]
        verdicts = [
            f"{'met' if goal.value <= goal.limit else 'MISSED':7}{goal.name}: {goal.value:.4g},"
            f" at most {goal.limit:.4g}"
            for goal in self.goals
        ]
        return "\n".join([self.title, "", *lines, "", *verdicts, ""])


def main(run: Callable[[], BenchResult], arguments: Sequence[str] | None = None) -> int:
    """Run a benchmark from the command line.

    Args:
        run: Measures.
        arguments: Of the command line; those of the process by default.

    Returns:
        1 if ``--check`` was given and a goal was missed, else 0.
    """
    parser = argparse.ArgumentParser(description=sys.modules[run.__module__].__doc__)
    parser.add_argument("--check", action="store_true", help="exit 1 if a goal is missed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parsed = parser.parse_args(arguments)
    result = run()
    sys.stdout.write(result.text())
    if parsed.json:
        parsed.json.write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")
    return int(parsed.check and not all(g.value <= g.limit for g in result.goals))


def own_process() -> ProcessPoolExecutor:
    """A fresh process that calls functions of modules, one after another, and keeps its state."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def resident(entry: Literal["VmRSS", "VmHWM"]) -> int:
    """Bytes of memory that this process has resident now, or had at its peak (Linux)."""
    # Not ru_maxrss, which a process inherits from the one that started it.
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(entry + ":"):
            return int(line.split()[1]) * 1024
    raise AssertionError(entry)


def _cell(value: str | float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
