"""The files of a description: one csv a table, two figures, and the key numbers as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pandas as pd

from stprune.base.files import write_json, write_text
from stprune.describe.described import Description
from stprune.describe.figures import redundancy_figure, statistics_figure
from stprune.paper.figures import paper_style, write_drawing

# Enough for every use, and the same text wherever the last bits differ.
DIGITS = "%.6g"
FACTS = "description.json"
MASKING_FACTS = "masking.json"


def write_description(
    description: Description, directory: Path, *, figures: bool = True
) -> list[Path]:
    """Write all files into ``directory``; ``description.json`` last.

    Args:
        description: What is written.
        directory: Where to.
        figures: Whether the two figures are drawn too.

    Returns:
        The figures as PNG and the key numbers: what to look at first.
    """
    write_tables(description.tables, directory)
    shown = []
    drawn = (("redundancy", redundancy_figure), ("statistics", statistics_figure))
    for name, draw in drawn if figures else ():
        with paper_style():
            drawing = draw(description)
        write_drawing(drawing, partial(figure_path, directory, name))
        shown.append(directory / f"{name}.png")
    facts = directory / FACTS
    write_json(facts, description.facts)
    return [*shown, facts]


def write_tables(tables: Mapping[str, pd.DataFrame], directory: Path) -> None:
    """Write each table as ``<name>.csv``."""
    for name, table in tables.items():
        text = table.to_csv(index=False, float_format=DIGITS, lineterminator="\n")
        write_text(directory / f"{name}.csv", text)


def figure_path(directory: Path, name: str, kind: str) -> Path:
    """Where the file of a kind, ``pdf`` or ``png``, of a figure goes."""
    return directory / f"{name}.{kind}"
