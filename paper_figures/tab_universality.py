"""Does pruning work with any backbone and any optimiser? Each against its own full training."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pandas as pd

from paper_figures.pairing import SIGNIFICANT, change_from, spelled_change
from paper_figures.rows import absent, budgets, units
from stprune.base.layout import format_ratio
from stprune.paper.tables import Column, Table, format_number
from stprune.results.labels import label
from stprune.results.summary import REFERENCE, Results, run_keys_of
from stprune.statistics.paired import holm

TITLE = "Pruning under every backbone and optimiser"
BEST = "†"
EVERYWHERE = "all"
NAMES = {"adamw": "AdamW", "sgd": "SGD"}

CAPTION = (
    "A row is a backbone with an optimiser on one data set, or on all of them. MAE: test MAE, mean"
    f" ± standard deviation over the seeds; {BEST}: lowest mean of its row and prune ratio. Δ:"
    " 100 (pruner / full training - 1) in %, mean over the pairs of runs of the same data set and"
    f" seed; below 0 the pruner is better. {SIGNIFICANT}: p below 0.05 in a paired t test over"
    " those pairs, corrected by Holm's method for the pruners and prune ratios of the row; pairs of"
    " one data set depend on each other, so it does not speak for other data sets. Time: per-epoch"
    " time in % of full training's, scoring and selection included; on all data sets, the mean of"
    " theirs. Learning rates are those of the configuration: rows do not rank the optimisers. A"
    " dash: not run, or nothing to compare with."
)

Cell = tuple[float, str]
Numbers = dict[str, float]


def applies(results: Results) -> bool:
    """Whether a backbone was trained with several optimisers."""
    entries = set(_entries(results).values())
    return Counter(backbone for backbone, _ in entries).most_common(1)[0][1] > 1


def build(results: Results) -> Table:
    """The table of backbones and optimisers.

    Args:
        results: The experiment; MAE in the target's unit.

    Returns:
        One row per backbone entry and data set, and one over all data sets where there are
        several. The frame holds for each pruner and prune ratio (``<pruner>_<ratio>_...``) the
        numbers ``mae``, ``mae_sd``, ``change``, ``p``, ``holm_p``, ``pairs`` and ``time``, and
        the texts ``score`` and ``delta``.
    """
    entries, cells = _entries(results), _cells(results.summary)
    datasets = sorted(results.summary["dataset"].unique())
    names = _shown(entries)
    rows = [
        {"entry": entry, "backbone": names[entry], "optimiser": optimiser, "dataset": place}
        | _row(results, entry, place, cells)
        for entry, (_, optimiser) in entries.items()
        for place in [*datasets, *[EVERYWHERE] * (len(datasets) > 1)]
    ]
    notes = [*budgets(results), *absent(results), *units(results)]
    return Table(
        title=TITLE,
        caption=" ".join([CAPTION, *notes]),
        frame=pd.DataFrame(rows),
        columns=_columns(cells),
        group=("entry",),
    )


def _entries(results: Results) -> dict[str, tuple[str, str | None]]:
    """Backbone and optimiser of every backbone entry, by the record of one of its runs."""
    found: dict[str, tuple[str, str | None]] = {}
    for entry, runs in results.summary.groupby("backbone"):
        name = str(entry)
        config = results.records[run_keys_of(runs)[0]].config.get("backbone", {})
        optimiser = config.get("optimisation", {}).get("optimiser")
        shown = None if optimiser is None else NAMES.get(optimiser, label(optimiser))
        found[name] = config.get("id", name), shown
    return dict(sorted(found.items(), key=lambda item: (item[1][0], item[1][1] or "", item[0])))


def _shown(entries: dict[str, tuple[str, str | None]]) -> dict[str, str]:
    """Readable names; entries that differ in something else than the two go by their own."""
    times = Counter(entries.values())
    return {n: label(kind[0] if times[kind] == 1 else n) for n, kind in entries.items()}


def _cells(summary: pd.DataFrame) -> list[Cell]:
    pruned = summary[summary["pruner"] != REFERENCE]
    return sorted(set(zip(pruned["prune_ratio"], pruned["pruner"], strict=True)))


def _row(results: Results, entry: str, place: str, cells: list[Cell]) -> dict[str, Any]:
    """The numbers and texts of one backbone entry on one data set, or on all."""
    runs, means = _part(results.summary, entry, place), _part(results.aggregate, entry, place)
    one_place = place != EVERYWHERE
    row: dict[str, Any] = {}
    if one_place:
        full = _means(means[means["pruner"] == REFERENCE])
        row = {"full_mae": full["mae"], "full_mae_sd": full["mae_sd"], "full_score": _score(full)}
    found = {cell: _numbers(runs, means, cell, one_place) for cell in cells}
    corrected = holm([numbers["p"] for numbers in found.values()])
    for (cell, numbers), holm_p in zip(found.items(), corrected, strict=True):
        rivals = [other["mae"] for (ratio, _), other in found.items() if ratio == cell[0]]
        rivals = [mae for mae in rivals if not math.isnan(mae)]
        best = len(rivals) > 1 and numbers["mae"] == min(rivals)
        texts = {"score": _score(numbers, best), "delta": spelled_change(numbers["change"], holm_p)}
        row |= _named(cell, {**numbers, "holm_p": holm_p, **texts})
    return row


def _part(frame: pd.DataFrame, entry: str, place: str) -> pd.DataFrame:
    chosen = frame["backbone"] == entry
    return frame[chosen if place == EVERYWHERE else chosen & (frame["dataset"] == place)]


def _numbers(runs: pd.DataFrame, means: pd.DataFrame, cell: Cell, one_place: bool) -> Numbers:
    ratio, pruner = cell
    mine = means[(means["pruner"] == pruner) & (means["prune_ratio"] == ratio)]
    scores = _means(mine) if one_place else {"mae": math.nan, "mae_sd": math.nan}
    change, p, pairs = change_from(runs, cell, REFERENCE)
    time = float(mine["epoch_percent"].mean())
    return {**scores, "change": change, "p": p, "pairs": float(pairs), "time": time}


def _means(rows: pd.DataFrame) -> Numbers:
    if rows.empty:
        return {"mae": math.nan, "mae_sd": math.nan}
    return {"mae": float(rows["test_mae"].iloc[0]), "mae_sd": float(rows["test_mae_sd"].iloc[0])}


def _score(numbers: Numbers, best: bool = False) -> str | None:
    if math.isnan(numbers["mae"]):
        return None
    spread = "" if math.isnan(numbers["mae_sd"]) else f" ± {format_number(numbers['mae_sd'], 2)}"
    return f"{format_number(numbers['mae'], 2)}{spread}{BEST if best else ''}"


def _named(cell: Cell, values: dict[str, Any]) -> dict[str, Any]:
    ratio, pruner = cell
    return {f"{pruner}_{format_ratio(ratio)}_{name}": value for name, value in values.items()}


def _columns(cells: list[Cell]) -> tuple[Column, ...]:
    shown = [
        Column("backbone", "Backbone"),
        Column("optimiser", "Optimiser"),
        Column("dataset", "Data set"),
        Column("full_score", "MAE", over=label(REFERENCE)),
    ]
    for ratio, pruner in cells:
        over = f"{label(pruner)}, {format_ratio(ratio)}"
        start = f"{pruner}_{format_ratio(ratio)}"
        shown += [
            Column(f"{start}_score", "MAE", over=over),
            Column(f"{start}_delta", "Δ (%)", over=over),
            Column(f"{start}_time", "Time (%)", 0, over=over),
        ]
    return tuple(shown)
