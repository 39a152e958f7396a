"""What a run costs: per-epoch and total time, overhead, memory and energy."""

import pandas as pd

from paper_figures.rows import CELL_COLUMNS, RANKS, SEEDS, experiment_table, run_means
from stprune.paper.tables import TIMING, Column, Table
from stprune.results.summary import Results

TITLE = "Efficiency"

CAPTION = (
    "Mean ± standard deviation over n seeds. Per epoch: of pruned epochs (of all, where none was"
    " pruned), data, steps, scoring and selection included. Total: preparation, all epochs,"
    " validation and checkpoints. Overhead: scoring and selection, in % of the per-epoch time;"
    " before: what a pruner prepares before the first epoch. Peak memory is that of the device, or"
    " of the process on a CPU; MB are 10^6 bytes. Energy in the total time: of the processor's"
    " packages, whatever else ran on them, and of the run's own NVIDIA devices."
    f" {RANKS} A dash: not run, not read for every seed, or nothing to compare with."
)

COLUMNS = (
    *CELL_COLUMNS,
    SEEDS,
    Column("epoch_seconds", "s", 3, "epoch_seconds_sd", True, over="Per epoch", marks=TIMING),
    Column("epoch_percent", "% of full's", 1, over="Per epoch", marks=TIMING),
    Column("overhead_percent", "%", 1, over="Overhead", marks=TIMING),
    Column("preparation_seconds", "before (s)", 2, over="Overhead", marks=TIMING),
    Column("total_seconds", "s", 1, "total_seconds_sd", True, over="Total", marks=TIMING),
    Column("total_percent", "% of full's", 1, over="Total", marks=TIMING),
    Column("peak_megabytes", "Peak memory (MB)", 0, "peak_megabytes_sd", True),
    Column("processor_kilojoules", "processor (kJ)", 2, "processor_kilojoules_sd", over="Energy"),
    Column("device_kilojoules", "device (kJ)", 2, "device_kilojoules_sd", over="Energy"),
)


def build(results: Results) -> Table:
    """One row per data set, backbone, prune ratio and pruner, as in the main table."""
    summary = results.summary
    values = pd.DataFrame(
        {
            "epoch_seconds": summary["epoch_seconds"],
            "overhead_percent": 100 * summary["overhead_seconds"] / summary["epoch_seconds"],
            **summary[["preparation_seconds", "total_seconds"]],
            "peak_megabytes": summary["peak_memory_bytes"] / 1e6,
            "processor_kilojoules": summary["processor_joules"].astype("float64") / 1e3,
            "device_kilojoules": summary["device_joules"].astype("float64") / 1e3,
        }
    )
    frame = run_means(values, results, "epoch_percent", "total_percent", TIMING)
    return experiment_table(results, TITLE, CAPTION, frame, COLUMNS)
