"""Where it matters: errors of windows and nodes that a mean hides, and time to full accuracy."""

from paper_figures.rows import CELL_COLUMNS, RANKS, SEEDS, experiment_table, with_holes
from stprune.paper.tables import TIMING, Column, Table
from stprune.records.store import GROUPS
from stprune.results.summary import Results

TITLE = "Errors that a mean hides, and time to full training's accuracy"

CAPTION = (
    "Test MAE of parts of the test set, mean ± standard deviation over n seeds. Incident: windows"
    " with a simulated incident, where the data set lists incidents. Least stationary: the tenth of"
    " the windows with the largest mean change from step to step. Worst node: the node with the"
    " largest MAE. Time to full accuracy: seconds, everything included, until the validation MAE is"
    " first at or below the best of full training of the same seed; its share is relative to the"
    " time that full training took itself. Reached: seeds that came so far; where one did not, no"
    f" mean. {RANKS} A dash: not run, or nothing to show."
)
TIME, SECONDS = "Time to full accuracy", "time_to_full_seconds"

COLUMNS = (
    *CELL_COLUMNS,
    SEEDS,
    *(
        Column(f"test_mae_{g}", title, 2, f"test_mae_{g}_sd", True, over="Test MAE")
        for g, title in zip(GROUPS, ("Incident", "Least stationary", "Worst node"), strict=True)
    ),
    Column(SECONDS, "Seconds", 1, f"{SECONDS}_sd", True, over=TIME, marks=TIMING),
    Column("time_to_full_percent", "% of full's", 1, over=TIME, marks=TIMING),
    Column("reached", "Reached", over=TIME, text="{reached:.0f} of {seeds}"),
)


def build(results: Results) -> Table:
    """One row per data set, backbone, prune ratio and pruner, as in the main table."""
    frame = with_holes(results.aggregate)
    # Without full training there is nothing to reach.
    frame["reached"] = frame["reached"].where(frame["test_mae_change"].notna())
    return experiment_table(results, TITLE, CAPTION, frame, COLUMNS)
