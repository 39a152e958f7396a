"""One comparison for many data sets and backbones: means of what is relative to full training."""

from __future__ import annotations

import pandas as pd

from stprune.results.summary import Results

PLACE = ["dataset", "backbone"]
CELL = ["budget", "pruner", "prune_ratio"]
RELATIVE = {
    "test_mae": "test_mae_change",
    "epoch_percent": "epoch_percent",
    "total_percent": "total_percent",
}


def mean_over_places(results: Results) -> pd.DataFrame:
    """Mean over data sets and backbones that had the same budget, each counted once.

    Those without a run of full training are left out, since nothing is relative there.

    Args:
        results: The experiment.

    Returns:
        One row per budget, pruner and prune ratio, in the form of ``Results.aggregate``:
        ``dataset`` says how many it is the mean of and ``backbone`` what was held equal;
        ``test_mae`` is the change against full training in percent, ``epoch_percent`` and
        ``total_percent`` are times in % of its own; ``_sd`` are standard deviations (ddof = 1)
        between data sets and backbones; ``seeds`` the fewest of any; ``places`` how many had the
        pruner at this ratio.
    """
    table = results.aggregate.dropna(subset="test_mae_change")
    cells = table.groupby(CELL)
    mean = pd.DataFrame({name: cells[column].mean() for name, column in RELATIVE.items()})
    for name, column in RELATIVE.items():
        mean[f"{name}_sd"] = cells[column].std(ddof=1)
    mean["realised_keep_ratio"] = cells["realised_keep_ratio"].mean()
    mean["seeds"], mean["places"] = cells["seeds"].min(), cells.size()
    mean = mean.reset_index()
    every = table.drop_duplicates(PLACE).groupby("budget").size()[mean["budget"]]
    return mean.assign(
        dataset=[f"Mean of {count} data sets with backbones" for count in every],
        backbone=[f"equal {budget}" for budget in mean["budget"]],
    )
