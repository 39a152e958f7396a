"""Does pruning work with any backbone and any optimiser? Each against its own full training."""

import pandas as pd

from paper_figures.pairing import GROUP_CAPTION, GROUP_COLUMNS, compared_groups
from paper_figures.rows import experiment_table
from stprune.paper.tables import Column, Table
from stprune.results.summary import Results
from stprune.statistics.paired import EVERY_PLACE

TITLE = "Pruning under every backbone and optimiser"

CAPTION = (
    "A group is a backbone entry with its optimiser on one data set, or on all of them. Learning"
    f" rates are those of the configuration: rows do not rank the optimisers. {GROUP_CAPTION}"
)

COLUMNS = (
    Column("backbone", "Backbone", named=True),
    Column("optimiser", "Optimiser"),
    Column("dataset", "Data set"),
    *GROUP_COLUMNS,
)


def applies(results: Results) -> bool:
    """Whether a backbone was trained with several optimisers."""
    optimisers = _entries(results).drop_duplicates(["id", "optimiser"])
    return bool(optimisers["id"].duplicated().any())


def build(results: Results) -> Table:
    """List each backbone entry's rows of every data set, and those over all of them."""
    datasets = sorted(results.summary["dataset"].unique())
    places = [(name, [name]) for name in datasets]
    places += [(EVERY_PLACE, datasets)] if len(datasets) > 1 else []
    groups = [
        (
            {"backbone": entry.name, "optimiser": entry.optimiser, "dataset": place},
            {"backbone": [entry.name], "dataset": names},
        )
        for entry in _entries(results).itertuples()
        for place, names in places
    ]
    frame, group = compared_groups(results, groups), ("backbone", "dataset", "prune_ratio")
    return experiment_table(results, TITLE, CAPTION, frame, COLUMNS, group)


def _entries(results: Results) -> pd.DataFrame:
    """``name``, backbone ``id`` and ``optimiser`` of every entry, by the record of one run."""
    rows = []
    for name, config in results.configs("backbone").items():
        entry = config.get("backbone", {})
        optimiser = entry.get("optimisation", {}).get("optimiser")
        rows.append((name, entry.get("id", name), optimiser))
    table = pd.DataFrame(rows, columns=["name", "id", "optimiser"])
    return table.sort_values(["id", "optimiser", "name"])
