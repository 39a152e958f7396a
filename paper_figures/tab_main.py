"""Main results: accuracy and cost of every pruner at every prune ratio."""

from __future__ import annotations

import math

import pandas as pd

from paper_figures.rows import CELL_COLUMNS, absent, budgets, units, with_holes
from stprune.paper.tables import Column, Table
from stprune.results.summary import KEYS, REFERENCE, Results
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
# How a cell is marked that is better than each of these, and one that is worse.
MARKS = {"random_dynamic": ("†", ""), "full_fewer_epochs": ("‡", ""), REFERENCE: ("*", "*")}

TITLE = "Accuracy and cost of pruned training"

CAPTION = (
    "Test errors are pooled over all windows, nodes and horizon steps (or as protocol `legacy`"
    " has it) and taken once, with the weights of the best validation epoch: mean ± standard"
    " deviation over n seeds (no deviation for one seed). Budget: at prune ratio p a pruner visits"
    " a share 1 - p of the training windows in a pruned epoch; Kept is the share that it did"
    " visit. Two controls show what selection itself adds: random_dynamic draws windows at random"
    " with the same schedule, and full_fewer_epochs trains on all windows for fewer epochs at"
    " equal cost. Δ is the change of the mean against full training of the same data set and"
    " backbone. Times are in % of full training's and include scoring and selection; the total"
    " includes validation and checkpoints. Bold: lowest mean of the same data set, backbone and"
    " prune ratio, full training aside; underlined: second. A dash: not run, or nothing to compare"
    " with."
    " Marks: p below 0.05 in a paired t test over the seeds of the cell, by Holm's correction over"
    " all pruners and prune ratios of the same data set and backbone. † lower MAE than"
    " random_dynamic, ‡ lower than full_fewer_epochs; * at Δ: different from full training. Fewer"
    f" than {LEAST_PAIRS} seeds are not tested, and what is not marked is not thereby equal."
)

COLUMNS = (
    *CELL_COLUMNS,
    Column("seeds", "n", 0),
    Column("test_mae", "MAE", 2, "test_mae_sd", ranked=True, marks="control_marks"),
    Column("test_rmse", "RMSE", 2, "test_rmse_sd", ranked=True),
    Column("test_mape", "MAPE (%)", 2, "test_mape_sd", ranked=True),
    Column("test_mae_change", "Δ MAE (%)", 1, signed=True, marks="full_mark"),
    Column("epoch_percent", "Epoch time (%)", 1),
    Column("total_percent", "Total time (%)", 1),
    Column("gradient_steps", "Steps", 0),
    Column("realised_keep_ratio", "Kept", 3),
)


def build(results: Results) -> Table:
    """The main table of an experiment.

    Args:
        results: The experiment; MAE and RMSE in the target's unit, MAPE in percent.

    Returns:
        One row per data set, backbone, prune ratio and pruner. What was run for one data set and
        backbone but not for another has a row of dashes there.
    """
    notes = [*budgets(results), *absent(results), *units(results)]
    frame = with_holes(results.aggregate)
    return Table(
        title=TITLE,
        caption=" ".join([CAPTION, *notes]),
        frame=frame.merge(cell_marks(results.summary), how="left", on=CELL),
        columns=COLUMNS,
        group=("dataset", "backbone", "prune_ratio"),
        unranked={"pruner": (REFERENCE,)},
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
    family = tested.groupby(CELL[:2])[f"{other}_holm_p"]
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
