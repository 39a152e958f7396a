"""The same forecasts under the metric rules of several publications."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from paper_figures.rows import CELL_COLUMNS, units, with_holes
from stprune.paper.tables import Column, Table
from stprune.results.summary import REFERENCE, Results

TITLE = "Test scores by the metric rules of several publications"
RULES = {"paper": "Ours", "st_ttc": "ST-TTC", "largest": "LargeST", "opencity": "OpenCity"}
METRICS = {"mae": "MAE", "rmse": "RMSE", "mape": "MAPE (%)"}
CELL = ["dataset", "backbone", "pruner", "prune_ratio"]

CAPTION = (
    "Means over n seeds of the scores of one set of forecasts. Ours: observed targets, pooled; MAPE"
    " of targets of at least the card's floor. ST-TTC: labels but the lowest, if that is below 1,"
    " else but zeros; without the last partial batch; the mean of the scores of each step ahead."
    " LargeST: labels that are not 0, pooled. OpenCity: labels above 0, pooled; MAPE of those above"
    " 0.001. To the last three a missing value is a label of 0. docs/protocols.md says more. A"
    " dash: not run, or nothing counted."
)


def applies(results: Results) -> bool:
    """Whether a run was scored by more than its own rule."""
    return any(record.scores_by_rule for record in results.records.values())


def build(results: Results) -> Table:
    """The table of metric rules.

    Args:
        results: The experiment; MAE and RMSE in the target's unit, MAPE in percent.

    Returns:
        One row per data set, backbone, prune ratio and pruner, as in the main table. The frame
        holds ``<rule>_<metric>`` and ``<rule>_<metric>_sd``.
    """
    means = _scores(results).groupby(CELL)
    # A score that one seed lacks makes the mean NaN.
    mean = means.mean(skipna=False)
    spread = means.std(ddof=1, skipna=False).add_suffix("_sd")
    frame = with_holes(results.aggregate)[[*CELL, "seeds"]]
    return Table(
        title=TITLE,
        caption=" ".join([CAPTION, *units(results)]),
        frame=frame.merge(mean.join(spread).reset_index(), how="left", on=CELL),
        columns=_columns(),
        group=("dataset", "backbone", "prune_ratio"),
        unranked={"pruner": (REFERENCE,)},
    )


def _scores(results: Results) -> pd.DataFrame:
    """One row a run, from its record."""
    rows: list[dict[str, Any]] = []
    for key, record in results.records.items():
        row: dict[str, Any] = dict(zip(CELL, key, strict=False))
        for rule in RULES:
            for metric in METRICS:
                value = getattr(record.scores_by_rule.get(rule), metric, None)
                row[f"{rule}_{metric}"] = math.nan if value is None else float(value)
        rows.append(row)
    return pd.DataFrame(rows)


def _columns() -> tuple[Column, ...]:
    return (
        *CELL_COLUMNS,
        Column("seeds", "n", 0),
        *(
            Column(f"{rule}_{metric}", title, 2, ranked=True, over=name)
            for rule, name in RULES.items()
            for metric, title in METRICS.items()
        ),
    )
