"""Main results: accuracy and cost of every pruner at every prune ratio."""

from __future__ import annotations

from dataclasses import replace

from paper_figures.cell_marks import CAPTION as MARKS_CAPTION
from paper_figures.cell_marks import CELL, cell_marks
from paper_figures.rows import absent_controls, budgets, units, with_holes
from stprune.paper.tables import Column, Table
from stprune.results.summary import REFERENCE, Results

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
)

COLUMNS = (
    Column("dataset", "Data set"),
    Column("backbone", "Backbone", named=True),
    Column("prune_ratio", "Prune ratio"),
    Column("pruner", "Pruner", named=True),
    Column("seeds", "n", 0),
    Column("test_mae", "MAE", 2, "test_mae_sd", ranked=True),
    Column("test_rmse", "RMSE", 2, "test_rmse_sd", ranked=True),
    Column("test_mape", "MAPE (%)", 2, "test_mape_sd", ranked=True),
    Column("test_mae_change", "Δ MAE (%)", 1, signed=True),
    Column("epoch_percent", "Epoch time (%)", 1),
    Column("total_percent", "Total time (%)", 1),
    Column("gradient_steps", "Steps", 0),
    Column("realised_keep_ratio", "Kept", 3),
)

# Where the marks of significance stand. The terminal shows the same columns without them.
MARKED = {"test_mae": "control_marks", "test_mae_change": "full_mark"}


def build(results: Results) -> Table:
    """The main table of an experiment.

    Args:
        results: The experiment; MAE and RMSE in the target's unit, MAPE in percent.

    Returns:
        One row per data set, backbone, prune ratio and pruner. What was run for one data set and
        backbone but not for another has a row of dashes there.
    """
    notes = [MARKS_CAPTION, *budgets(results), *absent_controls(results), *units(results)]
    frame = with_holes(results.aggregate)
    return Table(
        title=TITLE,
        caption=" ".join([CAPTION, *notes]),
        frame=frame.merge(cell_marks(results.summary), how="left", on=CELL),
        columns=tuple(replace(column, marks=MARKED.get(column.key, "")) for column in COLUMNS),
        group=("dataset", "backbone", "prune_ratio"),
        unranked={"pruner": (REFERENCE,)},
    )
