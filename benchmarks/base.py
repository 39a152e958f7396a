"""What the benchmarks share: results with goals, and the command line."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pandas as pd

Row = dict[str, str | float]


class Goal(NamedTuple):
    """A figure and the largest value that it should have."""

    name: str
    value: float
    limit: float


class BenchResult(NamedTuple):
    """What one benchmark measured: rows with the same columns, and its goals."""

    title: str
    rows: Sequence[Row]
    goals: Sequence[Goal]

    def text(self) -> str:
        """The table, then each goal with what was measured."""
        table = pd.DataFrame(self.rows).to_string(index=False, float_format="{:.4g}".format)
        verdicts = [
            f"{'met' if value <= limit else 'MISSED':7}{name}: {value:.4g}, at most {limit:.4g}"
            for name, value, limit in self.goals
        ]
        return "\n".join([self.title, "", table, "", *verdicts, ""])


def main(run: Callable[[], BenchResult], arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if ``--check`` was given and a goal was missed, else 0."""
    parser = argparse.ArgumentParser(description=sys.modules[run.__module__].__doc__)
    parser.add_argument("--check", action="store_true", help="exit 1 if a goal is missed")
    checked = parser.parse_args(arguments).check
    result = run()
    sys.stdout.write(result.text())
    return int(checked and any(goal.value > goal.limit for goal in result.goals))
