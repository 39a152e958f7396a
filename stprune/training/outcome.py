"""What the test of a trained model gives."""

from __future__ import annotations

from typing import NamedTuple

from stprune.records.run import Scores


class Outcome(NamedTuple):
    """What the test windows say.

    Args:
        scores: By the rule of the run's protocol.
        groups: MAE of each group of windows; None where nothing was observed.
        seconds: That the test took.
        by_rule: Scores by each rule.
    """

    scores: Scores
    groups: dict[str, float | None]
    seconds: float
    by_rule: dict[str, Scores]
