"""The summary holds every run as it was recorded, and compares only what may be compared."""

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from synthetic_records import cost, epochs, record, results_of, scores, timing, write_run

from stprune.base.errors import RecordError
from stprune.base.layout import ExperimentLayout, RunKey
from stprune.records.store import read_store
from stprune.records.timing import read_timing, write_timing
from stprune.results.summarise import TIMED, summarise
from stprune.results.summary import load_results, mean_over_places


def _write(layout: ExperimentLayout, key: RunKey, mae: float = 3.0, **costs: float | None) -> Path:
    run = record(key, test=scores(mae), cost=cost(**costs))
    return write_run(layout, run, epochs(run.cost.epochs))


def test_comparison_with_full_matches_numbers_worked_by_hand(tmp_path):
    full = [RunKey("roads", "stid", "full", 0.0, seed) for seed in (0, 1)]
    half = [RunKey("roads", "stid", "some_pruner", 0.75, seed) for seed in (0, 1)]
    small = {"realised_keep_ratio": 0.25, "gradient_steps": 64, "overhead_seconds": 0.5}
    runs = [
        (half[1], 3.4, {"epoch_seconds": 4.0, "total_seconds": 50.0, **small}),
        (full[0], 2.9, {"epoch_seconds": 9.0, "total_seconds": 90.0}),
        (half[0], 3.2, {"epoch_seconds": 3.0, "total_seconds": 40.0, **small}),
        (full[1], 3.1, {"epoch_seconds": 11.0, "total_seconds": 110.0}),
    ]
    made = [record(key, test=scores(mae), cost=cost(**times)) for key, mae, times in runs]
    table = results_of(tmp_path, made).aggregate.set_index("pruner")
    assert table.loc["full", ["epoch_percent", "test_mae_change"]].tolist() == [100.0, 0.0]
    # Two values 0.2 apart: the sample's standard deviation is 0.2 / sqrt(2). An epoch should take a
    # quarter of full's 10 s, and half a second of its own.
    expected = {
        **{"seeds": 2, "test_mae": 3.3, "test_mae_sd": 0.2 / 2**0.5, "test_mae_change": 10.0},
        **{"epoch_percent": 35.0, "epoch_percent_sd": 100 * (1 / 2**0.5) / 10},
        **{"total_percent": 45.0, "gradient_steps": 64, "realised_keep_ratio": 0.25},
        **{"expected_epoch_seconds": 3.0, "epoch_time_ratio": 3.5 / 3.0},
    }
    assert table.loc["some_pruner", list(expected)].to_dict() == pytest.approx(expected)


def _timed_runs(layout: ExperimentLayout) -> list[Path]:
    """Full training, and a pruner whose first of three epochs is full; half its windows, 4 s."""
    full, half = RunKey("roads", "stid", "full", 0.0, 0), RunKey("roads", "stid", "x", 0.5, 0)
    table = [*epochs(1), *epochs(3, keep_ratio=0.5)[1:]]
    # Its last epoch kept fewer windows; the second was not validated; no checkpoint before it.
    table[1] = table[1].model_copy(update={"validation_mae": None, "checkpoint_seconds": 0.0})
    table[2] = table[2].model_copy(update={"windows": 250, "keep_ratio": 0.25})
    own = record(half, cost=cost(epochs=3, realised_keep_ratio=0.375, total_seconds=777.0))
    files = [_write(layout, full), write_run(layout, own, table)]
    entry = {"windows": 500, "ratio": 0.4, "preparation_seconds": 5.0, "epoch_seconds": 4.0}
    entry |= {"data_seconds": 0.5, "step_seconds": 2.0, "scoring_seconds": 0.5}
    entry |= {"selection_seconds": 1.0}
    made = timing(files, {("full", 0.0): {}, ("x", 0.5): entry}, verdict="noisy")
    write_timing(made, pd.DataFrame(), layout.timing("roads", "stid"))
    return files


def test_times_are_sums_of_the_timing_over_a_runs_own_epochs(tmp_path):
    layout = ExperimentLayout(tmp_path)
    summarise(_timed_runs(layout), layout)
    results = load_results(layout.store)
    curves = results.epochs[results.epochs["pruner"] == "x"]
    # A full epoch takes 10 s, scoring 1 s, selection 1 s; half of the windows 3 s and a selection.
    assert curves["train_seconds"].tolist() == pytest.approx([12.0, 4.0, 2.5])
    assert curves["validation_seconds"].tolist() == [1.0, 0.0, 1.0]
    assert curves["checkpoint_seconds"].tolist() == pytest.approx([0.1, 0.0, 0.1])
    assert curves["elapsed_seconds"].tolist() == pytest.approx([18.1, 22.1, 25.7])
    assert curves["own_elapsed_seconds"].tolist() == pytest.approx([11.1, 22.2, 33.3])
    run = results.summary.set_index("pruner").loc["x"]
    expected = {
        **{"epoch_seconds": 3.25, "full_epoch_seconds": 12.0, "overhead_seconds": 1.375},
        **{"preparation_seconds": 5.0, "train_seconds": 23.5, "validation_seconds": 2.0},
        **{"checkpoint_seconds": 0.2, "total_seconds": 25.7, "own_total_seconds": 777.0},
        **{"own_epoch_seconds": 10.0, "epoch_seconds_low": 0.98 * 3.25},
        "total_seconds_high": 25.7 + 0.02 * 6.5,
        **{"expected_epoch_seconds": 0.375 * 10 + 1.375},
    }
    assert run[list(expected)].to_dict() == pytest.approx(expected, nan_ok=True)
    row = results.aggregate.set_index("pruner").loc["x"]
    percent = ["epoch_percent", "epoch_percent_low", "epoch_percent_high"]
    assert row[percent].tolist() == pytest.approx([32.5, 31.85, 33.15])
    assert row["timing"] == "noisy"
    assert len(read_store(layout.store, "timings")) == 1
    # The worst of places, and no mean over places of which one is not timed.
    assert set(mean_over_places(results)["timing"]) == {"noisy"}
    elsewhere = results.aggregate.assign(backbone="other", timing=None, epoch_percent=math.nan)
    both = replace(results, aggregate=pd.concat([results.aggregate, elsewhere]))
    mean = mean_over_places(both)
    assert mean[["timing", "epoch_percent"]].isna().all(axis=None)


def test_without_a_timing_times_are_null_and_an_outdated_one_is_refused(tmp_path):
    layout = ExperimentLayout(tmp_path)
    files = _timed_runs(layout)
    path = layout.timing("roads", "stid")
    made = read_timing(path)
    entry = made.entries[0].model_copy(update={"source_digest": "4" * 64})
    for other in ({"data_checksum": "e" * 64}, {"entries": [entry]}):
        write_timing(made.model_copy(update=other), pd.DataFrame(), path)
        with pytest.raises(RecordError, match=r"stid\.json"):
            summarise(files, layout)
    path.write_text("{}")
    with pytest.raises(RecordError, match=r"stid\.json"):
        summarise(files, layout)
    path.unlink()
    summarise(files, layout)
    results = load_results(layout.store)
    times = ["timing", *TIMED, "epoch_time_ratio"]
    assert results.summary[times].isna().all(axis=None)
    assert read_store(layout.store, "timings").empty
    assert results.epochs[["train_seconds", "elapsed_seconds"]].isna().all(axis=None)
    assert results.aggregate[["timing", "total_percent"]].isna().all(axis=None)
    assert results.summary["own_total_seconds"].tolist() == [pytest.approx(88.8), 777.0]


def test_one_seed_has_no_spread_and_a_lacking_score_no_mean(tmp_path):
    layout = ExperimentLayout(tmp_path)
    keys = [RunKey("008", "NA", "x", 0.5, seed) for seed in (0, 1)]
    lacking = record(keys[1], test=scores(3.0).model_copy(update={"mape": None}))
    files = [_write(layout, keys[0]), write_run(layout, lacking, epochs(8))]
    files.append(_write(layout, keys[0]._replace(pruner="single")))
    summarise(files, layout)
    # Names stay text.
    table = load_results(layout.store).aggregate.set_index(["dataset", "backbone", "pruner"])
    assert pd.isna(table.test_mae_sd["008", "NA", "single"])
    assert pd.isna(table.test_mape["008", "NA", "x"])
    assert table.test_mae["008", "NA", "x"] == pytest.approx(3.0)


def test_different_data_sources_or_settings_under_one_name_are_refused(tmp_path):
    layout, key = ExperimentLayout(tmp_path), RunKey("r", "b", "x", 0.5, 0)
    first, seed, rival = _write(layout, key), key._replace(seed=1), key._replace(pruner="y")
    for other, changes, words in (
        (seed, {"source_digest": "0" * 64}, "different source code.*x/p0.5/s1/metrics.json"),
        (seed, {"config": {"epochs": 9}}, "different configurations"),
        (rival, {"data": {"checksum": "e" * 64}}, "different data"),
        (rival, {"data": {"checksum": "d" * 64, "days": 3}}, "days 3"),
        (rival, {"data": {"checksum": "d" * 64, "window_stride": 3}}, "window_stride 3"),
    ):
        with pytest.raises(RecordError, match=words):
            summarise([first, write_run(layout, record(other, **changes), epochs(8))], layout)
    assert not layout.summary.exists()
    elsewhere = record(RunKey("r2", "b", "y", 0.5, 0), data={"checksum": "e" * 64})
    summarise([first, write_run(layout, elsewhere, epochs(8))], layout)
    assert len(read_store(layout.store, "summary")) == 2


def test_damaged_inputs_are_refused_with_one_line(tmp_path):
    layout = ExperimentLayout(tmp_path)
    file = _write(layout, RunKey("r", "b", "x", 0.5, 0))
    bare = write_run(layout, record(RunKey("r", "b", "y", 0.5, 0), data={}), epochs(8))
    short = write_run(layout, record(RunKey("r", "b", "z", 0.5, 0)), epochs(3))
    missing = layout.metrics(RunKey("r", "b", "x", 0.5, 7))
    for files, named in (
        ([], str(tmp_path)),
        ([file, file], r"x/p0\.5/s0/metrics\.json"),
        ([bare], r"y/p0\.5/s0/metrics\.json"),
        ([short], r"z/p0\.5/s0/epochs\.csv"),
        ([file, missing], r"x/p0\.5/s7/metrics\.json"),
    ):
        with pytest.raises(RecordError, match=named):
            summarise(files, layout)
        assert not layout.summary.exists()
