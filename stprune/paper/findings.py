"""What the means of an experiment say, in sentences; no test of significance is claimed."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from stprune.base.layout import format_ratio
from stprune.paper.content import places
from stprune.paper.tables import format_number
from stprune.results.labels import label
from stprune.results.summary import REFERENCE
from stprune.statistics.paired import CONTROLS


class Finding(NamedTuple):
    """What the records say of one data set and backbone."""

    place: str
    sentences: list[str]


def findings(aggregate: pd.DataFrame) -> list[Finding]:
    """What the means say, in sentences, per data set and backbone.

    Args:
        aggregate: As `stprune.results.summary.aggregate` returns it.
    """
    found = []
    for dataset, backbone in places(aggregate):
        part = aggregate[(aggregate["dataset"] == dataset) & (aggregate["backbone"] == backbone)]
        unit = part["target_unit"].iloc[0]
        full = part[part["pruner"] == REFERENCE]
        sentences = ["Full training was not run, so nothing is relative to it."]
        if not full.empty:
            sentences = [f"Full training: test MAE {_score(full.iloc[0])}."]
        pruned = part[(part["pruner"] != REFERENCE) & part["test_mae"].notna()]
        for ratio, rivals in pruned.groupby("prune_ratio"):
            sentences.append(_best_at(float(str(ratio)), rivals))
        of_unit = "" if pd.isna(unit) else f" (MAE in {unit})"
        found.append(Finding(f"{dataset}, {label(backbone)}{of_unit}", sentences))
    return found


def _best_at(ratio: float, rivals: pd.DataFrame) -> str:
    best = rivals.iloc[int(rivals["test_mae"].argmin())]
    at = f"At prune ratio {format_ratio(ratio)}"
    if len(rivals) == 1:
        lead = f"{at} only {label(best['pruner'])} was run: test MAE {_score(best)}"
    else:
        lead = (
            f"{at} {label(best['pruner'])} has the lowest mean test MAE of {len(rivals)} pruners:"
            f" {_score(best)}"
        )
    return f"{lead}{_against_full(best)}.{_against_controls(best, rivals)}"


def _against_full(row: pd.Series[Any]) -> str:
    change = row["test_mae_change"]
    if pd.isna(change):
        return ""
    side = "above" if change >= 0 else "below"
    return (
        f", {abs(change):.1f} % {side} full training, at {row['epoch_percent']:.0f} % of its"
        f" per-epoch time and {row['total_percent']:.0f} % of its total time"
    )


def _against_controls(best: pd.Series[Any], rivals: pd.DataFrame) -> str:
    """Whether the lead over each control is larger than the spread; no test is claimed."""
    if best["pruner"] in CONTROLS:
        return " That is a control: no method that was run is lower."
    parts = [_against_control(best, rivals, control) for control in CONTROLS]
    return "".join(f" {part[:1].upper()}{part[1:]}." for part in parts)


def _against_control(best: pd.Series[Any], rivals: pd.DataFrame, control: str) -> str:
    name = label(control)
    rows = rivals[rivals["pruner"] == control]
    if rows.empty:
        return f"{name} was not run here, so what is due to selection itself is not known"
    other = rows.iloc[0]
    difference = other["test_mae"] - best["test_mae"]
    lead = f"that is {difference:.3f} below {name} at {_score(other)}"
    spread = max(best["test_mae_sd"], other["test_mae_sd"])
    if pd.isna(best["test_mae_sd"]) or pd.isna(other["test_mae_sd"]):
        return f"{lead}; with one seed of either the spread is not known"
    compared = "more than" if difference > spread else "not more than"
    return f"{lead}, {compared} the larger of the two standard deviations ({spread:.3f})"


def _score(row: pd.Series[Any]) -> str:
    spread = "" if pd.isna(row["test_mae_sd"]) else f" ± {row['test_mae_sd']:.3f}"
    seeds = "1 seed" if row["seeds"] == 1 else f"{row['seeds']} seeds"
    return f"{format_number(row['test_mae'], 3)}{spread} ({seeds})"
