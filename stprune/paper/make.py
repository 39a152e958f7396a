"""Every table, figure and report of the paper from kept records, without any training."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

from stprune.base.errors import RecordError, UnknownNameError
from stprune.base.layout import DATA, ExperimentLayout, kept_experiments, kept_hashes
from stprune.describe.read import read_descriptions
from stprune.paper.applicable import applicable
from stprune.paper.data_overview import overview_drawings, overview_tables
from stprune.paper.figures import FIGURES, Drawing, FigureFiles, build, write_drawing
from stprune.paper.hashes import PaperHashes, figure_hash, read_hashes, table_hash
from stprune.paper.report import write_report
from stprune.paper.report.pictures import picture_of
from stprune.paper.tables import TABLES, Table, write_table
from stprune.results.summary import Results, load_results


class Made(NamedTuple):
    """What was made of a part.

    Args:
        hashes: What its tables and figures hold.
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


class Part(NamedTuple):
    """An experiment, or what compares the data sets, in memory.

    Args:
        tables: By name.
        drawings: By name, without notes.
        results: Of the experiment; None of the data sets.
    """

    tables: dict[str, Table]
    drawings: dict[str, Drawing]
    results: Results | None


def parts(records: Path, names: list[str]) -> list[str]:
    """What is to be made: ``names``, or every kept experiment and ``data``.

    Raises:
        UnknownNameError: If one of the names has no records.
        RecordError: If there are none at all.
    """
    known = kept_experiments(records) + ([DATA] if (records / DATA).is_dir() else [])
    if not known:
        raise RecordError(
            f"there are no kept experiments in {records}; copy there the `store` of one"
        )
    for name in names:
        if name not in known:
            raise UnknownNameError("experiment", name, known, str(records))
    return names or known


def make_paper(name: str, records: Path, into: Path) -> Made:
    """Write the tables, figures and the report of a part, the same content every time.

    Args:
        name: Of an experiment, or ``data``.
        records: Folder of all kept experiments.
        into: Folder that gets ``<name>/`` with ``tables/``, ``figures/`` and, of an experiment,
            ``report.html``. Tables and figures that it has from before are removed.

    Raises:
        StpruneError: If a record, or the description of a data set, is missing or damaged.
    """
    part, layout = build_part(name, records), ExperimentLayout(into / name)
    made = compare(part, records / name)
    _remove_old(layout)
    for table_name, table in part.tables.items():
        write_table(table, table_name, layout)
    files = {
        figure: write_drawing(drawing, partial(layout.figure, figure))
        for figure, drawing in part.drawings.items()
    }
    _write_report(part, files, layout)
    return made


def check_paper(name: str, records: Path) -> Made:
    """Make the tables and figures of a part in memory only; arguments as of :func:`make_paper`.

    Raises:
        StpruneError: If a record, or the description of a data set, is missing or damaged.
    """
    return compare(build_part(name, records), records / name)


def build_part(name: str, records: Path) -> Part:
    """All tables and figures of a part, in memory; arguments as of :func:`make_paper`.

    Raises:
        StpruneError: If a record, or the description of a data set, is missing or damaged.
    """
    if name == DATA:
        described = read_descriptions(records / DATA)
        return Part(overview_tables(described), overview_drawings(described), None)
    results = load_results(records / name)
    tables = {table: TABLES.module(table).build(results) for table in applicable(TABLES, results)}
    drawings = {figure: build(figure, results) for figure in applicable(FIGURES, results)}
    return Part(tables, drawings, results)


def compare(part: Part, store: Path) -> Made:
    """What a part holds, and how that differs from what the records say that it is to hold."""
    hashes = PaperHashes(
        {name: table_hash(table) for name, table in part.tables.items()},
        {name: figure_hash(drawing) for name, drawing in part.drawings.items()},
    )
    path = kept_hashes(store)
    return Made(hashes, hashes.differences(read_hashes(path)) if path.exists() else None)


def _write_report(part: Part, files: dict[str, FigureFiles], layout: ExperimentLayout) -> None:
    if part.results is None:
        return
    pictures = {
        name: picture_of(name, drawing, files[name]) for name, drawing in part.drawings.items()
    }
    write_report(layout, part.results, part.tables, pictures)


def _remove_old(layout: ExperimentLayout) -> None:
    for name in ("tables", "figures"):
        for path in sorted((layout.root / name).glob("*")):
            path.unlink()
