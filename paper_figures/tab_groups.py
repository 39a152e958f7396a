"""Where it matters: errors of windows and nodes that a mean hides."""

from paper_figures.rows import CELL_COLUMNS, RANKS, SEEDS, experiment_table, with_holes
from stprune.paper.tables import Column, Table
from stprune.records.store import GROUPS
from stprune.results.summary import Results

TITLE = "Errors that a mean hides"

CAPTION = (
    "Test MAE of parts of the test set, mean ± standard deviation over n seeds. Incident: windows"
    " with a simulated incident, where the data set lists incidents. Least stationary: the tenth of"
    " the windows with the largest mean change from step to step. Worst node: the node with the"
    f" largest MAE. {RANKS} A dash: not run, or nothing to show."
)

COLUMNS = (
    *CELL_COLUMNS,
    SEEDS,
    *(
        Column(f"test_mae_{g}", title, 2, f"test_mae_{g}_sd", True, over="Test MAE")
        for g, title in zip(GROUPS, ("Incident", "Least stationary", "Worst node"), strict=True)
    ),
)


def build(results: Results) -> Table:
    """One row per data set, backbone, prune ratio and pruner, as in the main table."""
    return experiment_table(results, TITLE, CAPTION, with_holes(results.aggregate), COLUMNS)
