"""Wins, ties and losses: in how many cells a pruner is better, about equal, or worse."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.results.summary import REFERENCE
from stprune.statistics.equivalence import MARGIN
from stprune.statistics.from_full import ROW, differences_from_full
from stprune.statistics.significance import relative_differences

TALLIES = ("wins", "ties", "losses")


class Tally(NamedTuple):
    """How many cells (data set, backbone, seed) went which way; no test is made."""

    wins: int
    ties: int
    losses: int


def tally(differences: NDArray[np.float64], margin: float = MARGIN) -> Tally:
    """Count ``differences`` (n,) in percent; those within ±``margin``, ends included, are ties."""
    wins, losses = int((differences < -margin).sum()), int((differences > margin).sum())
    return Tally(wins, len(differences) - wins - losses, losses)


def tallies(
    summary: pd.DataFrame, control: str, metric: str = "test_mae", margin: float = MARGIN
) -> pd.DataFrame:
    """Count the cells of every pruner against ``control``.

    Args:
        summary: One row a run.
        control: Name of what is compared with; full training is paired by data set, backbone and
            seed, anything else also by budget and prune ratio.
        metric: Column to compare; lower is better.
        margin: Largest difference of a tie, in percent of the control's value.

    Returns:
        One row per budget, prune ratio and pruner with a cell at least: these, ``wins``, ``ties``
        and ``losses``.

    Raises:
        RecordError: If a column is missing, a run is there twice, or the control's value is not
            above 0.
    """
    if control == REFERENCE:
        pairs = differences_from_full(summary, metric)
    else:
        names = sorted(set(summary["pruner"]) - {REFERENCE, control})
        found = {name: relative_differences(summary, name, control, metric) for name in names}
        parts = [part.assign(pruner=name) for name, part in found.items()]
        pairs = pd.concat(parts) if parts else pd.DataFrame(columns=[*ROW, "difference"])
    rows = [
        (*key, *tally(part["difference"].to_numpy(dtype=np.float64), margin))
        for key, part in pairs.groupby(ROW)
    ]
    return pd.DataFrame(rows, columns=[*ROW, *TALLIES])
