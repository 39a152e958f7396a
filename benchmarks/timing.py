"""Whether times add up: the sum of timed medians over a run's epochs against its own clock.

Whole runs of five pruners, STID on an eighth of the simulated freeway, after a timing of them. The
speed of a machine wanders by more than what is asked here, so between two rounds of the timing each
run trains an epoch, in slices as those of the timing.
"""

import sys
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.base import BenchResult, Goal, Row, main
from stprune.config.experiment import parse_config
from stprune.config.grid import data_layout, place_specs
from stprune.training.engine import Engine
from stprune.training.run import machine, open_run_data, prepare
from stprune.training.sensors import Watch
from stprune.training.sharing import available_cores
from stprune.training.timing import Contender, Job, train_in_slices

DATASET = "sim_freeway"
PRUNERS = ("full", "random_dynamic", "el2n", "infobatch", "st_prune")
EPOCHS = 20
MOST = 0.05


def run() -> BenchResult:
    """Time and train in turn, and compare."""
    with TemporaryDirectory() as folder:
        values = {
            "experiment": "additivity",
            "datasets": {DATASET: {"node_stride": 8}},
            "backbones": {"stid": None},
            "pruners": dict.fromkeys(PRUNERS),
            "prune_ratios": [0.5],
            "seeds": [0],
            "training": {"epochs": EPOCHS, "batch_size": 32},
            "results_directory": folder,
        }
        config = parse_config(values, "the benchmark")
        specs = place_specs(config, DATASET, "stid")
        with machine(specs[0], "the benchmark", alone=True) as (fabric, claimed):
            job = Job(config, specs, fabric, Watch(claimed.cores or available_cores()))
            data = open_run_data(specs[0], data_layout(config), fabric.device)
            runs = [Engine(spec, data, fabric) for spec in specs]
            for engine in runs:
                prepare(engine)
            for number in range(EPOCHS):
                job.train_round(number)
                train_in_slices(runs)
    rows_of_full = (row for row in job.rows if "validation_seconds" in row)
    validation = median(row["validation_seconds"] for row in rows_of_full)
    rows: list[Row] = []
    for engine, entry in zip(runs, job.entries, strict=True):
        timed = timed_seconds(engine, entry, job.full) + EPOCHS * validation
        own = engine.records[-1].elapsed_seconds
        rows.append(
            {"pruner": entry.key.pruner, "timed_s": timed, "run_s": own, "over": timed / own}
        )
    goals = [Goal(f"{row['pruner']}, off by", abs(float(row["over"]) - 1), MOST) for row in rows]
    return BenchResult(f"stid on {DATASET}, {EPOCHS} rounds", rows, goals)


def timed_seconds(engine: Engine, entry: Contender, full: Contender) -> float:
    """Its epochs at the median of the full or of the pruned one, and the timing's preparation."""
    whole = full.parts().epoch_seconds
    pruned = whole if entry.is_full else entry.parts().epoch_seconds
    epochs = sum(whole if record.keep_ratio == 1 else pruned for record in engine.records)
    return entry.engine.preparation_seconds + epochs


if __name__ == "__main__":
    sys.exit(main(run))
