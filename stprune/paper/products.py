"""Makes every product of an experiment that applies to it: tables, figures and the report."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from stprune.base.layout import ExperimentLayout
from stprune.base.registry import Registry
from stprune.paper.figures import FIGURES, build, write_drawing
from stprune.paper.fingerprints import (
    KINDS,
    Hashes,
    Kind,
    differences,
    figure_hash,
    read_hashes,
    table_hash,
)
from stprune.paper.report import Picture, picture_of, vega_script, write_report
from stprune.paper.tables import TABLES, Table, write_table
from stprune.results.summary import Results, load_results

REGISTRIES: dict[Kind, Registry[Any]] = {"figures": FIGURES, "tables": TABLES}
# The hash of a table or figure, and what the report shows of it; None if no file was written.
Product = tuple[str, Table | Picture | None]


class Made(NamedTuple):
    """Hashes of what was made of an experiment, and what is not as its ``hashes.json`` says."""

    hashes: Hashes
    differences: list[str] | None  # None if there is no such file.

    @property
    def in_words(self) -> str:
        """How much was made, and whether it is as expected."""
        tables, figures = (len(self.hashes[kind]) for kind in KINDS)
        verdict = "; ".join(self.differences or []) or "all as hashes.json says"
        if self.differences is None:
            verdict = "no hashes.json to compare with"
        return f"{tables} tables, {figures} figures; {verdict}"


def applicable(registry: Registry[Any], results: Results) -> list[str]:
    """Ids of the figures, or tables, that have something to show, sorted.

    A module of ``paper_figures`` may define ``applies(results) -> bool``; without it, it applies
    to every experiment.
    """
    modules = {name: registry.module(name) for name in registry.ids()}
    return [n for n, m in modules.items() if not hasattr(m, "applies") or m.applies(results)]


def make_products(store: Path, into: Path, jobs: int = 1) -> Made:
    """Write all tables, figures and the report of an experiment, the same content every time.

    ``into`` gets ``tables/``, ``figures/`` and ``report.html``; tables and figures that are there
    already are removed. ``jobs`` processes work at the same time.

    Raises:
        StpruneError: If a record is missing or damaged.
    """
    results, layout = load_results(store), ExperimentLayout(into)
    for name in KINDS:
        for path in sorted((layout.root / name).glob("*")):
            path.unlink()
    made = _products(results, layout, jobs)
    tables = {name: shown for (_, name), (_, shown) in made.items() if isinstance(shown, Table)}
    pictures = {name: shown for (_, name), (_, shown) in made.items() if isinstance(shown, Picture)}
    write_report(layout, results, tables, pictures)
    return compared(_hashes(made), store)


def check_products(store: Path, jobs: int = 1) -> Made:
    """Make the tables and figures of an experiment in memory only; see :func:`make_products`."""
    return compared(_hashes(_products(load_results(store), None, jobs)), store)


def compared(hashes: Hashes, folder: Path) -> Made:
    """Compare what was made with the ``hashes.json`` of ``folder``."""
    expected = read_hashes(folder)
    return Made(hashes, None if expected is None else differences(hashes, expected))


def _hashes(made: dict[tuple[Kind, str], Product]) -> Hashes:
    return {
        kind: {name: hashed for (of, name), (hashed, _) in made.items() if of == kind}
        for kind in KINDS
    }


def _products(
    results: Results, layout: ExperimentLayout | None, jobs: int
) -> dict[tuple[Kind, str], Product]:
    """Every product that applies, by kind and name; written where there is a layout."""
    wanted = [(kind, n) for kind, some in REGISTRIES.items() for n in applicable(some, results)]
    if jobs == 1:
        return {one: _make(one, results, layout) for one in wanted}
    # Forked processes inherit the loaded results and modules.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(jobs, context, _shared.extend, ((results, layout),)) as pool:
        futures = [(one, pool.submit(_make_shared, one)) for one in wanted]
        if layout is not None:
            # Bundle the report's scripts meanwhile.
            vega_script()
        return {one: future.result() for one, future in futures}


def _make(one: tuple[Kind, str], results: Results, layout: ExperimentLayout | None) -> Product:
    kind, name = one
    if kind == "tables":
        table: Table = TABLES.module(name).build(results)
        if layout is not None:
            write_table(table, name, layout)
        return table_hash(table), table
    drawing = build(name, results)
    # Drawing the caption below a figure changes its content, so hash it first.
    hashed = figure_hash(drawing)
    if layout is None:
        return hashed, None
    png, note = write_drawing(drawing, partial(layout.figure, name))
    return hashed, picture_of(FIGURES.module(name).TITLE, drawing, png, note)


# What a forked process works on.
_shared: list[Any] = []


def _make_shared(one: tuple[Kind, str]) -> Product:
    return _make(one, *_shared)
