"""How many runs a test needs before any outcome of it could count as evidence."""

from __future__ import annotations

from stprune.statistics.significance import LEVEL

TOO_FEW = "too few"
# In the place of a data set and of a backbone: a row over all of them.
EVERY_PLACE = "all"
# With two differences a t test has one degree of freedom: it rests on the assumption that they are
# normal and on nothing else.
LEAST_PAIRS = 3


def signed_rank_can_tell(pairs: int) -> bool:
    """Whether Wilcoxon's exact two-sided test of so many pairs can reach p < 0.05 at all.

    The smallest p is that of equal signs, 2 of the 2^n patterns: six pairs are needed.
    """
    return 2.0 ** (1 - pairs) < LEVEL
