"""Whether times add up: the sum of timed medians over a run's epochs against its own clock.

Whole runs of five pruners, STID on an eighth of the simulated freeway, after a timing of them. The
median of three seeds, pruners in turn: a single run of some ten seconds can be a tenth off.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.base import BenchResult, Goal, Row, main
from stprune.config.experiment import parse_config
from stprune.config.grid import experiment_layout, run_keys
from stprune.records.store import read_store
from stprune.results.summarise import summarise
from stprune.training.run import train
from stprune.training.timing import time_epochs

DATASET = "sim_freeway"
PRUNERS = ("full", "random_dynamic", "el2n", "infobatch", "st_prune")
MOST = 0.05


def run() -> BenchResult:
    """Time, then train each run, and compare."""
    with TemporaryDirectory() as folder:
        values = {
            "experiment": "additivity",
            "datasets": {DATASET: {"node_stride": 8}},
            "backbones": {"stid": None},
            "pruners": dict.fromkeys(PRUNERS),
            "prune_ratios": [0.5],
            "seeds": [0, 1, 2],
            "training": {"epochs": 20, "batch_size": 32},
            "tracking": {"mode": "disabled"},
            "results_directory": folder,
        }
        config = parse_config(values, "the benchmark")
        layout, keys = experiment_layout(config), run_keys(config)
        timing = time_epochs(config, DATASET, "stid")
        for key in sorted(keys, key=lambda key: key.seed):
            train(config, key, ())
        summarise([layout.metrics(key) for key in keys], layout)
        summary = read_store(Path(layout.store), "summary")
    columns = ["total_seconds", "own_total_seconds"]
    medians = summary.groupby("pruner", sort=False)[columns].median()
    rows: list[Row] = [
        {"pruner": pruner, "timed_s": timed, "run_s": own, "timed_over_run": timed / own}
        for pruner, timed, own in medians.itertuples(name=None)
    ]
    goals = [
        Goal(f"{row['pruner']}, off by", abs(float(row["timed_over_run"]) - 1), MOST)
        for row in rows
    ]
    title = f"stid on {DATASET}, {timing.verdict} after {timing.rounds} rounds"
    return BenchResult(title, rows, goals)


if __name__ == "__main__":
    sys.exit(main(run))
