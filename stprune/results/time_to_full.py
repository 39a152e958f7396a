"""How long a run takes to become as good as full training gets."""

from __future__ import annotations

import pandas as pd

from stprune.base.layout import RunKey

RUN = list(RunKey._fields)
PLACE = ["dataset", "backbone"]
SEEDED = [*PLACE, "seed"]


def times_to_full(epochs: pd.DataFrame, reference: str = "full") -> pd.DataFrame:
    """When each run's validation MAE first came down to the best one of full training.

    The goal is the lowest validation MAE of any epoch of ``reference`` for the same data set,
    backbone and seed; where that seed of it was not run, the mean of its seeds' lowest. The time
    is the ``elapsed_seconds`` of the first epoch at or below the goal, so it counts preparation,
    scoring, selection, validation and checkpoints. ``reference`` reaches its own goal at its best
    epoch; that time (the mean over its seeds, where the run's seed is missing) is 100 %.

    Args:
        epochs: One row an epoch of every run: what addresses the run (`RunKey`), ``epoch``,
            ``validation_mae`` (real units, NaN where validation was skipped) and
            ``elapsed_seconds``.
        reference: Name of the pruner that stands for full training.

    Returns:
        One row a run: its address, ``time_to_full_seconds`` and ``time_to_full_percent``; both
        NaN where the goal was never reached, or where ``reference`` was not run.
    """
    is_full = epochs["pruner"] == reference
    goals = epochs[is_full].groupby(SEEDED)["validation_mae"].min()
    wanted = _of_seed_or_mean(goals, epochs)
    reached = epochs[epochs["validation_mae"].to_numpy() <= wanted].sort_values("epoch")
    seconds = reached.groupby(RUN)["elapsed_seconds"].first()
    runs = epochs[RUN].drop_duplicates(ignore_index=True)
    runs["time_to_full_seconds"] = seconds.reindex(pd.MultiIndex.from_frame(runs[RUN])).to_numpy()
    of_full = runs[runs["pruner"] == reference].groupby(SEEDED)["time_to_full_seconds"].mean()
    whole = _of_seed_or_mean(of_full, runs)
    return runs.assign(time_to_full_percent=100 * runs["time_to_full_seconds"] / whole)


def _of_seed_or_mean(values: pd.Series[float], rows: pd.DataFrame) -> pd.Series[float]:
    """For each row the value of its data set, backbone and seed, or else the mean of the seeds.

    Args:
        values: Indexed by data set, backbone and seed.
        rows: Any rows that have these three.
    """
    own = values.reindex(pd.MultiIndex.from_frame(rows[SEEDED])).to_numpy()
    mean = values.groupby(PLACE).mean().reindex(pd.MultiIndex.from_frame(rows[PLACE])).to_numpy()
    return pd.Series(own, rows.index).fillna(pd.Series(mean, rows.index))
