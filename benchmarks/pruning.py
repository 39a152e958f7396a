"""What pruning costs: epochs at several keep ratios, scoring and selection, a huge selection.

Epochs of STID on the simulated freeway, full and pruned by ST-Prune, are taken in turn on one
thread; of each the fastest counts.
"""

import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import torch

from benchmarks.base import BenchResult, Goal, Row, main
from stprune.base.layout import DataLayout
from stprune.config.experiment import parse_config
from stprune.config.grid import run_keys, run_spec
from stprune.data.canonical import read_canonical
from stprune.data.dataset import ForecastData, alone, forecast_data
from stprune.pruning.selection import hard_and_easy
from stprune.training.devices import fabric_on
from stprune.training.engine import Engine

DATASET, DATA_DIRECTORY = "sim_freeway", Path("data")
KEEP_RATIOS = (0.1, 0.3, 0.5, 0.7, 0.9)
ROUNDS = 5
WINDOWS = 10_000_000


def run() -> BenchResult:
    """Time pruned against full epochs, then one selection of 5 of 10 million windows."""
    torch.set_num_threads(1)
    dataset = read_canonical(DataLayout(DATA_DIRECTORY).processed(DATASET))
    data = forecast_data(dataset, history=12, horizon=12)
    engines = {ratio: engine(data, ratio) for ratio in (1.0, *KEEP_RATIOS)}
    for one in engines.values():
        one.train_epoch()  # a full one, as nothing is scored yet; it also warms up
    rounds = [{ratio: one.train_epoch() for ratio, one in engines.items()} for _ in range(ROUNDS)]
    rows: list[Row] = []
    for ratio in engines:
        fastest = min((records[ratio] for records in rounds), key=lambda r: r.train_seconds)
        full = float(rows[0]["epoch_s"]) if rows else fastest.train_seconds
        overhead = fastest.scoring_seconds + fastest.selection_seconds
        row: Row = {"kept": ratio, "epoch_s": fastest.train_seconds}
        rows.append(row | {"of_full": fastest.train_seconds / full, "overhead": overhead / full})
    seconds, megabytes = huge_selection(WINDOWS)
    goals = [
        Goal(f"epoch at {ratio:.0%} kept, of full", float(row["of_full"]), ratio + 0.02)
        for ratio, row in zip(KEEP_RATIOS, rows[1:], strict=True)
    ]
    goals += [
        Goal("scoring and selection, of full", max(float(r["overhead"]) for r in rows[1:]), 0.01),
        Goal("seconds to select 5 of 10 million windows", seconds, 1.0),
        Goal("megabytes for it at the peak", megabytes, 500.0),
    ]
    title = f"stid on {DATASET}, {len(data.train)} training windows, {ROUNDS} epochs in turn"
    return BenchResult(title, rows, goals)


def engine(data: ForecastData, keep_ratio: float) -> Engine:
    """Training of STID that keeps a share of the windows, far from any full-data tail."""
    values = {
        "experiment": "bench",
        "datasets": {DATASET: None},
        "backbones": {"stid": None},
        "pruners": {"full" if keep_ratio == 1.0 else "st_prune": None},
        "prune_ratios": [round(1 - keep_ratio, 6)],
        "seeds": [0],
        "data_directory": str(DATA_DIRECTORY),
        "training": {"epochs": 1000, "batch_size": 64},
    }
    config = parse_config(values, "the benchmark")
    return Engine(run_spec(config, run_keys(config)[0]), alone(data), fabric_on())


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
