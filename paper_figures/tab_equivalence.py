"""What may be called lossless: equivalence with full training, tested against a stated margin."""

from paper_figures.pairing import interval_text
from paper_figures.rows import CELL_COLUMNS, experiment_table
from stprune.paper.tables import Column, Table
from stprune.results.summary import Results
from stprune.statistics.paired import IDENTICAL, LEAST_PAIRS, MARGIN, equivalences

TITLE = "Equivalence with full training"

CAPTION = (
    f"Two one-sided t tests (TOST) with a margin of {MARGIN:g} % of full training's test MAE. Δ:"
    " mean ± standard deviation of 100 (pruner / full - 1) in % over n seeds of both, of the same"
    " data set and backbone; in the rows of all data sets over their n means. 90 %: t interval of"
    " the mean. p: of equivalence; p, Holm: corrected for all pruners and prune ratios of the same"
    " data set and backbone (budgets apart). Verdict, by corrected p below 0.05: lossless, within"
    " the margin to both sides; not worse, a loss of the margin is excluded but not a gain; worse,"
    " by more than the margin; open, the runs do not decide, which is no proof of equality;"
    f" {IDENTICAL}, the same values as full training, as of a control that is full training under"
    f" its budget; too few, fewer than {LEAST_PAIRS}. A dash: not tested."
)

COLUMNS = (
    *CELL_COLUMNS,
    Column("count", "n", 0),
    Column("mean", "Δ (%)", 2, "sd", signed=True),
    Column("low", "90 %", text=interval_text()),
    Column("p_equivalent", "p", 3),
    Column("holm_p_equivalent", "p, Holm", 3),
    Column("verdict", "Verdict"),
)


def build(results: Results) -> Table:
    """One row per budget, place, prune ratio and pruner, those over all data sets first."""
    return experiment_table(results, TITLE, CAPTION, equivalences(results.summary), COLUMNS)
