"""What a grid of small runs costs beside its training: `snakemake --cores 2`, in CPU seconds.

From start-up and planning to the report. Training, validation and test are measured apart, in one
run of each kind, twice at once as the grid trains two: cores that share a memory slow each other.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.base import BenchResult, Goal, Row, main
from stprune.config.experiment import parse_config
from stprune.config.grid import data_layout, run_keys, run_spec
from stprune.training.devices import fabric_on
from stprune.training.engine import Engine
from stprune.training.run import open_run_data

GRID: dict[str, Any] = {
    "experiment": "grid",
    "datasets": {"sim_freeway": {"node_stride": 8, "days": 21}},
    "backbones": {"stid": None},
    "pruners": dict.fromkeys(["full", "random_dynamic", "infobatch", "st_prune"]),
    "prune_ratios": [0.3, 0.6, 0.9],
    "seeds": list(range(10)),
    "training": {"epochs": 30},  # 2 to 8 seconds
    # One import for fifty runs; a block for each core.
    "compute": {"runs_per_job": 50},
    # One job that lasts as long whatever the number of runs.
    "timing": {"rounds": 0},
    "tracking": {"mode": "disabled"},
}
LARGEST_SHARE = 0.1


def run(values: dict[str, Any] | None = None) -> BenchResult:
    """Train the grid; the data set has to be prepared."""
    with tempfile.TemporaryDirectory() as folder:
        values = (values or GRID) | {"results_directory": f"{folder}/results"}
        with ProcessPoolExecutor(2) as pool:
            one, other = pool.map(training_seconds, [values, values])
        seconds = {key: (one[key] + other[key]) / 2 for key in one}
        path = Path(folder) / "grid.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        before = os.times()
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", str(path)]
        subprocess.run(command, check=True)  # noqa: S603 - fixed words
        after = os.times()
    total = sum(after[2:4]) - sum(before[2:4])  # user and system seconds of ended children
    kinds = Counter(key[:4] for key in run_keys(parse_config(values, "grid")))
    rows: list[Row] = [
        {"pruner": key[2], "prune_ratio": key[3], "runs": runs, "cpu_s_each": seconds[key]}
        for key, runs in kinds.items()
    ]
    work = sum(runs * seconds[key] for key, runs in kinds.items())
    spent = (total - work) / kinds.total()
    rows.append({"pruner": "beside", "prune_ratio": "", "runs": kinds.total(), "cpu_s_each": spent})
    goal = Goal("share outside training, validation and test", 1 - work / total, LARGEST_SHARE)
    return BenchResult(f"A grid of {kinds.total()} small runs", rows, [goal])


def training_seconds(values: dict[str, Any]) -> dict[tuple[Any, ...], float]:
    """CPU seconds of one run of each kind: of its epochs with their validation, and its test."""
    torch.set_num_threads(1)
    config = parse_config(values | {"seeds": values["seeds"][:1]}, "grid")
    seconds = {}
    keys = list(run_keys(config))
    for key in [keys[0], *keys]:  # the first run of a process takes longer
        spec, fabric = run_spec(config, key), fabric_on()
        engine = Engine(spec, open_run_data(spec, data_layout(config), fabric.device), fabric)
        start = time.process_time()
        while not engine.finished:
            engine.train_epoch()
        engine.test()
        seconds[key[:4]] = time.process_time() - start
    return seconds


if __name__ == "__main__":
    sys.exit(main(run))
