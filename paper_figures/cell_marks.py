"""Which cells of a table are tested to differ from full training or to beat a control."""

from __future__ import annotations

import math

import pandas as pd

from stprune.results.summary import KEYS, REFERENCE
from stprune.statistics.paired import (
    CONTROLS,
    LEAST_PAIRS,
    LEVEL,
    differences_from_full,
    holm,
    relative_differences,
    t_test,
)

CELL = KEYS[:-1]
# So that an empty table can be joined with one that is not.
TYPES = {**dict.fromkeys(CELL, "object"), "prune_ratio": "float64"}
PLACE = CELL[:2]
# Of each other entry: how a cell is marked that is better than it, and one that is worse.
MARKS = {"random_dynamic": ("†", ""), "full_fewer_epochs": ("‡", ""), REFERENCE: ("*", "*")}
CAPTION = (
    "Marks: p below 0.05 in a paired t test over the seeds of the cell, by Holm's correction over"
    " all pruners and prune ratios of the same data set and backbone. † lower MAE than"
    " random_dynamic, ‡ lower than full_fewer_epochs; * at Δ: different from full training. Fewer"
    f" than {LEAST_PAIRS} seeds are not tested, and what is not marked is not thereby equal."
)


def cell_marks(summary: pd.DataFrame) -> pd.DataFrame:
    """Test every cell against both controls and full training, over seeds.

    Args:
        summary: One row a run. A test MAE of 0 has no difference in percent, so no test.

    Returns:
        One row per cell that can be paired with any of them: ``CELL``; for each other the
        corrected ``<other>_holm_p``; and ``control_marks`` and ``full_mark``, None for none.

    Raises:
        RecordError: If a run is there twice.
    """
    comparable = summary[summary["test_mae"] > 0]
    found = pd.DataFrame(columns=CELL).astype(TYPES)
    for other in MARKS:
        found = found.merge(_tested(comparable, other), how="outer", on=CELL)
    marks = {
        "control_marks": [_joined(row, CONTROLS) for _, row in found.iterrows()],
        "full_mark": [_joined(row, (REFERENCE,)) for _, row in found.iterrows()],
    }
    kept = [*CELL, *(f"{other}_holm_p" for other in MARKS)]
    return found[kept].assign(**{name: pd.Series(m, dtype="object") for name, m in marks.items()})


def _tested(summary: pd.DataFrame, other: str) -> pd.DataFrame:
    """Mean difference of each cell from ``other``, and its corrected p."""
    cells = _differences(summary, other).groupby(CELL)["difference"]
    tested = pd.DataFrame(
        {
            f"{other}_mean": cells.mean(),
            f"{other}_holm_p": cells.apply(
                lambda values: t_test(values.to_numpy()) if len(values) >= LEAST_PAIRS else math.nan
            ).astype("float64"),
        }
    )
    family = tested.groupby(PLACE)[f"{other}_holm_p"]
    tested[f"{other}_holm_p"] = family.transform(lambda p: holm(p.tolist()))
    return tested.reset_index().astype(TYPES)


def _differences(summary: pd.DataFrame, other: str) -> pd.DataFrame:
    if other == REFERENCE:
        return differences_from_full(summary)
    names = sorted(set(summary["pruner"]) - {REFERENCE, other})
    parts = [relative_differences(summary, name, other).assign(pruner=name) for name in names]
    return pd.concat(parts) if parts else pd.DataFrame(columns=[*CELL, "difference"])


def _joined(row: pd.Series[float], others: tuple[str, ...]) -> str | None:
    marks = ""
    for other in others:
        if row[f"{other}_holm_p"] < LEVEL:
            better, worse = MARKS[other]
            marks += better if row[f"{other}_mean"] < 0 else worse
    return marks or None
