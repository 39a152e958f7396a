"""What is missing: by hour, and in gaps of what length."""

from __future__ import annotations

import numpy as np
import pandas as pd

from stprune.describe.sample import Sample

HOURS = 24


def missing_by_hour(sample: Sample) -> pd.DataFrame:
    """One row an hour of the day.

    Returns:
        Columns `hour`, `values` (that there should be), `missing_rate`; empty where the data set
        has no steps. Steps that the data set leaves out are not missing.
    """
    midnight = sample.timestamps.astype("datetime64[D]")
    hour = (sample.timestamps - midnight).astype("timedelta64[h]").astype(np.int64)
    absent = (~sample.observed).sum(1)
    steps = np.bincount(hour, minlength=HOURS) * len(sample.nodes)
    missing = np.bincount(hour, absent, minlength=HOURS)
    rate = np.where(steps > 0, missing / np.maximum(steps, 1), np.nan)
    return pd.DataFrame({"hour": np.arange(HOURS), "values": steps, "missing_rate": rate})


def gap_lengths(sample: Sample) -> pd.DataFrame:
    """One row for each length of a gap: a run of consecutive missing values of one node.

    A gap ends where the time axis breaks.

    Returns:
        Columns `steps`, `hours`, `gaps` (how many), `share_of_missing` (of all missing values,
        those in gaps of this length); no rows if nothing is missing.
    """
    seconds = np.diff(sample.timestamps.astype("datetime64[s]")).astype(np.int64)
    breaks = np.flatnonzero(seconds != 60 * sample.step_minutes) + 1
    absent = np.insert(~sample.observed, breaks, False, axis=0)
    around = np.pad(absent, ((1, 1), (0, 0))).T
    # Node by node, begins and ends follow each other.
    begins = np.nonzero(around[:, 1:] & ~around[:, :-1])[1]
    ends = np.nonzero(~around[:, 1:] & around[:, :-1])[1]
    steps, gaps = np.unique(ends - begins, return_counts=True)
    return pd.DataFrame(
        {
            "steps": steps,
            "hours": steps * sample.step_minutes / 60,
            "gaps": gaps,
            "share_of_missing": steps * gaps / max(1, int((steps * gaps).sum())),
        }
    )
