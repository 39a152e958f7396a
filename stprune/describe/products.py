"""Makes the figures and tables that compare data sets; no run has a part in them.

They are files of ``paper_figures/data/`` with ``build(described)``, where ``described`` is what
`stprune data describe` found of each data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from stprune.base.layout import DATA, RECORDS, ExperimentLayout
from stprune.base.registry import Registry
from stprune.describe.description import Description
from stprune.paper.figures import Drawing, paper_style, write_drawing
from stprune.paper.fingerprints import Hashes, figure_hash, table_hash
from stprune.paper.tables import Table, write_table

PACKAGE = "paper_figures.data"
DATA_FIGURES: Registry[Any] = Registry("figure of data", (PACKAGE,), "builtins:object", "fig_")
DATA_TABLES: Registry[Any] = Registry("table of data", (PACKAGE,), "builtins:object", "tab_")
# The descriptions that are kept with the project, a folder a data set.
DESCRIPTIONS = RECORDS / DATA


def overview_tables(described: Sequence[Description]) -> dict[str, Table]:
    """Every table that compares data sets, by its id."""
    return {name: DATA_TABLES.module(name).build(described) for name in DATA_TABLES.ids()}


def overview_drawings(described: Sequence[Description]) -> dict[str, Drawing]:
    """Every figure that compares data sets, by its id."""
    with paper_style():
        return {name: DATA_FIGURES.module(name).build(described) for name in DATA_FIGURES.ids()}


def make_overview(described: Sequence[Description], into: Path | None) -> Hashes:
    """Make every table and figure of at least one data set, the same bytes every time.

    ``into`` gets ``tables/`` and ``figures/``; None makes them in memory only.

    Returns:
        The hashes of what was made.
    """
    tables, drawings = overview_tables(described), overview_drawings(described)
    hashes: Hashes = {
        "tables": {name: table_hash(table) for name, table in tables.items()},
        "figures": {name: figure_hash(drawing) for name, drawing in drawings.items()},
    }
    if into is not None:
        layout = ExperimentLayout(into)
        for name, table in tables.items():
            write_table(table, name, layout)
        for name, drawing in drawings.items():
            write_drawing(drawing, partial(layout.figure, name))
    return hashes
