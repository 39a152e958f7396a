"""How many faults were tried, survived and lost, by stage."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field

# A line of progress after so many faults of a stage.
REPORTED = 5


@dataclass
class Tally:
    """The counts of a campaign.

    Args:
        tried: Faults that struck, by stage.
        lost: Those after which something was not as without them.
        problems: What.
    """

    tried: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def note(self, stage: str, faults: int, problems: list[str]) -> None:
        """Count the faults of a trial, and whether all was well after them."""
        self.tried[stage] += faults
        if problems:
            self.lost[stage] += max(faults, 1)
            self.problems += [f"{stage}: {problem}" for problem in problems]
            sys.stderr.write("".join(f"{stage}: {problem}\n" for problem in problems))
        if self.tried[stage] % REPORTED < faults:
            sys.stderr.write(f"{stage}: {self.tried[stage]} tried, {self.lost[stage]} lost\n")
            sys.stderr.flush()

    def rows(self) -> list[tuple[str, int, int, int]]:
        """Stage, tried, survived, lost; the last row is their sum."""
        rows = [(s, n, n - self.lost[s], self.lost[s]) for s, n in self.tried.items()]
        total = ("all", *(sum(row[i] for row in rows) for i in (1, 2, 3)))
        return [*rows, total]

    def text(self) -> str:
        """A table for the terminal."""
        lines = [f"{'stage':<24}{'tried':>8}{'survived':>10}{'lost':>6}"]
        lines += [f"{s:<24}{tried:>8}{ok:>10}{lost:>6}" for s, tried, ok, lost in self.rows()]
        return "\n".join(lines) + "\n"

    def values(self) -> dict[str, object]:
        """For a JSON file."""
        counts = {s: {"tried": t, "survived": ok, "lost": lost} for s, t, ok, lost in self.rows()}
        return {"stages": counts, "problems": self.problems}
