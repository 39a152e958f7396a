"""The data sets: size, span, target, what is missing, windows, graph, terms, source."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from stprune.describe.description import Description
from stprune.paper.tables import Column, Table

TITLE = "Data sets"

COLUMNS = (
    Column("title", "Data set"),
    Column("nodes", "Nodes", 0),
    Column("edges", "Edges", 0),
    Column("steps", "Steps", 0),
    Column("step_minutes", "Step (min)", 0),
    Column("first", "From"),
    Column("last", "To"),
    Column("target", "Target"),
    Column("missing_percent", "Missing (%)", 2),
    Column("train_windows", "Train", 0, over="Windows"),
    Column("validation_windows", "Val.", 0, over="Windows"),
    Column("test_windows", "Test", 0, over="Windows"),
    Column("source", "Source"),
    Column("licence", "Licence"),
)


def build(described: Sequence[Description]) -> Table:
    """One row a data set."""
    frame = pd.DataFrame([_row(one) for one in described])
    options = [one.facts["options"] for one in described]
    lengths = sorted({(option["history"], option["horizon"]) for option in options})
    windows = " or ".join(f"{history} + {horizon}" for history, horizon in lengths)
    caption = (
        "Edges: weights that are not 0, each direction counted, without loops. From and to: local"
        f" time. Missing: of the target. Windows: of {windows} steps at stride 1, split by time,"
        " none across a break of the time axis; a study may take fewer, which its records say."
    )
    return Table(TITLE, caption, frame, COLUMNS)


def _row(one: Description) -> dict[str, Any]:
    card = one.facts["card"]
    return {
        "dataset": one.facts["dataset"],
        **{key: card[key] for key in ("title", "nodes", "edges", "steps", "step_minutes")},
        "first": card["first"][:10],
        "last": card["last"][:10],
        "target": f"{one.facts['quantity']} ({one.facts['unit']})",
        "missing_percent": 100 * float(one.tables["by_node"]["missing_rate"].mean()),
        **{key: card[key] for key in ("train_windows", "validation_windows", "test_windows")},
        "source": card["source"],
        # The terms without what the card adds to them.
        "licence": card["licence"].split(";")[0].split(" (")[0].strip().rstrip("."),
    }
