"""Does pruning do as well on other tasks? Long forecasts, imputation, few shots, transfer."""

from typing import Any

import pandas as pd

from paper_figures.pairing import GROUP_CAPTION, GROUP_COLUMNS, compared_groups
from paper_figures.rows import experiment_table
from stprune.paper.tables import Column, Table
from stprune.results.summary import Results
from stprune.statistics.paired import EVERY_PLACE

TITLE = "Pruning under every task"

CAPTION = (
    "A group is a task on one data set, or on all of its data sets; MAE is by the rule of the task."
    " Steps: of input and of target; an imputation's targets are hidden values of its inputs."
    f" {GROUP_CAPTION}"
)

COLUMNS = (
    Column("task", "Task", named=True),
    Column("dataset", "Data set"),
    Column("steps", "Steps"),
    *GROUP_COLUMNS,
)


def applies(results: Results) -> bool:
    """Whether there are several tasks, or windows of several lengths."""
    return len(_entries(results).drop_duplicates(["task", "steps"])) > 1


def build(results: Results) -> Table:
    """List each task's rows over all its data sets, where there are several, and of each."""
    groups: list[Any] = []
    for task, entries in _entries(results).groupby("task"):
        names = entries["dataset"].tolist()
        if len(names) > 1:
            groups.append(({"task": task, "dataset": EVERY_PLACE}, {"dataset": names}))
        groups += [(row, {"dataset": [row["dataset"]]}) for row in entries.to_dict("records")]
    frame, group = compared_groups(results, groups), ("task", "dataset", "prune_ratio")
    return experiment_table(results, TITLE, CAPTION, frame, COLUMNS, group)


def _entries(results: Results) -> pd.DataFrame:
    """``dataset``, ``task`` and ``steps`` of every data set entry, by the record of one run."""
    rows = []
    for name, config in results.configs("dataset").items():
        training = config.get("training", {})
        steps = [str(training[key]) for key in ("history", "horizon") if training.get(key)]
        task = config.get("dataset", {}).get("task", "forecast")
        rows.append({"task": task, "dataset": name, "steps": " to ".join(steps) or None})
    return pd.DataFrame(rows)
