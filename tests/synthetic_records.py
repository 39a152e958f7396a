"""Run records made up for tests: their numbers follow a formula and mean nothing."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stprune.base.layout import STORE_TABLES, ExperimentLayout, RunKey, store_config
from stprune.records.run import (
    RECORD_VERSION,
    Cost,
    EpochRecord,
    RunRecord,
    Scores,
    read_epochs,
    read_record,
    write_record,
)
from stprune.records.store import KEYS, SUMMARY_COLUMNS, read_store, write_store
from stprune.records.timing import TIMING_VERSION, EntryTiming, TimingRecord, settings_digest
from stprune.results.summarise import TIMED, summarise, with_expected
from stprune.results.summary import Results, load_results

PRUNERS = ("random_dynamic", "full_fewer_epochs", "infobatch", "st_prune", "el2n", "made_up_rival")
WINDOWS = 1000
EPOCHS = 8


def scores(mae: float) -> Scores:
    """Scores around a mean absolute error."""
    return Scores(
        mae=mae,
        rmse=1.6 * mae,
        mape=3.0 * mae,
        mae_per_horizon=[0.9 * mae, 1.1 * mae],
        rmse_per_horizon=[1.5 * mae, 1.7 * mae],
        mape_per_horizon=[2.9 * mae, 3.1 * mae],
        windows=200,
        mape_floor=1.0,
    )


def cost(**changes: Any) -> Cost:
    """The cost of a run of full training, but for ``changes``."""
    whole = dict.fromkeys(("budget_share", "nominal_keep_ratio", "realised_keep_ratio"), 1.0)
    nothing = dict.fromkeys(("preparation_seconds", "overhead_seconds"), 0.0)
    values: dict[str, Any] = {
        **{"budget": "epochs", "epochs": EPOCHS, "gradient_steps": EPOCHS * 32},
        **{"windows_visited": EPOCHS * WINDOWS, "training_windows": WINDOWS},
        **{"overall_keep_ratio": 1.0, "full_epoch_seconds": None, "peak_memory_bytes": 10**9},
        **{"epoch_seconds": 10.0, "train_seconds": EPOCHS * 10.0, "test_seconds": 1.0},
        **{"validation_seconds": EPOCHS * 1.0, "checkpoint_seconds": EPOCHS * 0.1},
        "total_seconds": EPOCHS * 11.1,
    }
    return Cost(**{**values, **whole, **nothing, **changes})


def record(key: RunKey, **changes: Any) -> RunRecord:
    """A record with test MAE 3 and the cost of full training, but for ``changes``."""
    values: dict[str, Any] = {
        "record_version": RECORD_VERSION,
        "experiment": "synthetic",
        **key._asdict(),
        "test": scores(3.0),
        "test_groups": {"incident": 4.0, "least_stationary": 3.5, "worst_node": 6.0},
        "validation_mae": 3.1,
        "best_epoch": EPOCHS - 1,
        "parameters": 12345,
        "cost": cost(),
        "config": {"epochs": EPOCHS},
        "fingerprint": "1" * 64,
        "data": {"checksum": "d" * 64, "target_unit": "vehicles / 5 min"},
        "source_digest": "2" * 64,
        "environment": {"torch": "0.0-synthetic", "threads": 1, "git_commit": "12345678"},
        "started": "2000-01-01T00:00:00+00:00",
        "finished": "2000-01-01T00:10:00+00:00",
        "resumed": 0,
    }
    return RunRecord(**{**values, **changes})


def epochs(count: int, seconds: float = 10.0, keep_ratio: float = 1.0) -> list[EpochRecord]:
    """Epochs of equal length whose validation error falls towards 3."""
    return [
        EpochRecord(
            epoch=epoch,
            windows=round(keep_ratio * WINDOWS),
            keep_ratio=keep_ratio,
            gradient_steps=round(32 * keep_ratio),
            learning_rate=1e-3,
            train_loss=4.0,
            validation_mae=3.0 + 3.0 * np.exp(-(epoch + 1) * (0.3 + keep_ratio)),
            data_seconds=0.1 * seconds,
            step_seconds=0.85 * seconds,
            scoring_seconds=0.03 * seconds,
            selection_seconds=0.02 * seconds,
            train_seconds=seconds,
            validation_seconds=1.0,
            checkpoint_seconds=0.1,
            elapsed_seconds=(epoch + 1) * (seconds + 1.1),
        )
        for epoch in range(count)
    ]


def write_run(layout: ExperimentLayout, run: RunRecord, table: list[EpochRecord]) -> Path:
    """Write one run into an experiment; returns its ``metrics.json``."""
    key = RunKey(run.dataset, run.backbone, run.pruner, run.prune_ratio, run.seed)
    write_record(run, table, layout.run(key))
    return layout.metrics(key)


def run_of(
    dataset: str, pruner: str, ratio: float, seed: int, mae: float, /, **changes: Any
) -> RunRecord:
    """A record with a test MAE; of ``backbone`` STID where the changes name no other."""
    key = RunKey(dataset, changes.pop("backbone", "stid"), pruner, ratio, seed)
    return record(key, **{"test": scores(mae), **changes})


def results_of(
    root: Path, runs: Iterable[RunRecord | tuple[RunRecord, list[EpochRecord]]]
) -> Results:
    """Write runs, each with its epochs or with eight of 10 s; summarise them; load the results."""
    layout = ExperimentLayout(root)
    pairs = [run if isinstance(run, tuple) else (run, epochs(EPOCHS)) for run in runs]
    files = [write_run(layout, *pair) for pair in pairs]
    summarise(files, layout)
    keep_own_times(layout, files)
    return load_results(layout.store)


def timing(
    files: Iterable[Path], entries: Mapping[tuple[str, float], Mapping[str, float]], **changes: Any
) -> TimingRecord:
    """A timing of one data set and backbone, whose full epoch takes 10 s, of runs' source and data.

    An entry says its ``windows``, ``scoring_seconds``, ``selection_seconds``, ``ratio`` and
    ``preparation_seconds``, and else has an epoch of full training, within 2 % either way.
    """
    parts = {"epoch_seconds": 10.0, "data_seconds": 2.0, "step_seconds": 8.0}
    parts |= {"scoring_seconds": 0.0, "selection_seconds": 0.0, "windows": WINDOWS}
    timed = []
    for path in files:
        run = read_record(path)
        cell = run.pruner, run.prune_ratio
        if cell in entries and cell not in [(entry.pruner, entry.prune_ratio) for entry in timed]:
            values = {**parts, "ratio": 1.0, "preparation_seconds": 0.0, **entries[cell]}
            ends = {"ratio_low": 0.98 * values["ratio"], "ratio_high": 1.02 * values["ratio"]}
            where = {"pruner": run.pruner, "prune_ratio": run.prune_ratio}
            digests = {"settings": settings_digest(run.config), "source_digest": run.source_digest}
            timed.append(EntryTiming.model_validate(values | ends | where | digests))
    idle = {"busy": 1.0, "others": 0.01, "waiting": 0.01, "pressure": None, "megahertz": None}
    values = {
        **{"timing_version": TIMING_VERSION, "experiment": run.experiment, "rounds": 3},
        **{"dataset": run.dataset, "backbone": run.backbone, "verdict": "steady"},
        **{"full": parts, "validation_seconds": 1.0, "checkpoint_seconds": 0.1},
        **{"entries": timed, "sensors": idle, "source_digest": "3" * 64},
        **{"data_checksum": run.data["checksum"], "environment": {"threads": 1}},
        **{"started": run.started, "finished": run.finished},
    }
    return TimingRecord.model_validate(values | changes)


def keep_own_times(layout: ExperimentLayout, files: Iterable[Path]) -> None:
    """Take the times of the runs' own clocks into the store, as it is in our kept studies."""
    tables = {name: read_store(layout.store, name) for name in STORE_TABLES}
    summary, curves = [tables[name].set_index(KEYS) for name in ("summary", "epochs")]
    for path in files:
        run = read_record(path)
        key = tuple(getattr(run, name) for name in KEYS)
        for name in TIMED:
            summary.loc[key, name] = getattr(run.cost, name)
        own = read_epochs(path.with_name("epochs.csv"))
        columns = [name for name in own if name.endswith("_seconds")]
        curves.loc[[key], columns] = own[columns].to_numpy()
    tables["epochs"] = curves.reset_index()
    summary["timing"] = "within runs"
    frame = with_expected(summary.reset_index())
    tables["summary"] = frame[list(SUMMARY_COLUMNS)]
    configuration = store_config(layout.store)
    text = configuration.read_text(encoding="utf-8") if configuration.exists() else None
    write_store(layout.store, tables, text)


def pruned_run(key: RunKey, rank: int) -> tuple[RunRecord, list[EpochRecord]]:
    """A run whose error and time follow from its address; ``rank`` sets pruners apart."""
    rng = np.random.default_rng([*key.path.encode(), rank])
    keep = 1.0 - key.prune_ratio
    shortened = key.pruner == "full_fewer_epochs"
    count = max(1, round(EPOCHS * keep)) if shortened else EPOCHS
    visited = 1.0 if shortened else keep
    overhead = 0.0 if key.pruner == "full" or shortened else 0.1 + 0.05 * rank
    seconds = 10.0 * visited + overhead + rng.normal(0, 0.05)
    mae = 3.0 + (0.25 + 0.05 * rank) * key.prune_ratio**2 + rng.normal(0, 0.03)
    shares = {"nominal_keep_ratio": keep, "realised_keep_ratio": visited}
    shares["overall_keep_ratio"] = count * visited / EPOCHS
    times = {"epoch_seconds": seconds, "overhead_seconds": overhead}
    times |= {"train_seconds": count * seconds, "total_seconds": count * (seconds + 1.1)}
    times |= {"validation_seconds": count * 1.0, "checkpoint_seconds": count * 0.1}
    steps, windows = round(count * 32 * visited), round(count * WINDOWS * visited)
    spent = cost(epochs=count, gradient_steps=steps, windows_visited=windows, **shares, **times)
    groups = {"incident": 1.4 * mae, "least_stationary": 1.2 * mae, "worst_node": 2.0 * mae}
    run = record(key, test=scores(mae), test_groups=groups, cost=spent)
    return run, epochs(count, seconds, visited)


def write_experiment(
    root: Path,
    backbones: Sequence[str] = ("stid",),
    pruners: Sequence[str] = PRUNERS,
    ratios: Sequence[float] = (0.5, 0.9),
    seeds: Sequence[int] = (0, 1),
    with_full: bool = True,
    datasets: Sequence[str] = ("synthetic_roads",),
) -> ExperimentLayout:
    """Write and summarise a whole synthetic experiment below ``root``."""
    layout = ExperimentLayout(root)
    cells = [("full", 0.0)] if with_full else []
    cells += list(itertools.product(pruners, ratios))
    for *place, (pruner, ratio), seed in itertools.product(datasets, backbones, cells, seeds):
        rank = ("full", *pruners).index(pruner)
        write_run(layout, *pruned_run(RunKey(*place, pruner, ratio, seed), rank))
    summarised(layout)
    return layout


def summarised(layout: ExperimentLayout) -> Results:
    """Summarise every run that an experiment has by now, and load the results."""
    files = sorted(layout.root.glob("runs/**/metrics.json"))
    summarise(files, layout)
    keep_own_times(layout, files)
    return load_results(layout.store)
