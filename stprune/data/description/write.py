"""The files of a description: one csv a table, two figures, and the key numbers as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from stprune import atomic
from stprune.data.description.describe import Description
from stprune.data.description.figures import redundancy_figure, statistics_figure
from stprune.figures import paper_style, write_drawing

# Enough for every use, and the same text wherever the last bits differ.
DIGITS = "%.8g"


def write_description(description: Description, directory: Path) -> list[Path]:
    """Write all files into ``directory``; ``description.json`` last.

    Returns:
        The figures as PNG and the key numbers: what to look at first.
    """
    write_tables(description.tables, directory)
    shown = []
    for name, draw in (("redundancy", redundancy_figure), ("statistics", statistics_figure)):
        with paper_style():
            drawing = draw(description)
        write_drawing(drawing, partial(_figure, directory, name))
        shown.append(directory / f"{name}.png")
    return [*shown, write_facts(description.facts, directory / "description.json")]


def _figure(directory: Path, name: str, kind: str) -> Path:
    return directory / f"{name}.{kind}"


def write_tables(tables: Mapping[str, pd.DataFrame], directory: Path) -> None:
    """Write each table as ``<name>.csv``."""
    for name, table in tables.items():
        text = table.to_csv(index=False, float_format=DIGITS, lineterminator="\n")
        atomic.write_text(directory / f"{name}.csv", text)


def write_facts(facts: Mapping[str, Any], path: Path) -> Path:
    """Write plain values as JSON; returns where."""
    atomic.write_json(path, dict(facts))
    return path
