"""What figures show of the archives of kept windows, in three small tables."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stprune.base.layout import ExperimentLayout, RunKey
from stprune.results.columns import KEYS
from stprune.results.kept_patterns import (
    HOURS,
    WEEKDAYS,
    calendar_share,
    overlaps,
    pruned_epochs,
    pruned_runs,
)
from stprune.results.run_records import run_keys_of

PLACE = ["dataset", "backbone", "prune_ratio"]
HOUR_COLUMNS = tuple(f"hour_{hour}" for hour in range(WEEKDAYS * HOURS))
DECILE_COLUMNS = tuple(f"decile_{number}" for number in range(11))
CALENDAR_COLUMNS = (*KEYS, *HOUR_COLUMNS)
OVERLAP_COLUMNS = (*PLACE, "pruner", "other", "epoch", "pairs", "overlap", "chance")
DECILES_COLUMNS = (*KEYS, "epoch", *DECILE_COLUMNS)


class KeptTables(NamedTuple):
    """The runs that left windows out in some epoch and have an archive.

    Args:
        calendars: One row a run, columns ``CALENDAR_COLUMNS``: how often the windows of each hour
            of the week, from Monday 0:00 on, were kept, as `calendar_share` has it; float32.
        overlaps: One row per data set, backbone, prune ratio and two pruners, columns
            ``OVERLAP_COLUMNS``: mean over ``pairs`` of runs of `overlaps` in one ``epoch``, the
            latest of those that the most runs pruned. A pruner with itself: its seeds among each
            other; two pruners: runs that share their seed. NaN where there is no pair.
        deciles: One row an epoch with scores, columns ``DECILES_COLUMNS``: 0-based ``epoch``,
            and deciles of the scores after it, smallest to largest; float32.
    """

    calendars: pd.DataFrame
    overlaps: pd.DataFrame
    deciles: pd.DataFrame


class Choice(NamedTuple):
    """What a run kept in its pruned epochs: epoch number to (n,) bool as packed bits."""

    key: RunKey
    windows: int
    epochs: dict[int, NDArray[np.uint8]]


def kept_tables(layout: ExperimentLayout, summary: pd.DataFrame) -> KeptTables:
    """Read the archives of all pruned runs.

    Args:
        layout: The experiment.
        summary: Its runs; those without an archive have no rows.

    Raises:
        RecordError: If an archive is damaged.
    """
    calendars: list[tuple[object, ...]] = []
    deciles: list[tuple[object, ...]] = []
    agreements: list[tuple[object, ...]] = []
    for _, runs in pruned_runs(summary).groupby(PLACE):
        choices = []
        for key in run_keys_of(runs):
            choice = _read(layout, key, calendars, deciles)
            choices += [] if choice is None else [choice]
        agreements += _agreement(choices)
    return KeptTables(
        _frame(calendars, CALENDAR_COLUMNS, HOUR_COLUMNS, "float32"),
        _frame(agreements, OVERLAP_COLUMNS, ("overlap", "chance"), "float64"),
        _frame(deciles, DECILES_COLUMNS, DECILE_COLUMNS, "float32"),
    )


def _frame(
    rows: list[tuple[object, ...]], columns: tuple[str, ...], numbers: tuple[str, ...], kind: str
) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=list(columns))
    whole = {name: "int64" for name in ("seed", "epoch", "pairs") if name in columns}
    return frame.astype({"prune_ratio": "float64"} | whole | dict.fromkeys(numbers, kind))


def _read(
    layout: ExperimentLayout,
    key: RunKey,
    calendars: list[tuple[object, ...]],
    deciles: list[tuple[object, ...]],
) -> Choice | None:
    """Note the rows of one run; its choice, if there is an archive with pruned epochs."""
    # Imports torch, which compact records do without.
    from stprune.records.kept import read_kept

    path = layout.kept(key)
    if not path.exists():
        return None
    archive = read_kept(path)
    for epoch, row in enumerate(archive.score_quantiles):
        if np.isfinite(row).any():
            deciles.append((*key, epoch, *row))
    share = calendar_share(archive.kept, archive.times)
    if share is None:
        return None
    calendars.append((*key, *share.ravel()))
    epochs = pruned_epochs(archive.kept)
    bits = np.packbits(archive.kept[epochs], axis=1)
    return Choice(key, archive.kept.shape[1], dict(zip(epochs.tolist(), bits, strict=True)))


def _agreement(choices: list[Choice]) -> list[tuple[object, ...]]:
    """Rows of one place, for every two pruners there."""
    if not choices:
        return []
    counts = Counter(epoch for choice in choices for epoch in choice.epochs)
    epoch = max(counts, key=lambda epoch: (counts[epoch], epoch))
    compared = [choice for choice in choices if epoch in choice.epochs]
    bits = np.stack([choice.epochs[epoch] for choice in compared])
    kept = np.unpackbits(bits, axis=1, count=compared[0].windows).astype(np.bool_)
    pruners = sorted({choice.key.pruner for choice in compared})
    at = np.array([pruners.index(choice.key.pruner) for choice in compared])
    seeds = np.array([choice.key.seed for choice in compared])
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
    dataset, backbone, _, ratio, _ = compared[0].key
    return [
        (dataset, backbone, ratio, pruners[i], pruners[j], epoch, count[i, j], *means[:, i, j])
        for i, j in np.ndindex(*shape)
    ]
