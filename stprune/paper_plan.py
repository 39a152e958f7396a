"""What the workflow's rules of the paper need to know; see also `stprune.workflow_plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stprune.compact_layout import PAPER, RECORDS, CompactLayout, compact_experiments
from stprune.figures import FIGURES, STYLE_SHEET
from stprune.layout import ExperimentLayout
from stprune.provenance import import_closure
from stprune.tables import TABLES

HERE = Path(__file__).parent


class PaperPlan:
    """Files of the rules that make the paper from compact records; no run is among them.

    Args:
        results: The folder of all results; the paper lies in ``PAPER`` there.
        records: The folder of all compact records.
    """

    def __init__(self, results: Path, records: Path = RECORDS) -> None:
        self.into = results / PAPER
        self.folder = records
        self.layout = ExperimentLayout(self.into / "{experiment}")

    @property
    def products(self) -> list[str]:
        """The report of every experiment that has compact records."""
        return [
            str(ExperimentLayout(self.into / name).report)
            for name in compact_experiments(self.folder)
        ]

    def records(self, wildcards: Any) -> list[str]:
        """The compact records of ``wildcards.experiment``."""
        layout = CompactLayout(self.folder / wildcards.experiment)
        return [str(path) for path in layout.files]

    def code(self, _: Any) -> list[str]:
        """Source files of the tables, the figures and the report."""
        start = [FIGURES.path(name) for name in FIGURES.ids()]
        start += [TABLES.path(name) for name in TABLES.ids()]
        start += [HERE / "paper.py", *(HERE / "report").glob("*.py")]
        shown = [STYLE_SHEET, *sorted((HERE / "templates").iterdir())]
        return [str(path) for path in (*import_closure(start), *shown)]
