"""How fast runs come down to full training's mean accuracy, with those that never do censored.

`stprune.results.summarise` holds each run to full training of its own seed and says when it got
there. Here all runs of a place are held to one goal, full training's own runs too, so that the two
can be tested against each other.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from stprune.base.layout import RunKey
from stprune.results.summary import REFERENCE
from stprune.statistics.enough import EVERY_PLACE, TOO_FEW
from stprune.statistics.significance import LEVEL, holm
from stprune.statistics.survival import LogRank, Sample, least_log_rank_p, log_rank, restricted_mean

PLACE = ["dataset", "backbone"]
CHOICE = ["prune_ratio", "pruner"]
NUMBERS = ["seeds", "reached", "mean_seconds", "mean_percent", "excess", "p", "least_p"]
# A family of tests that are corrected together.
FAMILY = [*PLACE, "prune_ratio"]

Place = tuple[str, str]


def times_to_goal(epochs: pd.DataFrame) -> pd.DataFrame:
    """When each run's validation MAE first came down to full training's mean.

    The goal of a place (data set and backbone) is the mean over the seeds of `full` of their lowest
    validation MAE; its horizon the longest time that a run of `full` took. A run that is not at the
    goal by then is censored at the horizon, also one that ended before: its training was over, it
    would never have come further, and to take it out of sight when it stopped would count an early
    end in its favour.

    Args:
        epochs: One row an epoch of every run: `RunKey`, ``epoch``, ``validation_mae`` (real units,
            NaN where skipped) and ``elapsed_seconds`` (with preparation, scoring, selection,
            validation and checkpoints).

    Returns:
        One row a run of the places where `full` was run: `RunKey`, ``goal``, ``horizon_seconds``,
        ``seconds`` and ``reached``.
    """
    run = list(RunKey._fields)
    full = epochs[epochs["pruner"] == REFERENCE].groupby([*PLACE, "seed"])
    goals = full["validation_mae"].min().groupby(PLACE).mean().rename("goal")
    horizons = full["elapsed_seconds"].max().groupby(PLACE).max().rename("horizon_seconds")
    known = epochs.merge(pd.concat([goals, horizons], axis="columns").reset_index(), on=PLACE)
    at_goal = (known["validation_mae"] <= known["goal"]) & (
        known["elapsed_seconds"] <= known["horizon_seconds"]
    )
    first = known[at_goal].groupby(run)["elapsed_seconds"].min().rename("seconds")
    runs = known[[*run, "goal", "horizon_seconds"]].drop_duplicates(run)
    table = runs.merge(first.reset_index(), how="left", on=run)
    table["reached"] = table["seconds"].notna()
    return table.assign(seconds=table["seconds"].fillna(table["horizon_seconds"]))


def compare_reaching(epochs: pd.DataFrame) -> pd.DataFrame:
    """Compare every pruner's times to the goal with those of full training.

    Args:
        epochs: As for `times_to_goal`.

    Returns:
        One row per data set, backbone, prune ratio and pruner, full training among them:
        ``seeds``, ``reached`` (how many of them), ``mean_seconds`` (restricted to the horizon),
        ``mean_percent`` (of full's), ``excess`` and ``p`` (see `LogRank`, against full),
        ``holm_p`` (over the pruners of the same place and prune ratio) and ``verdict``:
        ``faster``, ``slower``, ``tie``, or ``too few`` where no outcome could have come below
        0.05; both p are NaN there. Before them rows of data set and backbone ``all``, stratified
        by place, without ``mean_seconds``.
    """
    times = times_to_goal(epochs)
    samples = {
        (str(key[2]), float(str(key[3])), (str(key[0]), str(key[1]))): part
        for key, part in times.groupby([*PLACE, "pruner", "prune_ratio"])
    }
    full = {place: part for (name, _, place), part in samples.items() if name == REFERENCE}
    parts: dict[tuple[float, str], dict[Place, pd.DataFrame]] = {}
    for (pruner, ratio, place), part in samples.items():
        parts.setdefault((ratio, pruner), {})[place] = part
    rows = [
        {**dict(zip([*PLACE, *CHOICE], (*where, *choice), strict=True)), **_compared(some, full)}
        for choice, found in sorted(parts.items())
        for where, some in [
            ((EVERY_PLACE, EVERY_PLACE), found),
            *((place, {place: part}) for place, part in found.items()),
        ]
    ]
    table = pd.DataFrame(rows, columns=[*PLACE, *CHOICE, *NUMBERS])
    table = table.astype(dict.fromkeys([*NUMBERS, "prune_ratio"], "float64"))
    table["overall"] = table["dataset"] != EVERY_PLACE
    order = ["overall", *PLACE, *CHOICE]
    return _judged(table.sort_values(order, ignore_index=True).drop(columns="overall"))


def _compared(parts: dict[Place, pd.DataFrame], full: dict[Place, pd.DataFrame]) -> dict[str, Any]:
    """One pruner and ratio in some places against full training there."""
    means = {place: _restricted_mean(part) for place, part in parts.items()}
    of_full = [100 * mean / _restricted_mean(full[place]) for place, mean in means.items()]
    strata = [(_sample(part), _sample(full[place])) for place, part in parts.items()]
    is_full = all(parts[place] is full[place] for place in parts)
    test = LogRank(math.nan, math.nan) if is_full else log_rank(strata)
    return {
        "seeds": sum(len(part) for part in parts.values()),
        "reached": sum(int(part["reached"].sum()) for part in parts.values()),
        "mean_seconds": next(iter(means.values())) if len(means) == 1 else math.nan,
        "mean_percent": float(np.mean(of_full)),
        "excess": test.excess,
        "p": test.p,
        "least_p": math.nan if is_full else least_log_rank_p(strata),
    }


def _judged(table: pd.DataFrame) -> pd.DataFrame:
    """Correct the p values, take out those that could not have been small, and say what is left."""
    families = table.groupby(FAMILY)
    corrected, least = (
        families[name].transform(lambda p: holm(p.tolist())).astype("float64")
        for name in ("p", "least_p")
    )
    can_tell = least < LEVEL
    table["p"], table["holm_p"] = table["p"].where(can_tell), corrected.where(can_tell)
    judged = table[["pruner", "excess", "holm_p"]].itertuples(index=False, name=None)
    words = [_verdict(*values) for values in judged]
    return table.drop(columns="least_p").assign(verdict=pd.Series(words, dtype="object"))


def _verdict(pruner: str, excess: float, p: float) -> str | None:
    if pruner == REFERENCE:
        return None
    if math.isnan(p):
        return TOO_FEW
    if p >= LEVEL:
        return "tie"
    return "faster" if excess > 0 else "slower"


def _sample(part: pd.DataFrame) -> Sample:
    return Sample(part["seconds"].to_numpy(np.float64), part["reached"].to_numpy(np.bool_))


def _restricted_mean(part: pd.DataFrame) -> float:
    return restricted_mean(_sample(part), float(part["horizon_seconds"].iloc[0]))
