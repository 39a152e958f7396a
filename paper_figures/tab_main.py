"""Main results: accuracy and cost of every pruner at every prune ratio."""

from __future__ import annotations

import math

import pandas as pd

from paper_figures.rows import CELL, CELL_COLUMNS, RANKS, SEEDS, experiment_table, with_holes
from stprune.paper.tables import TIMING, Column, Table
from stprune.records.store import REFERENCE
from stprune.results.summary import Results
from stprune.statistics.paired import (
    CONTROLS,
    LEAST_PAIRS,
    LEVEL,
    differences_from,
    holm_within,
    t_test,
)

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
    f" includes validation and checkpoints. {RANKS} A dash: not run, or nothing to compare with."
    " Marks: p below 0.05 in a paired t test over the seeds of the cell, by Holm's correction over"
    " all pruners and prune ratios of the same data set and backbone. † lower MAE than"
    " random_dynamic, ‡ lower than full_fewer_epochs; * at Δ: different from full training. Fewer"
    f" than {LEAST_PAIRS} seeds are not tested, and what is not marked is not thereby equal."
)

COLUMNS = (
    *CELL_COLUMNS,
    SEEDS,
    Column("test_mae", "MAE", 2, "test_mae_sd", ranked=True, marks="control_marks"),
    Column("test_rmse", "RMSE", 2, "test_rmse_sd", ranked=True),
    Column("test_mape", "MAPE (%)", 2, "test_mape_sd", ranked=True),
    Column("test_mae_change", "Δ MAE (%)", 1, signed=True, marks="full_mark"),
    Column("epoch_percent", "Epoch time (%)", 1, marks=TIMING),
    Column("total_percent", "Total time (%)", 1, marks=TIMING),
    Column("gradient_steps", "Steps", 0),
    Column("realised_keep_ratio", "Kept", 3),
)


def build(results: Results) -> Table:
    """One row per data set, backbone, prune ratio and pruner; MAPE is in percent.

    What was run for one data set and backbone but not for another has a row of dashes there.
    """
    frame = with_holes(results.aggregate)
    frame = frame.merge(cell_marks(results.summary), how="left", on=CELL)
    return experiment_table(results, TITLE, CAPTION, frame, COLUMNS)


def cell_marks(summary: pd.DataFrame) -> pd.DataFrame:
    """Test every cell against both controls and full training, over seeds.

    One row per cell that can be paired with any of them: the corrected ``<other>_holm_p``, and
    ``control_marks`` and ``full_mark``, None for none.
    """
    found = pd.DataFrame(columns=CELL).astype(TYPES)
    for other in MARKS:
        found = found.merge(_tested(summary, other), how="outer", on=CELL)
    marks = {other: found[f"{other}_mark"].fillna("") for other in MARKS}
    for name, others in (("control_marks", CONTROLS), ("full_mark", (REFERENCE,))):
        joined = ["".join(row) for row in zip(*(marks[other] for other in others), strict=True)]
        found[name] = pd.Series([mark or None for mark in joined], dtype="object")
    kept = [*CELL, *(f"{other}_holm_p" for other in MARKS), "control_marks", "full_mark"]
    return found[kept]


def _tested(summary: pd.DataFrame, other: str) -> pd.DataFrame:
    """Corrected p of each cell's difference from ``other``, and how it is marked."""
    cells = differences_from(summary, other).groupby(CELL)["difference"]
    p = cells.agg(
        lambda some: t_test(some.to_numpy()) if len(some) >= LEAST_PAIRS else math.nan
    ).astype("float64")
    corrected = holm_within(p.rename("p").reset_index(), CELL[:2], "p").set_axis(p.index)
    better, worse = MARKS[other]
    marks = pd.Series("", p.index, "object").mask(corrected < LEVEL, worse)
    marks = marks.mask((corrected < LEVEL) & (cells.mean() < 0), better)
    found = pd.DataFrame({f"{other}_holm_p": corrected, f"{other}_mark": marks})
    return found.reset_index().astype(TYPES)
