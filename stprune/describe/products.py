"""Makes the figures and tables of data sets, of one or of several that are compared.

They are files of ``paper_figures/data/`` with ``build(described)``, where ``described`` is what
`stprune data describe` found of each data set. ``applies(described)`` says whether one has
something to show; without it, it always has.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from stprune.base.layout import ExperimentLayout
from stprune.describe.description import Description, read_descriptions
from stprune.paper import DATA_FIGURES, DATA_TABLES
from stprune.paper.draw import Drawing
from stprune.paper.figures import paper_style, write_drawing
from stprune.paper.fingerprints import Hashes, content_hash, table_hash
from stprune.paper.tables import Table, write_table


def data_tables(described: Sequence[Description]) -> dict[str, Table]:
    """Every table of at least one data set, by its id."""
    return {name: DATA_TABLES.module(name).build(described) for name in DATA_TABLES.ids()}


def data_drawings(described: Sequence[Description]) -> dict[str, Drawing]:
    """Every figure of at least one data set that applies, by its id."""
    modules = {name: DATA_FIGURES.module(name) for name in DATA_FIGURES.ids()}
    with paper_style():
        return {
            name: module.build(described)
            for name, module in modules.items()
            if not hasattr(module, "applies") or module.applies(described)
        }


def write_figures(description: Description, directory: Path) -> list[Path]:
    """Write the figures of one data set as PDF and PNG; returns the latter."""
    shown = []
    for name, drawing in data_drawings([description]).items():
        paths = {kind: directory / f"{name}.{kind}" for kind in ("pdf", "png")}
        write_drawing(drawing, paths.__getitem__)
        shown.append(paths["png"])
    return shown


def make_overview(descriptions: Path, into: Path | None) -> Hashes:
    """Make every table and figure of a folder of descriptions, in memory or ``into`` files."""
    described = read_descriptions(descriptions)
    tables, drawings = data_tables(described), data_drawings(described)
    hashes: Hashes = {
        "tables": {name: table_hash(table) for name, table in tables.items()},
        "figures": {name: content_hash(one.figure, one.caption) for name, one in drawings.items()},
    }
    if into is not None:
        layout = ExperimentLayout(into)
        for name, table in tables.items():
            write_table(table, name, layout)
        for name, drawing in drawings.items():
            write_drawing(drawing, partial(layout.figure, name))
    return hashes
