"""One model for several data sets: what pruning its training costs on data it has not seen."""

import pandas as pd

from paper_figures.rows import SEEDS, experiment_table, full_first
from stprune.paper.tables import TIMING, Column, Table
from stprune.records.store import KEYS, REFERENCE, run_keys_of
from stprune.results.summary import Results

TITLE = "Pruned training on several data sets, and data sets held out from it"
PLACE = ["dataset", "backbone", "held_out"]
CELL = [*PLACE, "pruner", "prune_ratio"]
SCORES = ["zero_shot_mae", "linear_probe_mae"]

CAPTION = (
    "One model is trained on the data sets of an entry and tested on them (Seen: pooled over their"
    " test windows, each in its own unit) and on one that was held out, without any training there"
    " (zero-shot) and after training the last layer alone there (linear probe). Test MAE with the"
    " weights of the best validation epoch of the seen data sets: mean ± standard deviation over n"
    " seeds. Δ: change of the mean against full training. Total time, validation and checkpoints"
    " included, is in % of full training's; Kept: share of the training windows that pruned epochs"
    " visited. Controls: random_dynamic draws windows at random, full_fewer_epochs has all for"
    " fewer epochs. Bold: lowest mean of the same prune ratio, full training aside; underlined:"
    " second. A dash: not run, or not asked for."
)

COLUMNS = (
    Column("dataset", "Trained on"),
    Column("held_out", "Held out"),
    Column("held_out_unit", "Unit"),
    Column("backbone", "Backbone", named=True),
    Column("prune_ratio", "Prune ratio"),
    Column("pruner", "Pruner", named=True),
    SEEDS,
    Column("test_mae", "Seen", 2, ranked=True),
    Column("zero_shot_mae", "MAE", 2, "zero_shot_mae_sd", True, over="Zero-shot"),
    Column("zero_shot_mae_change", "Δ (%)", 1, signed=True, over="Zero-shot"),
    Column("linear_probe_mae", "MAE", 2, "linear_probe_mae_sd", True, over="Linear probe"),
    Column("linear_probe_mae_change", "Δ (%)", 1, signed=True, over="Linear probe"),
    Column("total_percent", "Total time (%)", 1, marks=TIMING),
    Column("realised_keep_ratio", "Kept", 3),
)


def build(results: Results) -> Table:
    """One row per data set entry, held-out data set, backbone, prune ratio and pruner."""
    frame, group = held_out_scores(results), ("dataset", "held_out", "backbone", "prune_ratio")
    return experiment_table(results, TITLE, CAPTION, frame, COLUMNS, group)


def applies(results: Results) -> bool:
    """Whether a run was tried on a data set that it was not trained on."""
    # What an entry holds out is the same for all of its runs.
    firsts = results.summary.drop_duplicates("dataset")
    return any(results.records[key].transfer for key in run_keys_of(firsts))


def held_out_scores(results: Results) -> pd.DataFrame:
    """Means over seeds of what pruned and full training come to on data they have not seen.

    One row per ``CELL``, full training first: ``seeds``; ``SCORES`` in ``held_out_unit``, each with
    ``_sd`` (ddof = 1) and ``_change`` (% against full training's mean), NaN where not asked for;
    and columns of ``Results.aggregate``.
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
