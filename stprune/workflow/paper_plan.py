"""What the workflow's rules of the paper need to know; see also `stprune.workflow.plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stprune.base.layout import (
    DATA,
    PAPER,
    RECORDS,
    ExperimentLayout,
    kept_experiments,
    store_files,
)
from stprune.describe.products import DATA_FIGURES, DATA_TABLES
from stprune.paper.figures import FIGURES, STYLE_SHEET
from stprune.paper.tables import TABLES
from stprune.training.provenance import import_closure

PACKAGE = Path(__file__).parents[1]
MAKE = PACKAGE / "paper" / "products.py"


class PaperPlan:
    """Files of the rules that make the paper from kept experiments; no run is among them.

    Args:
        results: The folder of all results; the paper lies in ``PAPER`` there.
        records: The folder of all kept experiments.
    """

    def __init__(self, results: Path, records: Path = RECORDS) -> None:
        self.into = results / PAPER
        self.folder = records
        self.layout = ExperimentLayout(self.into / "{experiment}")
        self.data = ExperimentLayout(self.into / DATA)

    @property
    def products(self) -> list[str]:
        """The report of every kept experiment, and the data's figures."""
        reports = [
            str(ExperimentLayout(self.into / name).report) for name in kept_experiments(self.folder)
        ]
        return [*reports, str(self.data.root / "figures")] if self.descriptions else reports

    @property
    def descriptions(self) -> list[str]:
        """The kept descriptions of data sets."""
        return [str(path) for path in sorted((self.folder / DATA).glob("*/*"))]

    @property
    def data_code(self) -> list[str]:
        """Source files of the tables and figures of the data sets."""
        start = [DATA_FIGURES.path(name) for name in DATA_FIGURES.ids()]
        start += [DATA_TABLES.path(name) for name in DATA_TABLES.ids()]
        return [str(path) for path in (*import_closure([*start, MAKE]), STYLE_SHEET)]

    def records(self, wildcards: Any) -> list[str]:
        """The store of ``wildcards.experiment``."""
        return [str(path) for path in store_files(self.folder / wildcards.experiment)]

    def code(self, _: Any) -> list[str]:
        """Source files of the tables, the figures and the report."""
        start = [FIGURES.path(name) for name in FIGURES.ids()]
        start += [TABLES.path(name) for name in TABLES.ids()]
        start += [MAKE, *(PACKAGE / "paper" / "report").glob("*.py")]
        shown = [STYLE_SHEET, *sorted((PACKAGE / "paper" / "templates").iterdir())]
        return [str(path) for path in (*import_closure(start), *shown)]
