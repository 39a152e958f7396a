"""What pruning costs: epochs at several keep ratios, scoring and selection, a huge selection.

Epochs of STID on the simulated freeway, full and pruned by ST-Prune, by a timing (docs/timing.md).
"""

import sys
import time
import tracemalloc
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.base import BenchResult, Goal, Row, main
from stprune.config.experiment import parse_config
from stprune.pruning.selection import hard_and_easy
from stprune.training.timing import time_epochs

BENCH: dict[str, Any] = {
    "experiment": "bench",
    "datasets": {"sim_freeway": None},
    "backbones": {"stid": None},
    "pruners": {"full": None, "st_prune": None},
    "prune_ratios": [0.1, 0.3, 0.5, 0.7, 0.9],
    "seeds": [0],
    "training": {"epochs": 20, "batch_size": 64},
}
WINDOWS = 10_000_000


def run(values: dict[str, Any] | None = None) -> BenchResult:
    """Time pruned against full epochs, then one selection of 5 of 10 million windows."""
    with TemporaryDirectory() as folder:
        values = (values or BENCH) | {"results_directory": folder}
        (dataset,) = values["datasets"]
        timing = time_epochs(parse_config(values, "the benchmark"), dataset, "stid")
    rows, goals, full = list[Row](), list[Goal](), timing.full
    for entry in timing.entries:
        kept = entry.windows / full.windows
        overhead = (entry.scoring_seconds + entry.selection_seconds) / full.epoch_seconds
        row: Row = {"pruner": entry.pruner, "kept": kept, "epoch_s": entry.epoch_seconds}
        rows.append(row | {"of_full": entry.ratio, "overhead": overhead})
        if entry.pruner != "full":
            goals.append(Goal(f"epoch at {kept:.0%} kept, of full", entry.ratio, kept + 0.02))
    most = max(float(row["overhead"]) for row in rows)
    seconds, megabytes = huge_selection(WINDOWS)
    goals += [
        Goal("scoring and selection, of full", most, 0.01),
        Goal("seconds to select 5 of 10 million windows", seconds, 1.0),
        Goal("megabytes for it at the peak", megabytes, 500.0),
    ]
    title = f"stid on {dataset}, {full.windows} training windows; timing {timing.verdict}"
    return BenchResult(title, rows, goals)


def huge_selection(windows: int) -> tuple[float, float]:
    """Seconds, and in a second pass peak megabytes, of selecting half of many windows."""
    rng = np.random.default_rng(0)
    scores, strata = rng.random(windows, dtype=np.float32), rng.integers(0, 10, windows)
    start = time.perf_counter()
    hard_and_easy(scores, strata, windows // 2, hard_share=0.5, rng=rng)
    seconds = time.perf_counter() - start
    tracemalloc.start()
    hard_and_easy(scores, strata, windows // 2, hard_share=0.5, rng=rng)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, peak / 1e6


if __name__ == "__main__":
    sys.exit(main(run))
