"""Scores on data sets that a union held out, from the records of its runs."""

from __future__ import annotations

import pandas as pd

from paper_figures.rows import full_first
from stprune.records.store import KEYS, REFERENCE, run_keys_of
from stprune.results.summary import Results

PLACE = ["dataset", "backbone", "held_out"]
CELL = [*PLACE, "pruner", "prune_ratio"]
SCORES = ["zero_shot_mae", "linear_probe_mae"]


def applies(results: Results) -> bool:
    """Whether a run was tried on a data set that it was not trained on."""
    # What an entry holds out is the same for all of its runs.
    firsts = results.summary.drop_duplicates("dataset")
    return any(results.records[key].transfer for key in run_keys_of(firsts))


def held_out_scores(results: Results) -> pd.DataFrame:
    """Means over seeds of what pruned and full training come to on data they have not seen.

    Returns:
        One row per ``CELL``, full training first: ``seeds``; ``SCORES`` in ``held_out_unit``, each
        with ``_sd`` (ddof = 1) and ``_change`` (% against full training's mean), NaN where not
        asked for; and columns of ``Results.aggregate``.
    """
    rows = []
    for key, record in results.records.items():
        units = record.data.get("held_out", {})
        for name, transfer in record.transfer.items():
            probe = transfer.linear_probe
            unit = units.get(name, {}).get("target_unit")
            rows.append((*key, name, unit, transfer.zero_shot.mae, probe.mae if probe else None))
    runs = pd.DataFrame(rows, columns=[*KEYS, "held_out", "held_out_unit", *SCORES])
    cells = runs.astype(dict.fromkeys(SCORES, "float64")).groupby(CELL)
    frame = cells[SCORES].mean().join(cells[SCORES].std(ddof=1).add_suffix("_sd"))
    frame["seeds"], frame["held_out_unit"] = cells.size(), cells["held_out_unit"].first()
    frame = frame.reset_index()
    full = frame[frame["pruner"] == REFERENCE].set_index(PLACE)
    places = pd.MultiIndex.from_frame(frame[PLACE])
    for score in SCORES:
        base = full[score].reindex(places).to_numpy()
        frame[f"{score}_change"] = 100 * (frame[score] / base - 1)
    seen = ["test_mae", "total_percent", "total_percent_sd", "total_seconds", "realised_keep_ratio"]
    seen += ["total_percent_low", "total_percent_high", "steps_percent", "gradient_steps", "timing"]
    costs = results.aggregate[[*KEYS[:-1], *seen]]
    frame = frame.merge(costs, how="left", on=KEYS[:-1], validate="many_to_one")
    return full_first(frame, [*PLACE, "prune_ratio"])
