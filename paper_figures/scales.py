"""Which entries of an experiment are one model at several scales, and what each scale costs."""

from __future__ import annotations

import pandas as pd

from stprune.results.summary import REFERENCE, Results, run_keys_of

PLACE = ["dataset", "model"]
NOTHING = "No model was trained at more than one scale: nothing to show."


def applies(results: Results) -> bool:
    """Whether a model was trained at several scales on the same data set."""
    return not scale_points(results).empty


def scale_points(results: Results) -> pd.DataFrame:
    """Means over seeds of models that were trained at several scales.

    A model is a backbone's component; its scales are the entries of the configuration that differ
    in their number of parameters.

    Args:
        results: The experiment.

    Returns:
        The rows of ``Results.aggregate`` of such entries, with ``model`` (the component's id),
        ``parameters`` (mean over runs) and ``ratio`` (the prune ratio; full training stands once
        at each ratio that anything was pruned by, or at 0 without any), sorted by data set, model,
        ratio, pruner and parameters. Empty if no model has several scales.
    """
    cells = results.summary.groupby(["dataset", "backbone"], as_index=False)
    entries = cells[["parameters"]].mean()
    firsts = results.summary.drop_duplicates("backbone")
    models = {
        key.backbone: results.records[key].config.get("backbone", {}).get("id", key.backbone)
        for key in run_keys_of(firsts)
    }
    entries["model"] = entries["backbone"].map(models)
    several = entries.groupby(PLACE)["parameters"].transform("nunique") > 1
    points = results.aggregate.merge(entries[several], on=["dataset", "backbone"])
    pruned = points[points["pruner"] != REFERENCE].assign(ratio=lambda rows: rows["prune_ratio"])
    full = points[points["pruner"] == REFERENCE]
    ratios = sorted(pruned["prune_ratio"].unique()) or [0.0]
    repeated = [full.assign(ratio=ratio) for ratio in ratios]
    order = [*PLACE, "ratio", "pruner", "parameters"]
    return pd.concat([pruned, *repeated]).sort_values(order, ignore_index=True)
