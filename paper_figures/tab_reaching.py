"""Time to within 1 % of full training's accuracy; runs that never get there are censored."""

from paper_figures.rows import CELL_COLUMNS, experiment_table
from stprune.paper.tables import Column, Table
from stprune.results.labels import timing_notes
from stprune.results.summary import Results
from stprune.statistics.paired import MARGIN
from stprune.statistics.time_to_accuracy import compare_reaching

TITLE = f"Time to within {MARGIN:g} % of full training's accuracy"

CAPTION = (
    f"Goal: {MARGIN:g} % above the mean over full training's seeds of their lowest validation MAE."
    " Time: seconds until a run's validation MAE is first at or below it, everything included. A"
    " run that is not there by the end of full training's longest run is censored at that time,"
    " also where its own training ended before. Reached: seeds that got there. Mean: restricted to"
    " that time, the area under Kaplan and Meier's curve; its share is relative to full"
    " training's. p: log-rank test against full training by permutation, in the rows of all data"
    " sets stratified by data set and backbone, by Holm's correction over the pruners of the same"
    " data set, backbone and prune ratio. Verdict: faster or slower where it is below 0.05, else"
    " tie; too few: no outcome of so few seeds could have come below 0.05. A dash: not tested, or"
    " seconds of different data sets."
)

COLUMNS = (
    *CELL_COLUMNS,
    Column("reached", "Reached", text="{reached:.0f} of {seeds:.0f}"),
    Column("mean_seconds", "Mean (s)", 1),
    Column("mean_percent", "Mean (% of full's)", 1),
    Column("holm_p", "p", 3),
    Column("verdict", "Verdict"),
)


def build(results: Results) -> Table:
    """One row per data set, backbone, prune ratio and pruner; empty without full training."""
    caption = " ".join([CAPTION, *timing_notes(results.aggregate["timing"], drawn=True)])
    return experiment_table(results, TITLE, caption, compare_reaching(results.epochs), COLUMNS)
