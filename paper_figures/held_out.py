"""Scores on data sets that a union held out, from the records of its runs."""

from __future__ import annotations

import pandas as pd

from paper_figures.rows import full_first
from stprune.base.layout import RunKey
from stprune.results.summary import KEYS, REFERENCE, Results, run_keys_of

PLACE = ["dataset", "backbone", "held_out"]
CELL = [*PLACE, "pruner", "prune_ratio"]
SCORES = ("zero_shot_mae", "linear_probe_mae")


def applies(results: Results) -> bool:
    """Whether a run was tried on a data set that it was not trained on."""
    firsts = results.summary.drop_duplicates("dataset")
    return any(results.records[key].transfer for key in run_keys_of(firsts))


def held_out_scores(results: Results) -> pd.DataFrame:
    """Means over seeds of what pruned and full training come to on data they have not seen.

    Args:
        results: The experiment; the records of its runs on unions are read.

    Returns:
        One row per data set entry, backbone, held-out data set, pruner and prune ratio, full
        training first in each: ``seeds``; ``zero_shot_mae`` and ``linear_probe_mae`` in the unit
        of the held-out data, each with ``_sd`` (ddof = 1) and ``_change`` (% against full
        training's mean), NaN where not asked for; ``held_out_unit``; and ``test_mae``,
        ``total_percent``, ``total_percent_sd``, ``total_seconds`` and ``realised_keep_ratio`` of
        ``Results.aggregate``.
    """
    rows = []
    for _, runs in results.summary.groupby("dataset"):
        for position, run in enumerate(runs.to_dict("records")):
            record = results.records[RunKey(*(run[key] for key in KEYS))]
            if not position and not record.transfer:
                break  # what an entry holds out is the same for all of its runs
            units = record.data.get("held_out", {})
            for name, transfer in record.transfer.items():
                probe = transfer.linear_probe
                rows.append(
                    {
                        **{key: run[key] for key in CELL if key != "held_out"},
                        "held_out": name,
                        "held_out_unit": units.get(name, {}).get("target_unit"),
                        "zero_shot_mae": transfer.zero_shot.mae,
                        "linear_probe_mae": probe.mae if probe else None,
                    }
                )
    cells = pd.DataFrame(rows).astype(dict.fromkeys(SCORES, "float64")).groupby(CELL)
    frame = cells[list(SCORES)].mean()
    for score in SCORES:
        frame[f"{score}_sd"] = cells[score].std(ddof=1)
    frame["seeds"], frame["held_out_unit"] = cells.size(), cells["held_out_unit"].first()
    return full_first(_compared(frame.reset_index(), results), [*PLACE, "prune_ratio"])


def _compared(frame: pd.DataFrame, results: Results) -> pd.DataFrame:
    full = frame[frame["pruner"] == REFERENCE].set_index(PLACE)
    places = pd.MultiIndex.from_frame(frame[PLACE])
    for score in SCORES:
        base = full[score].reindex(places).to_numpy()
        frame[f"{score}_change"] = 100 * (frame[score] / base - 1)
    keys = ["dataset", "backbone", "pruner", "prune_ratio"]
    seen = ["test_mae", "total_percent", "total_percent_sd", "total_seconds"]
    costs = results.aggregate[[*keys, *seen, "realised_keep_ratio"]]
    return frame.merge(costs, how="left", on=keys, validate="many_to_one")
