"""Finds and writes the figures and tables that compare data sets; no run has a part in them.

They are files of ``paper_figures/data/`` with ``build(described)``, where ``described`` is what
`stprune data describe` found of each data set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import paper_figures
from stprune.base.layout import ExperimentLayout
from stprune.base.registry import Registry
from stprune.describe.description import Description
from stprune.paper.figures import Drawing, paper_style, write_drawing
from stprune.paper.tables import Table, write_table

PACKAGE = "paper_figures.data"
DATA_FIGURES: Registry[Any] = Registry(
    kind="figure of data", packages=(PACKAGE,), contract="builtins:object", prefix="fig_"
)
DATA_TABLES: Registry[Any] = Registry(
    kind="table of data", packages=(PACKAGE,), contract="builtins:object", prefix="tab_"
)
# The descriptions that are kept with the project, a folder a data set.
DESCRIPTIONS = Path(paper_figures.__path__[0]) / "records" / "data"


def overview_drawings(described: Sequence[Description]) -> dict[str, Drawing]:
    """Every figure by its id, in memory.

    Args:
        described: At least one data set.
    """
    drawings = {}
    for name in DATA_FIGURES.ids():
        function: Callable[[Sequence[Description]], Drawing] = DATA_FIGURES.module(name).build
        with paper_style():
            drawings[name] = function(described)
    return drawings


def overview_tables(described: Sequence[Description]) -> dict[str, Table]:
    """Every table by its id, in memory; arguments as of :func:`overview_drawings`."""
    return {name: DATA_TABLES.module(name).build(described) for name in DATA_TABLES.ids()}


def write_overview(described: Sequence[Description], root: Path) -> list[Path]:
    """Write every table and figure below ``root``, the same bytes every time.

    Args:
        described: At least one data set.
        root: Gets ``tables/`` and ``figures/``, as an experiment's folder does.

    Returns:
        The tables as Markdown and the figures as PNG.
    """
    layout = ExperimentLayout(root)
    shown = []
    for name, table in overview_tables(described).items():
        write_table(table, name, layout)
        shown.append(layout.table(name, "md"))
    for name, drawing in overview_drawings(described).items():
        write_drawing(drawing, partial(layout.figure, name))
        shown.append(layout.figure(name, "png"))
    return shown
