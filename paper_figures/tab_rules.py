"""The same forecasts under the metric rules of several publications."""

import pandas as pd

from paper_figures.rows import CELL_COLUMNS, SEEDS, experiment_table, run_means
from stprune.paper.tables import Column, Table
from stprune.results.summary import Results

TITLE = "Test scores by the metric rules of several publications"
RULES = {"paper": "Ours", "st_ttc": "ST-TTC", "largest": "LargeST", "opencity": "OpenCity"}
METRICS = {"mae": "MAE", "rmse": "RMSE", "mape": "MAPE (%)"}

CAPTION = (
    "Means over n seeds of the scores of one set of forecasts. Ours: observed targets, pooled; MAPE"
    " of targets of at least the card's floor. ST-TTC: labels but the lowest, if that is below 1,"
    " else but zeros; without the last partial batch; the mean of the scores of each step ahead."
    " LargeST: labels that are not 0, pooled. OpenCity: labels above 0, pooled; MAPE of those above"
    " 0.001. To the last three a missing value is a label of 0. docs/protocols.md says more. A"
    " dash: not run, or nothing counted."
)

COLUMNS = (
    *CELL_COLUMNS,
    SEEDS,
    *(
        Column(f"{rule}_{metric}", title, 2, ranked=True, over=name)
        for rule, name in RULES.items()
        for metric, title in METRICS.items()
    ),
)


def applies(results: Results) -> bool:
    """Whether a run was scored by more than its own rule."""
    return any(record.scores_by_rule for record in results.records.values())


def build(results: Results) -> Table:
    """One row per data set, backbone, prune ratio and pruner, as in the main table."""
    rules = [record.scores_by_rule for record in results.records.values()]
    scores = {
        f"{rule}_{metric}": [getattr(by_rule.get(rule), metric, None) for by_rule in rules]
        for rule in RULES
        for metric in METRICS
    }
    frame = run_means(pd.DataFrame(scores, dtype="float64"), results)
    return experiment_table(results, TITLE, CAPTION, frame, COLUMNS)
