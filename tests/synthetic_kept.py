"""Archives of kept windows made up for tests: their choices follow a formula and mean nothing."""

import numpy as np
import torch
from numpy.typing import NDArray
from synthetic_records import summarised

from stprune.base.layout import ExperimentLayout
from stprune.records.kept import KeptArchive
from stprune.records.store import read_store, run_keys_of

WINDOWS = 1000
EPOCHS = 8
# Two weeks of hours from a Monday on, less what does not fit into 1000 half-hours.
START = np.datetime64("2024-01-01T00:00", "m")
TIMES = START + 30 * np.arange(WINDOWS).astype("timedelta64[m]")


def jaccard(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Windows that both choices kept over those that either kept; each (n,)."""
    return float((first & second).sum() / (first | second).sum())


def write_archives(layout: ExperimentLayout, without: tuple[str, ...] = ()) -> None:
    """Write the archive of every run of an experiment, but for some pruners', and summarise it.

    The first and the last epoch are full; in the others `random_dynamic` keeps any windows, and
    every other pruner prefers hours of its own.
    """
    for key in run_keys_of(read_store(layout.store, "summary")):
        if key.pruner in without:
            continue
        whole = key.pruner in ("full", "full_fewer_epochs")
        size = WINDOWS if whole else round(WINDOWS * (1 - key.prune_ratio))
        rng = np.random.default_rng(list(key.path.encode()))
        peak = sum(key.pruner.encode()) % 24
        hour = (TIMES - TIMES[0]).astype(int) / 60 % 24
        liking = 0.0 if key.pruner == "random_dynamic" else np.cos((hour - peak) * np.pi / 12)
        archive = KeptArchive(TIMES)
        for epoch in range(EPOCHS):
            kept = WINDOWS if epoch in (0, EPOCHS - 1) else size
            order = np.argsort(-liking + rng.gumbel(size=WINDOWS))
            # Of the pruners here one keeps scores.
            scores = torch.from_numpy(2.0 + liking) if key.pruner == "st_prune" else None
            archive.add(torch.from_numpy(order[:kept]), scores)
        archive.write(layout.kept(key))
    summarised(layout)
