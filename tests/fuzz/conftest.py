"""Says at the end how many inputs each target was given, and what became of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from mutations import COUNTS

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A campaign takes as long as it takes."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(0))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each target; nothing when no target ran."""
    for target in sorted({name for name, _ in COUNTS}):
        refused, accepted = COUNTS[target, "refused"], COUNTS[target, "accepted"]
        terminalreporter.write_line(
            f"fuzz {target}: {refused + accepted} inputs, {refused} refused, {accepted} accepted"
        )
