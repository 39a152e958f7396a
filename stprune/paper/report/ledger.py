"""Where the time of an experiment went, and whether the kept share explains it."""

from __future__ import annotations

import pandas as pd

from stprune.paper.tables import Column, Table
from stprune.records.store import REFERENCE
from stprune.results.summary import Results

# How far a measured per-epoch time may lie from the expected one.
TOLERANCE = 0.10
KEYS = ["dataset", "backbone", "pruner", "prune_ratio"]
EPOCH_PARTS = ("data", "step", "scoring", "selection", "validation", "checkpoint")

COLUMNS = (
    Column("dataset", "Data set"),
    Column("backbone", "Backbone", named=True),
    Column("pruner", "Pruner", named=True),
    Column("prune_ratio", "Prune ratio"),
    *(Column(f"{part}_seconds", f"{part.capitalize()} (s)", 3) for part in EPOCH_PARTS),
    Column("preparation_seconds", "Preparation (s)", 2),
    Column("overhead_percent", "Scoring + selection (% of epoch)", 1),
    Column("epoch_seconds", "Epoch, measured (s)", 3),
    Column("expected_epoch_seconds", "Epoch, expected (s)", 3),
    Column("epoch_time_ratio", "Measured / expected", 3),
)
CAPTION = (
    "Where the time goes: mean seconds per epoch over all epochs and seeds (preparation: per run)."
    " Measured and expected per-epoch times are those of pruned epochs; expected is the kept share"
    " of full training's epoch, without its overhead, plus the pruner's own scoring and selection."
)


def overhead_ledger(results: Results) -> Table:
    """Seconds per epoch by what they were spent on, and measured against expected time."""
    parts = [f"{part}_seconds" for part in EPOCH_PARTS]
    ledger = results.epochs.groupby(KEYS)[[*parts, "train_seconds"]].mean()
    spent = ledger["scoring_seconds"] + ledger["selection_seconds"]
    ledger["overhead_percent"] = 100 * spent / ledger["train_seconds"]
    preparation = results.summary.groupby(KEYS)["preparation_seconds"].mean()
    columns = ["epoch_seconds", "expected_epoch_seconds", "epoch_time_ratio"]
    compared = results.aggregate.set_index(KEYS)[columns]
    frame = ledger.join(preparation).join(compared).reset_index()
    return Table("Overhead ledger", f"{CAPTION} {_agreement(frame)}", frame, COLUMNS)


def _agreement(ledger: pd.DataFrame) -> str:
    """How many per-epoch times are explained by the kept share and the overhead."""
    ratios = ledger.loc[ledger["pruner"] != REFERENCE, "epoch_time_ratio"].dropna()
    if ratios.empty:
        return "Without full training nothing is expected."
    close = int(((ratios - 1).abs() <= TOLERANCE).sum())
    return f"{close} of {len(ratios)} lie within {100 * TOLERANCE:.0f} % of what is expected."
