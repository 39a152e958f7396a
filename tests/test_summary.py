"""The summary holds every run as it was recorded, and compares only what may be compared."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from synthetic_records import cost, epochs, record, scores, write_experiment, write_run

from stprune.base.errors import RecordError
from stprune.base.layout import ExperimentLayout, RunKey, store_files
from stprune.records.store import read_store
from stprune.results.summarise import summarise
from stprune.results.summary import EPOCH_COLUMNS, SUMMARY_COLUMNS, load_results


def _write(layout: ExperimentLayout, key: RunKey, mae: float = 3.0, **costs: float | None) -> Path:
    run = record(key, test=scores(mae), cost=cost(**costs))
    return write_run(layout, run, epochs(run.cost.epochs))


def _by_hand(layout: ExperimentLayout) -> list[Path]:
    """Two seeds of full and of one pruner, in round numbers."""
    full = [RunKey("roads", "stid", "full", 0.0, seed) for seed in (0, 1)]
    half = [RunKey("roads", "stid", "some_pruner", 0.75, seed) for seed in (0, 1)]
    small = {"realised_keep_ratio": 0.25, "gradient_steps": 64, "overhead_seconds": 0.5}
    return [
        _write(layout, half[1], 3.4, epoch_seconds=4.0, total_seconds=50.0, **small),
        _write(layout, full[0], 2.9, epoch_seconds=9.0, total_seconds=90.0),
        _write(layout, half[0], 3.2, epoch_seconds=3.0, total_seconds=40.0, **small),
        _write(layout, full[1], 3.1, epoch_seconds=11.0, total_seconds=110.0),
    ]


def test_comparison_with_full_matches_numbers_worked_by_hand(tmp_path: Path) -> None:
    layout = ExperimentLayout(tmp_path)
    summarise(_by_hand(layout), layout)
    row = load_results(layout.store).aggregate.set_index("pruner").loc["some_pruner"]
    assert row.seeds == 2
    assert row.test_mae == pytest.approx(3.3)
    # Two values 0.2 apart: the sample's standard deviation is 0.2 / sqrt(2).
    assert row.test_mae_sd == pytest.approx(0.2 / 2**0.5)
    assert row.test_mae_change == pytest.approx(10.0)
    assert row.epoch_percent == pytest.approx(35.0)
    assert row.epoch_percent_sd == pytest.approx(100 * (1 / 2**0.5) / 10)
    assert row.total_percent == pytest.approx(45.0)
    assert row.gradient_steps == 64
    assert row.realised_keep_ratio == 0.25
    # A quarter of full's 10 s, and half a second of its own.
    assert row.expected_epoch_seconds == pytest.approx(3.0)
    assert row.epoch_time_ratio == pytest.approx(3.5 / 3.0)


def test_full_is_its_own_reference(tmp_path: Path) -> None:
    layout = ExperimentLayout(tmp_path)
    summarise(_by_hand(layout), layout)
    row = load_results(layout.store).aggregate.set_index("pruner").loc["full"]
    assert (row.epoch_percent, row.test_mae_change) == pytest.approx((100.0, 0.0))
    runs = read_store(layout.store, "summary").query("pruner == 'full'")
    assert list(runs.epoch_time_ratio) == pytest.approx([0.9, 1.1])


def test_own_overhead_of_full_is_not_charged_to_others(tmp_path: Path) -> None:
    layout = ExperimentLayout(tmp_path)
    files = [
        _write(layout, RunKey("r", "b", "full", 0, 0), epoch_seconds=10.0, overhead_seconds=2.0),
        _write(layout, RunKey("r", "b", "x", 0.5, 0), realised_keep_ratio=0.5),
    ]
    summarise(files, layout)
    runs = read_store(layout.store, "summary").set_index("pruner")
    assert runs.expected_epoch_seconds["x"] == pytest.approx(4.0)
    assert runs.expected_epoch_seconds["full"] == pytest.approx(10.0)


def test_a_run_with_full_epochs_of_its_own_is_held_to_those(tmp_path: Path) -> None:
    layout = ExperimentLayout(tmp_path)
    half = {"realised_keep_ratio": 0.5, "overhead_seconds": 0.5, "epoch_seconds": 4.5}
    files = [
        _write(layout, RunKey("r", "b", "full", 0, 0), epoch_seconds=10.0, full_epoch_seconds=10.0),
        _write(layout, RunKey("r", "b", "x", 0.5, 0), **half, full_epoch_seconds=8.0),
        _write(layout, RunKey("r", "b", "y", 0.5, 0), **half, full_epoch_seconds=None),
    ]
    summarise(files, layout)
    runs = read_store(layout.store, "summary").set_index("pruner")
    assert runs.expected_epoch_seconds["x"] == pytest.approx(0.5 * 8.0 + 0.5)
    assert runs.epoch_time_ratio["x"] == pytest.approx(1.0)
    assert runs.expected_epoch_seconds["y"] > runs.expected_epoch_seconds["x"]


def test_backbones_are_compared_with_their_own_full_run(tmp_path: Path) -> None:
    layout = ExperimentLayout(tmp_path)
    files = [
        _write(layout, RunKey("r", "slow", "full", 0, 0), epoch_seconds=100.0),
        _write(layout, RunKey("r", "fast", "full", 0, 0), epoch_seconds=10.0),
        _write(layout, RunKey("r", "slow", "x", 0.5, 0), epoch_seconds=50.0),
        _write(layout, RunKey("r", "fast", "x", 0.5, 0), epoch_seconds=9.0),
        _write(layout, RunKey("r", "alone", "x", 0.5, 0), epoch_seconds=9.0),
    ]
    summarise(files, layout)
    table = load_results(layout.store).aggregate
    percent = table[table.pruner == "x"].set_index("backbone").epoch_percent
    assert percent[["slow", "fast"]].tolist() == pytest.approx([50.0, 90.0])
    assert pd.isna(percent["alone"])


def test_without_full_nothing_is_relative(tmp_path: Path) -> None:
    table = load_results(write_experiment(tmp_path, with_full=False).store).aggregate
    names = [str(column) for column in table]
    relative = [c for c in names if c.endswith(("_change", "_percent", "_percent_sd", "_ratio"))]
    relative = [c for c in relative if c not in ("prune_ratio", "realised_keep_ratio")]
    assert "epoch_percent" in relative
    assert table[relative].isna().all(axis=None)
    assert table["test_mae"].notna().all()


def test_one_seed_has_no_spread_and_a_lacking_score_no_mean(tmp_path: Path) -> None:
    layout = ExperimentLayout(tmp_path)
    keys = [RunKey("r", "b", "x", 0.5, seed) for seed in (0, 1)]
    lacking = record(keys[1], test=scores(3.0).model_copy(update={"mape": None}))
    files = [_write(layout, keys[0]), write_run(layout, lacking, epochs(8))]
    files.append(_write(layout, RunKey("r", "b", "single", 0.5, 0)))
    summarise(files, layout)
    table = load_results(layout.store).aggregate.set_index("pruner")
    assert pd.isna(table.test_mae_sd["single"])
    assert pd.isna(table.test_mape["x"])
    assert table.test_mae["x"] == pytest.approx(3.0)


def test_errors_of_groups_are_those_of_the_record_and_a_missing_group_is_a_hole(
    tmp_path: Path,
) -> None:
    layout = ExperimentLayout(tmp_path)
    some = record(
        RunKey("r", "b", "x", 0.5, 0), test_groups={"incident": None, "least_stationary": 3.25}
    )
    files = [write_run(layout, some, epochs(8)), _write(layout, RunKey("r", "b", "y", 0.5, 0))]
    summarise(files, layout)
    results = load_results(layout.store)
    runs = results.summary.set_index("pruner")
    assert (runs.test_mae_incident["y"], runs.test_mae_worst_node["y"]) == (4.0, 6.0)
    assert runs.test_mae_least_stationary["x"] == 3.25
    assert pd.isna(runs.test_mae_incident["x"])
    assert pd.isna(runs.test_mae_worst_node["x"])
    assert (runs.budget["x"], runs.budget_share["x"]) == ("epochs", 1.0)


def test_order_of_files_does_not_matter(tmp_path: Path) -> None:
    layout = write_experiment(tmp_path)
    before = {path.name: path.read_bytes() for path in store_files(layout.store)[:-1]}
    files = sorted(tmp_path.glob("runs/**/metrics.json"), reverse=True)
    summarise(files, layout)
    assert {path.name: path.read_bytes() for path in store_files(layout.store)[:-1]} == before


def test_every_run_and_epoch_is_there_with_full_precision(tmp_path: Path) -> None:
    layout = write_experiment(tmp_path)
    results = load_results(layout.store)
    assert tuple(results.summary) == SUMMARY_COLUMNS
    assert tuple(results.epochs) == EPOCH_COLUMNS
    assert len(results.summary) == 2 + 6 * 2 * 2
    assert len(results.epochs) == results.summary["epochs"].sum()
    for run in results.summary.itertuples():
        path = layout.root / str(run.record)
        assert f'"mae": {run.test_mae!r}' in path.read_text(encoding="utf-8")


def test_names_and_digests_stay_text(tmp_path: Path) -> None:
    layout = ExperimentLayout(tmp_path)
    files = [_write(layout, RunKey("008", "NA", "x", 0.5, 0))]
    summarise(files, layout)
    results = load_results(layout.store)
    assert (results.summary.dataset[0], results.summary.backbone[0]) == ("008", "NA")
    assert results.summary.git_commit[0] == "12345678"
    assert results.epochs.dataset.unique().tolist() == ["008"]
    assert len(results.aggregate) == 1


def test_missing_run_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    layout = ExperimentLayout(tmp_path)
    missing = layout.metrics(RunKey("r", "b", "x", 0.5, 7))
    files = [_write(layout, RunKey("r", "b", "x", 0.5, 0)), missing]
    with pytest.raises(RecordError, match=r"x/p0\.5/s7/metrics\.json"):
        summarise(files, layout)
    assert not layout.summary.exists()


def test_different_shares_of_the_training_windows_under_one_name_are_refused(
    tmp_path: Path,
) -> None:
    layout = ExperimentLayout(tmp_path)
    files = [
        write_run(
            layout,
            record(
                RunKey("r", "b", pruner, 0.5, 0),
                data={"checksum": "d" * 64, "window_stride": stride},
            ),
            epochs(8),
        )
        for pruner, stride in (("x", 1), ("y", 5))
    ]
    with pytest.raises(RecordError, match=r"window_stride 1.*window_stride 5"):
        summarise(files, layout)


def test_different_data_under_one_name_are_refused(tmp_path: Path) -> None:
    layout = ExperimentLayout(tmp_path)
    other = record(RunKey("r", "b", "y", 0.5, 0), data={"checksum": "e" * 64})
    files = [_write(layout, RunKey("r", "b", "x", 0.5, 0)), write_run(layout, other, epochs(8))]
    with pytest.raises(RecordError, match="`r` saw different data") as error:
        summarise(files, layout)
    assert "\n" not in str(error.value)
    subset = record(RunKey("r", "b", "y", 0.5, 0), data={"checksum": "d" * 64, "days": 3})
    with pytest.raises(RecordError, match="days 3"):
        summarise([files[0], write_run(layout, subset, epochs(8))], layout)
    elsewhere = record(RunKey("r2", "b", "y", 0.5, 0), data={"checksum": "e" * 64})
    summarise([files[0], write_run(layout, elsewhere, epochs(8))], layout)
    assert len(read_store(layout.store, "summary")) == 2


def test_damaged_inputs_are_refused_with_one_line(tmp_path: Path) -> None:
    layout = ExperimentLayout(tmp_path)
    file = _write(layout, RunKey("r", "b", "x", 0.5, 0))
    bare = write_run(layout, record(RunKey("r", "b", "y", 0.5, 0), data={}), epochs(8))
    short = write_run(layout, record(RunKey("r", "b", "z", 0.5, 0)), epochs(3))
    outside = _write(ExperimentLayout(tmp_path / "other"), RunKey("r", "b", "x", 0.5, 0))
    apart = ExperimentLayout(tmp_path / "apart")
    cases = [
        ([], layout, "no run to summarise"),
        ([file, file], layout, "one and the same run"),
        ([bare], layout, r"no `data\.checksum`"),
        ([short], layout, "has 3 epochs, but its record says 8"),
        ([outside], apart, "not a run of the experiment"),
    ]
    for files, place, message in cases:
        with pytest.raises(RecordError, match=message) as error:
            summarise(files, place)
        assert "\n" not in str(error.value)
