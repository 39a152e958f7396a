"""What pruning costs: epochs at several keep ratios, scoring and selection, huge selections."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path
from statistics import median

import numpy as np
import torch
from lightning_fabric import Fabric

from stprune.benches.base import BenchResult, Goal
from stprune.config import parse_config
from stprune.data.canonical import read_canonical
from stprune.data.dataset import ForecastData, forecast_data
from stprune.engine import Engine
from stprune.grid import run_spec
from stprune.layout import DataLayout, RunKey
from stprune.records import EpochRecord
from stprune.selection import hard_and_easy

DATASET, BACKBONE = "sim_freeway", "stid"
KEEP_RATIOS = (0.1, 0.3, 0.5, 0.7, 0.9)
ROUNDS = 5
HUGE = 10_000_000


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
    validation = 0.0
    for engine in engines.values():
        # Nothing is scored yet, so this epoch is a full one; it also warms up.
        validation = engine.train_epoch().validation_seconds
    rounds: dict[float, list[EpochRecord]] = {ratio: [] for ratio in engines}
    for _ in range(ROUNDS):
        # In turn, so that a slow moment of the machine touches all of them.
        for ratio, engine in engines.items():
            rounds[ratio].append(engine.train_epoch())
    rows = [_row(ratio, records, rounds[1.0]) for ratio, records in rounds.items()]
    seconds, megabytes = _huge_selection()
    return BenchResult(
        title=f"{BACKBONE} on {DATASET}, {len(data.train)} training windows, one thread,"
        f" median of {ROUNDS} epochs taken in turn",
        rows=rows,
        goals=[
            *_epoch_goals(rows),
            Goal("selection of 5 of 10 million windows", seconds, 1.0, "s"),
            Goal("its peak memory", megabytes, 500.0, "MB"),
        ],
        notes=_validation_ceiling(median(r.train_seconds for r in rounds[1.0]), validation),
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
    return Engine(run_spec(config, key), data, Fabric(accelerator="cpu", devices=1))


def _row(
    ratio: float, records: list[EpochRecord], full: list[EpochRecord]
) -> dict[str, float | str]:
    whole = median(record.train_seconds for record in full)
    parts = {
        name: median(getattr(record, f"{name}_seconds") for record in records)
        for name in ("data", "step", "scoring", "selection")
    }
    epoch = median(record.train_seconds for record in records)
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


def _validation_ceiling(epoch: float, validation: float) -> list[str]:
    """What validating costs the total speed-up, at every and at every fifth epoch."""
    notes = []
    for every in (1, 5):
        share = validation / every
        bound = (epoch + share) / (0.1 * epoch + share)
        notes.append(
            f"Validating every {every} epoch(s) takes {validation:.3g} s each: at 10 % kept the"
            f" total is at most {bound:.2f} times faster than full training, not 10 times."
        )
    return notes
