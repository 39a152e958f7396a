"""What the experiment as a whole supports: every pruner against full training and the controls."""

import pandas as pd

from paper_figures.pairing import OTHERS, interval_text, pruned_rows
from paper_figures.rows import experiment_table
from stprune.paper.tables import Column, Table
from stprune.results.labels import label
from stprune.results.summary import Results
from stprune.statistics import paired
from stprune.statistics.paired import LEAST_PAIRS, MARGIN, ROW, TOO_FEW, WINS
from stprune.statistics.ranks import rankings

TITLE = "Tests over all data sets and backbones"

CAPTION = (
    "Over the n pairs of runs with the same data set, backbone and seed. Δ: mean ± standard"
    " deviation of 100 (pruner / full - 1) of the test MAE in %; below 0 the pruner is better."
    " 95 %: percentile bootstrap interval of the mean. t and Wilcoxon: p of the paired t test, of"
    " the signed-rank test, by Holm's correction over all pruners and prune ratios (budgets apart)."
    " p, data sets: t test over the means of three data sets or more, not corrected; pairs of one"
    " data set depend on each other, so only this test speaks for other data sets. Verdict, by the"
    " corrected t test: win or lose where p is below 0.05, else tie; too few, fewer than"
    f" {LEAST_PAIRS} pairs. Wins/ties/losses: pairs in which the pruner's MAE is lower, within"
    f" {MARGIN:g} %, or higher. Rank: mean over data sets with backbones of the rank among the"
    " pruners at this prune ratio and full training, 1 is the lowest MAE; Friedman: p that all rank"
    " alike. A dash: not run, or too few to test."
)

FULL, COUNTS = "Against full training", "Wins/ties/losses against"
COLUMNS = (
    Column("prune_ratio", "Prune ratio"),
    Column("pruner", "Pruner", named=True),
    Column("cells", "n", 0, over=FULL),
    Column("mean", "Δ (%)", 2, "sd", signed=True, over=FULL),
    Column("low", "95 %", over=FULL, text=interval_text()),
    Column("holm_p", "t", 3, over=FULL),
    Column("wilcoxon_holm_p", "Wilcoxon", 3, over=FULL),
    Column("datasets_p", "p, data sets", 3, over=FULL),
    Column("verdict", "Verdict", over=FULL, missing=TOO_FEW),
    *(
        Column(f"{other}_{WINS[0]}", label(other), over=COUNTS, text=text)
        for other in OTHERS
        for text in ["/".join(f"{{{other}_{count}:.0f}}" for count in WINS)]
    ),
    Column("mean_rank", "Mean", over="Rank", text="{mean_rank:.2f} of {ranked:.0f}"),
    Column("friedman_p", "Friedman", 3, over="Rank"),
)


def build(results: Results) -> Table:
    """One row per budget, prune ratio and pruner; the frame has `Comparison`'s other fields too."""
    frame = pruned_rows(results.summary)
    frame = frame.merge(paired.compare_with_full(results.summary), how="left", on=ROW)
    frame["cells"] = frame["cells"].fillna(0)
    for other in OTHERS:
        counts = paired.count_wins(results.summary, other).astype({"prune_ratio": "float64"})
        counts = counts.set_index(ROW).add_prefix(f"{other}_").reset_index()
        frame = frame.merge(counts, how="left", on=ROW)
    ranked = [
        (*place, pruner, rank, len(found.mean_ranks), found.p)
        for place, found in rankings(results.summary).items()
        for pruner, rank in found.mean_ranks.items()
    ]
    ranks = pd.DataFrame(ranked, columns=[*ROW, "mean_rank", "ranked", "friedman_p"])
    frame = frame.merge(ranks.astype({"prune_ratio": "float64"}), how="left", on=ROW)
    return experiment_table(results, TITLE, CAPTION, frame, COLUMNS, ("prune_ratio",))
