"""Where it matters: errors of windows and nodes that a mean hides, and time to full accuracy."""

from __future__ import annotations

from typing import Any

import pandas as pd

from paper_figures.rows import CELL_COLUMNS, absent, budgets, units, with_holes
from stprune.paper.tables import Column, Table
from stprune.results.summary import REFERENCE, Results

TITLE = "Errors that a mean hides, and time to full training's accuracy"

CAPTION = (
    "Test MAE of parts of the test set, mean ± standard deviation over n seeds (no deviation for"
    " one seed). Incident: windows with a simulated incident, where the data set lists incidents."
    " Least stationary: the tenth of the windows with the largest mean change from step to step."
    " Worst node: the node with the largest MAE. Time to full accuracy: seconds, preparation,"
    " scoring, selection, validation and checkpoints included, until the validation MAE is first at"
    " or below the best"
    " of full training of the same seed; its share is relative to the time that full training took"
    " itself. Reached: seeds that came so far; where one did not, there is no mean. random_dynamic"
    " (random windows, the same schedule) and full_fewer_epochs (all windows, fewer epochs) are the"
    " controls. Bold: lowest mean of the same data set, backbone and prune ratio, full training"
    " aside; underlined: second. A dash: not run, or nothing to show."
)

COLUMNS = (
    *CELL_COLUMNS,
    Column("seeds", "n", 0),
    Column("test_mae_incident", "Incident", 2, "test_mae_incident_sd", True, over="Test MAE"),
    Column(
        "test_mae_least_stationary",
        "Least stationary",
        2,
        "test_mae_least_stationary_sd",
        True,
        over="Test MAE",
    ),
    Column("test_mae_worst_node", "Worst node", 2, "test_mae_worst_node_sd", True, over="Test MAE"),
    Column(
        "time_to_full_seconds",
        "Seconds",
        1,
        "time_to_full_seconds_sd",
        True,
        over="Time to full accuracy",
    ),
    Column("time_to_full_percent", "% of full's", 1, over="Time to full accuracy"),
    Column("reached_of", "Reached", over="Time to full accuracy"),
)


def build(results: Results) -> Table:
    """The table of hidden errors and of the time to full accuracy.

    Args:
        results: The experiment; MAE in the target's unit, times in seconds.

    Returns:
        One row per data set, backbone, prune ratio and pruner, as in the main table.
    """
    frame = with_holes(results.aggregate)
    notes = [*budgets(results), *absent(results), *units(results)]
    return Table(
        title=TITLE,
        caption=" ".join([CAPTION, *notes]),
        frame=frame.assign(reached_of=_reached(frame)),
        columns=COLUMNS,
        group=("dataset", "backbone", "prune_ratio"),
        unranked={"pruner": (REFERENCE,)},
    )


def _reached(frame: pd.DataFrame) -> pd.Series[Any]:
    """How many of the seeds, in words; nothing where there was no full training to reach."""
    full = frame[(frame["pruner"] == REFERENCE) & (frame["seeds"] > 0)]
    goals = set(zip(full["dataset"], full["backbone"], strict=True))
    rows = frame[["dataset", "backbone", "seeds", "reached"]].itertuples(index=False, name=None)
    words = [
        f"{reached:.0f} of {seeds}" if seeds and (dataset, backbone) in goals else None
        for dataset, backbone, seeds, reached in rows
    ]
    return pd.Series(words, frame.index, dtype="object")
