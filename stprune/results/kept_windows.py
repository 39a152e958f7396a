"""When the windows that pruners kept are, how far their choices agree, and how scores spread."""

from collections import Counter
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.base.layout import ExperimentLayout, RunKey
from stprune.records.kept import read_kept
from stprune.records.store import COLUMNS, HOURS, WEEKDAYS, run_keys_of

PLACE = ["dataset", "backbone", "prune_ratio"]
# 1970-01-01, day 0 of NumPy, was a Thursday.
FIRST_WEEKDAY = 3

Row = tuple[object, ...]


class KeptTables(NamedTuple):
    """The runs that left windows out in some epoch and have an archive.

    ``overlaps`` has a row per data set, backbone, prune ratio and two pruners: mean over ``pairs``
    of runs of `overlaps` in one ``epoch``, the latest of those that the most runs pruned. A pruner
    with itself: its seeds among each other; two pruners: runs that share their seed.
    """

    calendars: pd.DataFrame  # `calendar_share` of each run, from Monday 0:00 on; float32.
    overlaps: pd.DataFrame  # NaN where there is no pair.
    deciles: pd.DataFrame  # Of the scores after each 0-based ``epoch``, smallest first; float32.


def pruned_runs(summary: pd.DataFrame) -> pd.DataFrame:
    """The rows of runs that left windows out in at least one epoch."""
    return summary[(summary["realised_keep_ratio"] < 1) & (summary["prune_ratio"] > 0)]


def kept_tables(layout: ExperimentLayout, summary: pd.DataFrame) -> KeptTables:
    """Read the archives of all pruned runs; those without one have no rows.

    Raises:
        RecordError: If an archive is damaged.
    """
    calendars: list[Row] = []
    deciles: list[Row] = []
    agreements: list[Row] = []
    for _, runs in pruned_runs(summary).groupby(PLACE):
        # What each run kept in its pruned epochs, by epoch number: (n,) bool as packed bits.
        choices: dict[RunKey, dict[int, NDArray[np.uint8]]] = {}
        windows = 0
        for key in run_keys_of(runs):
            if not layout.kept(key).exists():
                continue
            archive = read_kept(layout.kept(key))
            for epoch, row in enumerate(archive.score_quantiles):
                if np.isfinite(row).any():
                    deciles.append((*key, epoch, *row))
            epochs = pruned_epochs(archive.kept)
            if not len(epochs):
                continue
            calendars.append((*key, *calendar_share(archive.kept, archive.times).ravel()))
            bits = np.packbits(archive.kept[epochs], axis=1)
            windows = archive.kept.shape[1]
            choices[key] = dict(zip(epochs.tolist(), bits, strict=True))
        if choices:
            agreements += _agreement(choices, windows)
    return KeptTables(
        pd.DataFrame(calendars, columns=list(COLUMNS["calendars"])),
        pd.DataFrame(agreements, columns=list(COLUMNS["overlaps"])),
        pd.DataFrame(deciles, columns=list(COLUMNS["deciles"])),
    )


def _agreement(choices: dict[RunKey, dict[int, NDArray[np.uint8]]], windows: int) -> list[Row]:
    """Rows of one data set, backbone and prune ratio, for every two pruners there."""
    counts = Counter(epoch for epochs in choices.values() for epoch in epochs)
    epoch = max(counts, key=lambda epoch: (counts[epoch], epoch))
    compared = [key for key, epochs in choices.items() if epoch in epochs]
    bits = np.stack([choices[key][epoch] for key in compared])
    kept = np.unpackbits(bits, axis=1, count=windows).astype(np.bool_)
    pruners = sorted({key.pruner for key in compared})
    at = np.array([pruners.index(key.pruner) for key in compared])
    seeds = np.array([key.seed for key in compared])
    # Seeds of a pruner among themselves; two pruners in runs that share their seed.
    pair = (at[:, None] == at[None, :]) != (seeds[:, None] == seeds[None, :])
    rows, columns = np.nonzero(pair)
    shape = (len(pruners), len(pruners))
    total, count = np.zeros((2, *shape)), np.zeros(shape, dtype=np.int64)
    np.add.at(count, (at[rows], at[columns]), 1)
    for part, values in enumerate(overlaps(kept)):
        np.add.at(total[part], (at[rows], at[columns]), values[rows, columns])
    with np.errstate(invalid="ignore"):
        means = total / count
    dataset, backbone, _, ratio, _ = compared[0]
    return [
        (dataset, backbone, ratio, pruners[i], pruners[j], epoch, count[i, j], *means[:, i, j])
        for i, j in np.ndindex(*shape)
    ]


def pruned_epochs(kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Numbers of the epochs that left a window out, of an archive (epochs, n)."""
    return np.flatnonzero(~kept.all(axis=1))


def calendar_share(kept: NDArray[np.bool_], times: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """How often the windows of each hour of the week were kept, against all windows.

    Args:
        kept: (epochs, n), True where the epoch visited the window; full epochs are left out, and
            one at least is not.
        times: (n,) first target step of each window.

    Returns:
        (7, 24), Monday first: mean share of pruned epochs that kept a window of this weekday and
        hour, over the same mean of all windows; 1 is as often as at random, NaN means that no
        window starts then.
    """
    share: NDArray[np.float64] = kept[pruned_epochs(kept)].mean(axis=0)
    hours = times.astype("datetime64[h]").astype(np.int64)
    cell = (hours // HOURS + FIRST_WEEKDAY) % WEEKDAYS * HOURS + hours % HOURS
    cells = WEEKDAYS * HOURS
    total, count = np.bincount(cell, share, cells), np.bincount(cell, minlength=cells)
    mean = np.divide(total, count, out=np.full(cells, np.nan), where=count > 0)
    return np.reshape(mean / share.mean(), (WEEKDAYS, HOURS))


def overlaps(kept: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Jaccard overlap (1912) of every two choices, and what two random ones would have.

    Args:
        kept: (R, n), one choice of windows a row, none of them empty.

    Returns:
        (R, R) windows that both kept over windows that either kept; and (R, R) that of two
        independent random choices of the same sizes: with a and b of n windows they share a b / n
        on average, so a b / n over a + b - a b / n (exact for large n).
    """
    # Sums of at most n ones: exact in float32 up to 2 ** 24 windows.
    rows = kept.astype(np.float32)
    both = (rows @ rows.T).astype(np.float64)
    sizes = both.diagonal()
    together = sizes[:, None] + sizes[None, :]
    chance = np.outer(sizes, sizes) / kept.shape[1]
    return both / (together - both), chance / (together - chance)
