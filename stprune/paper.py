"""Every table, figure and report of the paper from compact records, without any training."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

from stprune.applicable import applicable
from stprune.compact_layout import CompactLayout, compact_experiments
from stprune.errors import RecordError, UnknownNameError
from stprune.figures import FIGURES, build, write_drawing
from stprune.layout import ExperimentLayout
from stprune.paper_hashes import (
    PaperHashes,
    figure_hash,
    read_hashes,
    table_hash,
)
from stprune.report import write_report
from stprune.report.pictures import picture_of
from stprune.summary import load_results
from stprune.tables import TABLES, write_table


class Made(NamedTuple):
    """What was made of an experiment.

    Args:
        hashes: What the tables and figures hold.
        differences: What is not as the records' ``hashes.json`` says; None if there is none yet.
    """

    hashes: PaperHashes
    differences: list[str] | None

    @property
    def verdict(self) -> str:
        """Whether that is what it is to be, in words."""
        if self.differences is None:
            return "nothing says what they are to be"
        return "; ".join(self.differences) or "all as hashes.json says"


def experiments(records: Path, names: list[str]) -> list[str]:
    """The experiments to make: ``names``, or all that have compact records.

    Raises:
        UnknownNameError: If one of them has none.
        RecordError: If there are none at all.
    """
    known = compact_experiments(records)
    if not known:
        raise RecordError(
            f"there are no compact records in {records}; `stprune compact` makes them"
        )
    for name in names:
        if name not in known:
            raise UnknownNameError("experiment", name, known, str(records))
    return names or known


def make_paper(experiment: str, records: Path, into: Path) -> Made:
    """Write the tables, figures and the report of an experiment, the same content every time.

    Args:
        experiment: Its name.
        records: Folder of all compact records.
        into: Folder that gets ``<experiment>/`` with ``tables/``, ``figures/`` and
            ``report.html``. Tables and figures that it has from before are removed.

    Raises:
        RecordError: If a record is missing or damaged.
    """
    compact, layout = CompactLayout(records / experiment), ExperimentLayout(into / experiment)
    results = load_results(ExperimentLayout(compact.root))
    _remove_old(layout)
    hashes = PaperHashes({}, {})
    tables, pictures = {}, {}
    for name in applicable(TABLES, results):
        tables[name] = table = TABLES.module(name).build(results)
        hashes.tables[name] = table_hash(table)
        write_table(table, name, layout)
    for name in applicable(FIGURES, results):
        drawing = build(name, results)
        hashes.figures[name] = figure_hash(drawing)
        files = write_drawing(drawing, partial(layout.figure, name))
        pictures[name] = picture_of(name, drawing, files)
    write_report(layout, results, tables, pictures)
    return Made(hashes, _differences(hashes, compact))


def check_paper(experiment: str, records: Path) -> Made:
    """Make the tables and figures of an experiment in memory only.

    Raises:
        RecordError: If a record is missing or damaged.
    """
    compact = CompactLayout(records / experiment)
    results = load_results(ExperimentLayout(compact.root))
    tables = applicable(TABLES, results)
    figures = applicable(FIGURES, results)
    hashes = PaperHashes(
        {name: table_hash(TABLES.module(name).build(results)) for name in tables},
        {name: figure_hash(build(name, results)) for name in figures},
    )
    return Made(hashes, _differences(hashes, compact))


def _differences(hashes: PaperHashes, compact: CompactLayout) -> list[str] | None:
    path = compact.hashes
    return hashes.differences(read_hashes(path)) if path.exists() else None


def _remove_old(layout: ExperimentLayout) -> None:
    for name in ("tables", "figures"):
        for path in sorted((layout.root / name).glob("*")):
            path.unlink()
