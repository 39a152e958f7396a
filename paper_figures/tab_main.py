"""Main results: accuracy and cost of every pruner at every prune ratio."""

import numpy as np
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

# How a cell is marked that is better than each of these, and one that is worse.
MARKS = {"random_dynamic": ("†", ""), "full_fewer_epochs": ("‡", ""), REFERENCE: ("*", "*")}

TITLE = "Accuracy and cost of pruned training"

CAPTION = (
    "Test errors are pooled over all windows, nodes and horizon steps (or as protocol `legacy`"
    " has it) and taken once, with the weights of the best validation epoch: mean ± standard"
    " deviation over n seeds. Kept: the share of the training windows that a pruned epoch visits,"
    " 1 - p by its budget. Two controls show what selection itself adds: random_dynamic draws"
    " windows at random with the same schedule, full_fewer_epochs trains on all windows for fewer"
    " epochs. Δ: change of the mean against full training of the same data set and backbone. Times"
    " are in % of full training's and include scoring and selection; the total includes validation"
    f" and checkpoints. {RANKS} A dash: not run, or nothing to compare with. Marks: p below 0.05 in"
    " a paired t test over the seeds of the cell, by Holm's correction over all pruners and prune"
    " ratios of the same data set and backbone. † lower MAE than random_dynamic, ‡ lower than"
    f" full_fewer_epochs; * at Δ: different from full training. Fewer than {LEAST_PAIRS} seeds are"
    " not tested, and what is not marked is not thereby equal."
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
    """One row per data set, backbone, prune ratio and pruner, of dashes where it was not run."""
    marks = cell_marks(results.summary)
    frame = with_holes(results.aggregate).merge(marks, how="left", on=CELL)
    return experiment_table(results, TITLE, CAPTION, frame, COLUMNS)


def cell_marks(summary: pd.DataFrame) -> pd.DataFrame:
    """Test every cell against both controls and full training, over seeds.

    One row per cell: the corrected ``<other>_holm_p``, and ``control_marks`` and ``full_mark``,
    None for none.
    """
    found = pd.DataFrame(index=pd.MultiIndex.from_frame(summary[CELL].drop_duplicates()))
    for other, (better, worse) in MARKS.items():
        cells = differences_from(summary, other).groupby(CELL)["difference"]
        p = cells.agg(lambda some: t_test(some.to_numpy())).where(cells.size() >= LEAST_PAIRS)
        found["mean"], found["p"] = cells.mean(), p.astype("float64")
        found[f"{other}_holm_p"] = corrected = holm_within(found, CELL[:2], "p")
        cases = [(corrected < LEVEL) & (found["mean"] < 0), corrected < LEVEL]
        found[other] = pd.Series(np.select(cases, [better, worse], ""), found.index, "object")
    for name, marks in (
        ("control_marks", found[CONTROLS[0]] + found[CONTROLS[1]]),
        ("full_mark", found[REFERENCE]),
    ):
        found[name] = marks.where(marks != "", None)
    kept = [*CELL, *(f"{other}_holm_p" for other in MARKS), "control_marks", "full_mark"]
    return found.reset_index()[kept]
