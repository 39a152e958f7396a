"""One model for several data sets: what pruning its training costs on data it has not seen."""

from __future__ import annotations

from paper_figures.held_out import applies, held_out_scores
from paper_figures.rows import SEEDS, experiment_table
from stprune.paper.tables import TIMING, Column, Table
from stprune.results.summary import Results

__all__ = ["TITLE", "applies", "build"]
TITLE = "Pruned training on several data sets, and data sets held out from it"

CAPTION = (
    "One model is trained on the data sets of an entry and tested on them (Seen: pooled over their"
    " test windows, each in its own unit) and on one that was held out, without any training there"
    " (zero-shot) and after training the last layer alone there (linear probe). Test MAE with the"
    " weights of the best validation epoch of the seen data sets: mean ± standard deviation over n"
    " seeds (no deviation for one seed). Δ is the change of the mean against full training. Total"
    " time, validation and checkpoints included, is in % of full training's; Kept is the share of"
    " the training windows that pruned epochs visited. Two controls show what selection itself"
    " adds: random_dynamic draws windows at random, full_fewer_epochs trains on all windows for"
    " fewer epochs at equal cost. Bold: lowest mean of the same prune ratio, full training aside;"
    " underlined: second. A dash: not run, or not asked for."
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
    """One row per data set entry, held-out data set, backbone, prune ratio and pruner.

    MAE is in the unit of the held-out data set.
    """
    frame, group = held_out_scores(results), ("dataset", "held_out", "backbone", "prune_ratio")
    return experiment_table(results, TITLE, CAPTION, frame, COLUMNS, group)
