"""Every pruner against both controls, run by run, over all data sets."""

from paper_figures.pairing import paired_table
from stprune.paper.tables import Table
from stprune.results.summary import Results
from stprune.statistics.paired import CONTROLS

TITLE = "Paired comparison with the controls"


def build(results: Results) -> Table:
    """The table of paired comparisons with the controls."""
    return paired_table(results, CONTROLS, TITLE)
