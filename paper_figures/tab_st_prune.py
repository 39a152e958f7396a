"""Every pruner, and every changed option of ST-Prune, against ST-Prune's default."""

from paper_figures.pairing import paired_table
from stprune.paper.content import METHOD
from stprune.paper.tables import Table
from stprune.results.summary import Results

TITLE = "Paired comparison with ST-Prune"


def build(results: Results) -> Table:
    """The table of paired comparisons with the entry ``st_prune``."""
    return paired_table(results, [METHOD], TITLE)
