"""The time to full training's accuracy: to which value, on which clock, and when there is none."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_records import epochs, record, write_run

from stprune.base.layout import ExperimentLayout, RunKey
from stprune.results.summarise import summarise, times_to_full
from stprune.results.summary import load_results

Curve = list[float]


def _epochs(*runs: tuple[str, int, Curve, float]) -> pd.DataFrame:
    """Pruner, seed, validation MAE of each epoch, and seconds an epoch."""
    rows = [
        ("r", "b", pruner, 0.0 if pruner == "full" else 0.5, seed, epoch, mae, (epoch + 1) * pace)
        for pruner, seed, curve, pace in runs
        for epoch, mae in enumerate(curve)
    ]
    names = [*RunKey._fields, "epoch", "validation_mae", "elapsed_seconds"]
    return pd.DataFrame(rows, columns=names)


def _times(*runs: tuple[str, int, Curve, float]) -> dict[tuple[str, int], tuple[float, float]]:
    table = times_to_full(_epochs(*runs))
    found = {}
    for row in table.itertuples():
        found[str(row.pruner), int(str(row.seed))] = (
            float(str(row.time_to_full_seconds)),
            float(str(row.time_to_full_percent)),
        )
    return found


def test_first_epoch_at_or_below_the_best_of_full_of_the_same_seed() -> None:
    times = _times(
        ("full", 0, [5.0, 3.0, 4.0], 10.0),  # its best, 3, after 20 s
        ("full", 1, [5.0, 4.0, 2.0], 10.0),  # its best, 2, after 30 s
        ("x", 0, [4.0, 3.5, 3.0, 2.0], 4.0),  # exactly 3 in the third epoch, 12 s
        ("x", 1, [4.0, 3.5, 3.0, 1.9], 6.0),  # at 2 or below in the fourth, 24 s
    )
    assert times["full", 0] == (20.0, 100.0)
    assert times["full", 1] == (30.0, 100.0)
    assert times["x", 0] == (12.0, 60.0)
    assert times["x", 1] == (24.0, 80.0)


def test_a_run_that_worsens_again_has_reached_it_and_one_just_above_has_not() -> None:
    times = _times(
        ("full", 0, [5.0, 3.0], 10.0), ("x", 0, [2.9, 9.0], 5.0), ("y", 0, [9.0, 3.0001], 5.0)
    )
    assert times["x", 0] == (5.0, 25.0)
    assert all(math.isnan(value) for value in times["y", 0])


def test_seed_without_full_is_held_to_the_mean_of_fulls_seeds() -> None:
    times = _times(
        ("full", 0, [5.0, 3.0], 10.0),  # best 3 after 20 s
        ("full", 1, [5.0, 4.5, 4.0, 2.0], 10.0),  # best 2 after 40 s; means 2.5 and 30 s
        ("x", 7, [3.0, 2.6, 2.5], 5.0),
    )
    assert times["x", 7] == (15.0, 50.0)


def test_skipped_validations_and_order_of_rows_do_not_matter() -> None:
    runs = (("full", 0, [math.nan, 3.0, math.nan], 10.0), ("x", 0, [math.nan, 2.0, 1.0], 4.0))
    table = _epochs(*runs)
    turned = times_to_full(table.iloc[::-1]).sort_values("pruner", ignore_index=True)
    assert turned.equals(times_to_full(table).sort_values("pruner", ignore_index=True))
    assert turned["time_to_full_seconds"].tolist() == [20.0, 8.0]


def test_without_full_there_is_nothing_to_reach_and_places_are_kept_apart() -> None:
    assert all(math.isnan(value) for value in _times(("x", 0, [1.0], 4.0))["x", 0])
    elsewhere = _epochs(("full", 0, [9.0], 10.0)).assign(dataset="other")
    table = times_to_full(pd.concat([elsewhere, _epochs(("x", 0, [1.0], 4.0))]))
    assert table.set_index("pruner")["time_to_full_seconds"].isna()["x"]


def test_agrees_with_a_loop_over_runs() -> None:
    rng = np.random.default_rng(5)
    names = ("full", "x", "y")
    runs = [(name, seed, list(rng.random(9)), 2.0) for name in names for seed in range(6)]
    times = _times(*runs)
    best = {seed: min(curve) for name, seed, curve, _ in runs if name == "full"}
    for name, seed, curve, pace in runs:
        first = next((n for n, mae in enumerate(curve) if mae <= best[seed]), None)
        expected = math.nan if first is None else (first + 1) * pace
        assert times[name, seed][0] == pytest.approx(expected, nan_ok=True)


def test_summary_and_means_hold_it_and_count_who_reached(tmp_path: Path) -> None:
    layout = ExperimentLayout(tmp_path)
    # The synthetic validation error falls faster the more is kept: half of 8 epochs never suffices.
    files = [
        write_run(layout, record(RunKey("r", "b", "full", 0.0, 0)), epochs(8)),
        write_run(layout, record(RunKey("r", "b", "x", 0.5, 0)), epochs(8, keep_ratio=0.5)),
        write_run(layout, record(RunKey("r", "b", "x", 0.5, 1)), epochs(8, seconds=5.0)),
    ]
    summarise(files, layout)
    results = load_results(layout.store)
    runs = results.summary.set_index(["pruner", "seed"])
    assert runs.time_to_full_seconds["full", 0] == pytest.approx(8 * 11.1)
    assert runs.time_to_full_seconds["x", 1] == pytest.approx(8 * 6.1)
    assert runs.time_to_full_percent["x", 1] == pytest.approx(100 * 6.1 / 11.1)
    means = results.aggregate.set_index("pruner")
    assert means.reached.to_dict() == {"full": 1, "x": 1}
    assert math.isnan(means.time_to_full_seconds["x"])
    assert means.time_to_full_percent["full"] == pytest.approx(100.0)
