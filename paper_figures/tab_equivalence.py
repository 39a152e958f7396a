"""What may be called lossless: equivalence with full training, tested against a stated margin."""

from __future__ import annotations

import pandas as pd

from paper_figures.pairing import spelled_interval
from paper_figures.rows import absent, by_budget
from stprune.base.layout import format_ratio
from stprune.paper.tables import Column, Table
from stprune.results.summary import REFERENCE, Results
from stprune.statistics.equivalence import IDENTICAL, equivalences
from stprune.statistics.paired import EVERY_PLACE, LEAST_PAIRS, MARGIN

TITLE = "Equivalence with full training"

CAPTION = (
    f"Two one-sided t tests (TOST) with a margin of {MARGIN:g} % of full training's test MAE. Δ:"
    " mean ± standard deviation of 100 (pruner / full - 1) in % over n seeds that both were run"
    " with, of the same data set and backbone; in the rows of all data sets over the n means of"
    " the data sets. 90 %: t interval of the mean; inside the margin the test of equivalence"
    " rejects at 0.05. p: of equivalence; p, Holm: corrected for all pruners and prune ratios of"
    " the same data set and backbone (budgets apart). Verdict, by corrected p below 0.05:"
    " lossless, within the margin to both sides; not worse, a loss of the margin is excluded but"
    " not a gain; worse, by more than the margin; open, the runs do not decide, which is no"
    f" proof of equality; {IDENTICAL}, the same values as full training, as of a control that"
    f" is full training under its budget; too few, fewer than {LEAST_PAIRS}. A p of 0.000 is"
    " below 0.0005. A dash: not tested."
)

COLUMNS = (
    Column("where", "Data set"),
    Column("backbone", "Backbone", named=True),
    Column("ratio", "Prune ratio"),
    Column("pruner", "Pruner", named=True),
    Column("count", "n", 0),
    Column("mean", "Δ (%)", 2, "sd", signed=True),
    Column("interval", "90 %"),
    Column("p_equivalent", "p", 3),
    Column("holm_p_equivalent", "p, Holm", 3),
    Column("verdict", "Verdict"),
)


def build(results: Results) -> Table:
    """The table of equivalence tests.

    Args:
        results: The experiment; differences in test MAE are in percent of full training's.

    Returns:
        One row per budget, data set, backbone, prune ratio and pruner, the rows over all data sets
        first; empty where full training was not run.
    """
    table = equivalences(results.summary)
    notes = absent(results, REFERENCE)
    return Table(
        title=TITLE,
        caption=" ".join([CAPTION, *notes]),
        frame=_worded(table),
        columns=by_budget(COLUMNS, table),
        group=("budget", "dataset", "backbone", "prune_ratio"),
    )


def _worded(table: pd.DataFrame) -> pd.DataFrame:
    where = {EVERY_PLACE: "all data sets"}
    intervals = [spelled_interval(*ends) for ends in table[["low", "high"]].to_numpy()]
    return table.assign(
        where=table["dataset"].replace(where).astype("object"),
        ratio=pd.Series([format_ratio(r) for r in table["prune_ratio"]], dtype="object"),
        interval=pd.Series(intervals, dtype="object"),
    )
