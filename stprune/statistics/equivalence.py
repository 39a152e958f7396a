"""Is a pruned run as good as full training? Two one-sided tests against a stated margin.

A difference that is not significant is no proof of equality: with few seeds nothing is. What is to
be called lossless has to reject the opposite, that the loss is as large as the margin.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from stprune.records.store import REFERENCE
from stprune.statistics.paired import (
    EVERY_PLACE,
    LEAST_PAIRS,
    LEVEL,
    MARGIN,
    TOO_FEW,
    differences_from,
    holm_within,
)

Values = NDArray[np.float64]

IDENTICAL = "identical"
PLACE = ["dataset", "backbone"]
ROW = ["budget", *PLACE, "prune_ratio", "pruner"]
TESTS = ("p_equivalent", "p_not_worse", "p_worse")


@dataclass(frozen=True)
class Equivalence:
    """Differences against a margin; all in percent. NaN where there are too few to test.

    Args:
        count: Differences.
        mean: Their mean; negative is better than full training.
        sd: Their standard deviation (ddof = 1).
        low: Lower end of the 90 % t interval of the mean.
        high: Upper end. Both ends lie within the margin exactly where ``p_equivalent`` < 0.05.
        p_equivalent: Of two one-sided t tests, the larger p: small, and the mean lies within the
            margin to both sides (Schuirmann, 1987, Journal of Pharmacokinetics and
            Biopharmaceutics 15).
        p_not_worse: One-sided: small, and the mean lies below +margin (non-inferiority).
        p_worse: One-sided: small, and the mean lies above +margin.
    """

    count: int
    mean: float
    sd: float
    low: float
    high: float
    p_equivalent: float
    p_not_worse: float
    p_worse: float


def equivalence(differences: Values, margin: float = MARGIN) -> Equivalence:
    """Test whether the mean of ``differences`` (n,), in percent, lies within ±``margin``."""
    count = len(differences)
    mean = float(differences.mean())
    sd = float(differences.std(ddof=1)) if count > 1 else math.nan
    if count < LEAST_PAIRS:
        return Equivalence(count, mean, sd, *[math.nan] * 5)
    error = sd / math.sqrt(count)
    half = float(special.stdtrit(count - 1, 1 - LEVEL)) * error
    below_upper = _below(mean - margin, error, count)
    above_lower = _below(-mean - margin, error, count)
    worse = _below(margin - mean, error, count)
    either = max(below_upper, above_lower)
    return Equivalence(count, mean, sd, mean - half, mean + half, either, below_upper, worse)


def equivalences(summary: pd.DataFrame) -> pd.DataFrame:
    """Test for every place, pruner and prune ratio whether its test MAE is as good as full's.

    Returns:
        One row per budget, data set, backbone, prune ratio and pruner: the fields of
        `Equivalence` over its seeds, ``holm_<p>`` of each p (Holm's correction over all rows of
        the same place) and ``verdict``, see `judge`, or ``identical`` without p where all runs
        have the very values of full training. Before them the rows with data set and
        backbone ``all``, over the means of the data sets: a data set counts once.
    """
    differences = differences_from(summary, REFERENCE)
    means = differences.groupby(["budget", "dataset", "prune_ratio", "pruner"])["difference"].mean()
    overall = means.reset_index().assign(**dict.fromkeys(PLACE, EVERY_PLACE))
    rows = [
        (*key, *astuple(equivalence(some.to_numpy(dtype=np.float64))))
        for part in (overall, differences)
        for key, some in part.groupby(ROW)["difference"]
    ]
    names = [field.name for field in fields(Equivalence)]
    table = pd.DataFrame(rows, columns=[*ROW, *names])
    table = table.astype(dict.fromkeys(("prune_ratio", *names), "float64"))
    # A budget under which a control is full training itself leaves nothing to test, and no claim.
    identical = (table["mean"] == 0) & (table["sd"] == 0)
    table.loc[identical, list(TESTS)] = math.nan
    for name in TESTS:
        table[f"holm_{name}"] = holm_within(table, ["budget", *PLACE], name)
    corrected = table[[f"holm_{name}" for name in TESTS]].itertuples(index=False, name=None)
    verdicts = pd.Series([judge(*p_values) for p_values in corrected], dtype="object")
    return table.assign(verdict=verdicts.mask(identical, IDENTICAL))


def judge(equivalent: float, not_worse: float, worse: float) -> str:
    """What three corrected p values allow to say of a pruner.

    ``lossless``: within the margin to both sides. ``not worse``: only a loss of the margin is
    excluded, it may be better by more. ``worse``: by more than the margin. ``open``: the runs do
    not decide. ``too few``: there was no test.
    """
    if math.isnan(equivalent):
        return TOO_FEW
    if equivalent < LEVEL:
        return "lossless"
    if not_worse < LEVEL:
        return "not worse"
    return "worse" if worse < LEVEL else "open"


def _below(distance: float, error: float, count: int) -> float:
    """One-sided p for a mean below a bound, from mean - bound and its standard error."""
    if error == 0:
        return 0.0 if distance < 0 else 1.0
    return float(special.stdtr(count - 1, distance / error))
