"""What pruning costs: epochs at several keep ratios, scoring and selection, huge selections."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.base import BenchResult, Goal
from stprune.base.layout import DataLayout, RunKey
from stprune.config.experiment import parse_config
from stprune.config.grid import run_spec
from stprune.data.canonical import read_canonical
from stprune.data.dataset import ForecastData, alone, forecast_data
from stprune.pruning.selection import hard_and_easy
from stprune.records.run import EpochRecord
from stprune.training.devices import fabric_on
from stprune.training.engine import Engine

DATASET, BACKBONE = "sim_freeway", "stid"
KEEP_RATIOS = (0.1, 0.3, 0.5, 0.7, 0.9)
ROUNDS = 5
HUGE = 10_000_000
SCHEDULE_EPOCHS = 100
VALIDATE_EVERY = (1, 2, 5, 10)


def run(data_directory: Path) -> BenchResult:
    """Time pruned against full epochs of STID on the simulated freeway, in turn.

    Args:
        data_directory: Holds the prepared data set.

    Raises:
        DataError: If it has not been prepared.
    """
    torch.set_num_threads(1)
    data = forecast_data(
        read_canonical(DataLayout(data_directory).processed(DATASET)), history=12, horizon=12
    )
    engines = {1.0: _engine(data, data_directory, "full", 1.0)}
    for ratio in KEEP_RATIOS:
        engines[ratio] = _engine(data, data_directory, "st_prune", ratio)
    for engine in engines.values():
        # Nothing is scored yet, so this epoch is a full one; it also warms up.
        engine.train_epoch()
    rounds: dict[float, list[EpochRecord]] = {ratio: [] for ratio in engines}
    for _ in range(ROUNDS):
        # In turn, so that a slow moment of the machine touches all of them.
        for ratio, engine in engines.items():
            rounds[ratio].append(engine.train_epoch())
    rows = [_row(ratio, records, rounds[1.0]) for ratio, records in rounds.items()]
    validation = median(r.validation_seconds for records in rounds.values() for r in records)
    seconds, megabytes = _huge_selection()
    return BenchResult(
        title=f"{BACKBONE} on {DATASET}, {len(data.train)} training windows, one thread,"
        f" fastest of {ROUNDS} epochs taken in turn",
        rows=rows,
        goals=[
            *_epoch_goals(rows),
            Goal("selection of 5 of 10 million windows", seconds, 1.0, "s"),
            Goal("its peak memory", megabytes, 500.0, "MB"),
        ],
        notes=[
            f"Above: times faster in all, were {SCHEDULE_EPOCHS} epochs trained by the method's own"
            f" schedule (full first epoch, full tail), with validation ({validation:.3g} s) after"
            " every so many epochs. The ceiling is that of epochs that cost nothing to train."
        ],
        derived=_total_speed_ups(engines, {k: _epoch(r) for k, r in rounds.items()}, validation),
    )


def _engine(data: ForecastData, data_directory: Path, pruner: str, keep_ratio: float) -> Engine:
    values = {
        "experiment": "bench",
        "datasets": {DATASET: None},
        "backbones": {BACKBONE: None},
        "pruners": {pruner: None},
        "prune_ratios": [round(1 - keep_ratio, 6)],
        "seeds": [0],
        "data_directory": str(data_directory),
        # Far from any full-data tail.
        "training": {"epochs": 1000, "batch_size": 64},
    }
    config = parse_config(values, "the benchmark")
    key = RunKey(DATASET, BACKBONE, pruner, config.prune_ratios[0], 0)
    return Engine(run_spec(config, key), alone(data), fabric_on())


def _row(
    ratio: float, records: list[EpochRecord], full: list[EpochRecord]
) -> dict[str, float | str]:
    whole = _epoch(full)
    fastest = min(records, key=lambda record: record.train_seconds)
    parts = {
        name: float(getattr(fastest, f"{name}_seconds"))
        for name in ("data", "step", "scoring", "selection")
    }
    epoch = _epoch(records)
    overhead = parts["scoring"] + parts["selection"]
    return {
        "kept": ratio,
        "epoch_s": epoch,
        "of_full": epoch / whole,
        **{f"{name}_s": seconds for name, seconds in parts.items()},
        "overhead_of_full": overhead / whole,
    }


def _epoch_goals(rows: list[dict[str, float | str]]) -> list[Goal]:
    goals = []
    for row in rows[1:]:
        kept = float(row["kept"])
        goals.append(
            Goal(f"epoch at {kept:.0%} kept", float(row["of_full"]), kept + 0.02, "of full")
        )
    worst = max(float(row["overhead_of_full"]) for row in rows[1:])
    return [*goals, Goal("scoring and selection", worst, 0.01, "of a full epoch")]


def _huge_selection() -> tuple[float, float]:
    """Seconds, and in a second pass peak megabytes, of one selection over ten million windows."""
    rng = np.random.default_rng(0)
    scores = rng.random(HUGE, dtype=np.float32)
    strata = rng.integers(0, 10, HUGE)
    start = time.perf_counter()
    hard_and_easy(scores, strata, HUGE // 2, hard_share=0.5, rng=rng)
    seconds = time.perf_counter() - start
    tracemalloc.start()
    hard_and_easy(scores, strata, HUGE // 2, hard_share=0.5, rng=rng)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, peak / 1e6


def _epoch(records: list[EpochRecord]) -> float:
    # Whatever else the machine does can only slow an epoch.
    return min(record.train_seconds for record in records)


def _total_speed_ups(
    engines: dict[float, Engine], epoch: dict[float, float], validation: float
) -> list[dict[str, float | str]]:
    """Total time of full training over that of each keep ratio, by how often is validated."""
    rows: list[dict[str, float | str]] = []
    training = {
        ratio: training_seconds(
            [engine.pruner.epoch_windows(e, SCHEDULE_EPOCHS) for e in range(SCHEDULE_EPOCHS)],
            engine.windows,
            epoch[1.0],
            epoch[ratio],
        )
        for ratio, engine in engines.items()
    }
    for every in VALIDATE_EVERY:
        validating = validation * math.ceil(SCHEDULE_EPOCHS / every)
        whole = training[1.0] + validating
        rows.append(
            {"validate_every": str(every)}
            | {f"kept_{r:g}": whole / (training[r] + validating) for r in KEEP_RATIOS}
            | {"ceiling": whole / validating}
        )
    return rows


def training_seconds(
    windows: Sequence[int], all_windows: int, full_epoch: float, pruned_epoch: float
) -> float:
    """Seconds to train a schedule.

    Args:
        windows: How many each epoch visits.
        all_windows: n; an epoch that visits them all is a full one.
        full_epoch: Seconds of such an epoch.
        pruned_epoch: Seconds of any other.
    """
    return sum(full_epoch if k >= all_windows else pruned_epoch for k in windows)
