"""What the workflow needs to know of a description: its files and its sources."""

from __future__ import annotations

from pathlib import Path

from stprune.base.layout import DataLayout
from stprune.training.provenance import import_closure

NAMES = (
    "description.json",
    "redundancy.pdf",
    "redundancy.png",
    "statistics.pdf",
    "statistics.png",
)


def description_files(layout: DataLayout, dataset: str) -> list[str]:
    """What is written of a data set (an id or a wildcard); the tables lie beside these."""
    return [str(layout.described(dataset) / name) for name in NAMES]


def description_sources() -> list[str]:
    """Source files that a description depends on."""
    return [str(path) for path in import_closure([Path(__file__).with_name("write.py")])]
