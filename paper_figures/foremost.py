"""Which pruners a panel of curves shows, where there are more than an eye can follow."""

from __future__ import annotations

from collections.abc import Sequence

from stprune.results.labels import label
from stprune.results.summary import REFERENCE, Results
from stprune.statistics.paired import CONTROLS

MOST_CURVES = 8
METHOD = "st_prune"
# Read for what they say of all others; shown wherever they were run.
ALWAYS = (REFERENCE, *CONTROLS, METHOD)


def foremost(results: Results, most: int = MOST_CURVES) -> tuple[list[str], list[str]]:
    """Full training, the controls, ST-Prune, and the others by their mean error.

    Args:
        results: The experiment; compared is the mean change in test MAE against full training,
            over data sets, backbones and prune ratios. Without full training names decide.
        most: How many to show.

    Returns:
        Names, sorted; and a sentence for the caption that names the others, or nothing.
    """
    table = results.aggregate
    names = sorted(table["pruner"].unique())
    always = [name for name in names if name in ALWAYS]
    change = table.groupby("pruner")["test_mae_change"].mean()
    order = change.drop(always).sort_values(kind="stable", na_position="last").index
    chosen = [*always, *order[: max(0, most - len(always))]]
    hidden = [name for name in names if name not in chosen]
    return sorted(chosen), _sentence(hidden)


def _sentence(hidden: Sequence[str]) -> list[str]:
    if not hidden:
        return []
    names = ", ".join(label(name) for name in hidden)
    return [f"Of the others, those with the least mean error are shown; left out: {names}."]
