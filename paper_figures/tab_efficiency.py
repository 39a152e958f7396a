"""What a run costs: per-epoch and total time, overhead, memory and energy."""

from __future__ import annotations

import pandas as pd

from paper_figures.rows import CELL_COLUMNS, absent, budgets, with_holes
from stprune.paper.tables import Column, Table
from stprune.results.summary import KEYS, REFERENCE, Results

TITLE = "Efficiency"

CAPTION = (
    "Mean ± standard deviation over n seeds (no deviation for one seed), wall clock as each run"
    " measured it. Per epoch: of pruned epochs (of all, where none was pruned), data, steps,"
    " scoring and selection included. Total: preparation, all epochs, validation and checkpoints."
    " Overhead: scoring and selection, in % of the per-epoch time; before: what a pruner prepares"
    " before the first epoch, in seconds. Peak memory is that of the device, or of the process on a"
    " CPU. Energy in the total time: of the processor's packages, whatever else ran on them, and of"
    " the run's own NVIDIA devices. Bold: lowest mean of the same data set, backbone and prune"
    " ratio, full training aside; underlined: second. A dash: not run, not read, or nothing to"
    " compare with."
)
NO_ENERGY = "No run of this experiment has a reading of energy."

MEGABYTE, KILO = 1e6, 1e3
CELL = KEYS[:-1]

COLUMNS = (
    *CELL_COLUMNS,
    Column("seeds", "n", 0),
    Column("epoch_seconds", "s", 3, "epoch_seconds_sd", True, over="Per epoch"),
    Column("epoch_percent", "% of full's", 1, over="Per epoch"),
    Column("overhead_percent", "%", 1, over="Overhead"),
    Column("preparation_seconds", "before (s)", 2, over="Overhead"),
    Column("total_seconds", "s", 1, "total_seconds_sd", True, over="Total"),
    Column("total_percent", "% of full's", 1, over="Total"),
    Column("peak_megabytes", "Peak memory (MB)", 0, "peak_megabytes_sd", True),
    Column("processor_kilojoules", "processor (kJ)", 2, "processor_kilojoules_sd", over="Energy"),
    Column("device_kilojoules", "device (kJ)", 2, "device_kilojoules_sd", over="Energy"),
)


def build(results: Results) -> Table:
    """The table of efficiency.

    Args:
        results: The experiment; seconds, joules and bytes as recorded.

    Returns:
        One row per data set, backbone, prune ratio and pruner, as in the main table; MB are 10^6
        bytes. A cell in which one seed was not read is a dash.
    """
    frame = with_holes(results.aggregate)
    kept = [*CELL, "seeds", "epoch_percent", "total_percent"]
    frame = frame[kept].merge(_means(results.summary), how="left", on=CELL, validate="one_to_one")
    notes = [*budgets(results), *absent(results)]
    read = frame[["processor_kilojoules", "device_kilojoules"]].notna().any().any()
    return Table(
        title=TITLE,
        caption=" ".join([CAPTION, *notes, *([] if read else [NO_ENERGY])]),
        frame=frame,
        columns=COLUMNS,
        group=("dataset", "backbone", "prune_ratio"),
        unranked={"pruner": (REFERENCE,)},
    )


def _means(summary: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds by cell, and their standard deviations (ddof = 1) as ``<name>_sd``."""
    values = pd.DataFrame(
        {
            "epoch_seconds": summary["epoch_seconds"],
            "overhead_percent": 100 * summary["overhead_seconds"] / summary["epoch_seconds"],
            "preparation_seconds": summary["preparation_seconds"],
            "total_seconds": summary["total_seconds"],
            "peak_megabytes": summary["peak_memory_bytes"] / MEGABYTE,
            "processor_kilojoules": summary["processor_joules"].astype("float64") / KILO,
            "device_kilojoules": summary["device_joules"].astype("float64") / KILO,
        }
    )
    cells = values.join(summary[CELL]).groupby(CELL)
    spread = cells.std(ddof=1, skipna=False).add_suffix("_sd")
    return cells.mean(skipna=False).join(spread).reset_index()
