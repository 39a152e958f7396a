"""Makes every product of an experiment that applies to it: tables, figures and the report."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from stprune.base.layout import ExperimentLayout, kept_hashes
from stprune.base.registry import Registry
from stprune.paper import FIGURES, TABLES
from stprune.paper.figures import build, write_drawing
from stprune.paper.fingerprints import (
    KINDS,
    Kind,
    Made,
    compared,
    content_hash,
    read_hashes,
    table_hash,
)
from stprune.paper.report import picture_of, vega_script, write_report
from stprune.paper.tables import Table, write_table
from stprune.results.summary import Results, load_results

REGISTRIES: dict[Kind, Registry[Any]] = {"figures": FIGURES, "tables": TABLES}
# The hash of a table or figure, and the Table or Picture that the report shows of it.
Product = tuple[str, Any]


def applicable(kind: Kind, results: Results) -> list[str]:
    """Ids of the figures, or tables, that have something to show, sorted.

    A module of ``paper_figures`` may define ``applies(results) -> bool``; without it, it applies
    to every experiment. Of a kept experiment only those that its ``hashes.json`` lists are made.

    Raises:
        UnknownNameError: If there is no figure, or table, that is listed.
    """
    registry, listed = REGISTRIES[kind], read_hashes(results.store)
    names = registry.ids() if listed is None else sorted(listed[kind])
    modules = {name: registry.module(name, str(kept_hashes(results.store))) for name in names}
    return [n for n, m in modules.items() if not hasattr(m, "applies") or m.applies(results)]


def make_products(store: Path, into: Path, jobs: int = 1) -> Made:
    """Write all tables, figures and the report of an experiment, the same content every time.

    ``into`` gets ``tables/``, ``figures/`` and ``report.html``; tables and figures that are there
    already are removed. ``jobs`` processes work at the same time.
    """
    results, layout = load_results(store), ExperimentLayout(into)
    for name in KINDS:
        for path in (layout.root / name).glob("*"):
            path.unlink()
    made = _products(results, layout, jobs)
    tables, pictures = ({n: shown for n, (_, shown) in made[kind].items()} for kind in KINDS)
    write_report(layout, results, tables, pictures)
    return _compared(made, store)


def check_products(store: Path) -> Made:
    """Make the tables and figures of an experiment in memory only; see :func:`make_products`."""
    return _compared(_products(load_results(store), None, 1), store)


def _compared(made: dict[Kind, dict[str, Product]], store: Path) -> Made:
    hashes = {k: {name: hashed for name, (hashed, _) in some.items()} for k, some in made.items()}
    return compared(hashes, store)


# What forked processes inherit: the loaded results, and where to write.
_shared: list[Any] = []


def _products(
    results: Results, layout: ExperimentLayout | None, jobs: int
) -> dict[Kind, dict[str, Product]]:
    """Every product that applies, by kind and name; written where there is a layout."""
    wanted = {kind: applicable(kind, results) for kind in KINDS}
    _shared[:] = results, layout
    if jobs == 1:
        return {kind: {n: _make(kind, n) for n in names} for kind, names in wanted.items()}
    with ProcessPoolExecutor(jobs, get_context("fork")) as pool:
        futures = {
            kind: {name: pool.submit(_make, kind, name) for name in names}
            for kind, names in reversed(wanted.items())
        }
        if layout is not None:
            # Bundle the report's scripts meanwhile.
            vega_script()
        return {kind: {n: f.result() for n, f in futures[kind].items()} for kind in KINDS}


def _make(kind: Kind, name: str) -> Product:
    results, layout = _shared
    if kind == "tables":
        table: Table = TABLES.module(name).build(results)
        if layout is not None:
            write_table(table, name, layout)
        return table_hash(table), table
    drawing = build(name, results)
    # Drawing the caption below a figure changes its content, so hash it first.
    hashed = content_hash(drawing.figure, drawing.caption)
    if layout is None:
        return hashed, None
    png, note = write_drawing(drawing, partial(layout.figure, name))
    return hashed, picture_of(name, drawing, png, note)
