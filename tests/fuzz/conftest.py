"""Says at the end how many inputs each target was given, and what became of them."""

from __future__ import annotations

import pytest
from mutations import COUNTS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each target; nothing when no target ran."""
    for target in sorted({name for name, _ in COUNTS}):
        refused, accepted = COUNTS[target, "refused"], COUNTS[target, "accepted"]
        terminalreporter.write_line(
            f"fuzz {target}: {refused + accepted} inputs, {refused} refused, {accepted} accepted"
        )
