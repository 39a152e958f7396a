"""Benchmarks report what they measured, and hold it to their goals when asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import pruning
from benchmarks.base import BENCHES, BenchResult, Goal, MissedGoalError, check
from stprune.base.errors import UnknownNameError
from stprune.base.layout import DataLayout
from stprune.data.canonical import read_canonical
from stprune.data.dataset import forecast_data

RESULT = BenchResult(
    title="Two epochs",
    rows=[{"kept": 0.5, "epoch_s": 1.25}, {"kept": 1.0, "epoch_s": 2.0}],
    goals=[Goal("half an epoch", 0.625, 0.52, "of full"), Goal("overhead", 0.001, 0.01, "s")],
    notes=["A note."],
    derived=[{"validate_every": "5", "ceiling": 7.25}],
)


def test_text_shows_every_figure_and_verdict() -> None:
    text = RESULT.text()
    assert "1.25" in text
    assert "7.25" in text
    assert "A note." in text
    assert "MISSED half an epoch: 0.625 of full (goal: 0.52)" in text
    assert "met    overhead" in text


def test_json_holds_the_same(tmp_path: Path) -> None:
    RESULT.write(tmp_path / "bench.json")
    values = json.loads((tmp_path / "bench.json").read_text())
    assert values["rows"] == list(RESULT.rows)
    assert values["derived"] == list(RESULT.derived)
    assert [goal["met"] for goal in values["goals"]] == [False, True]


def test_check_names_what_was_missed() -> None:
    with pytest.raises(MissedGoalError, match="half an epoch"):
        check(RESULT)
    check(BenchResult("", [], [Goal("overhead", 0.01, 0.01, "s")]))


def test_unknown_bench_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean `pruning`"):
        BENCHES.module("prunin")


def test_pruning_measures_every_keep_ratio(toy_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "DATASET", "toy")
    monkeypatch.setattr(pruning, "ROUNDS", 1)
    monkeypatch.setattr(pruning, "HUGE", 1000)
    monkeypatch.setattr(pruning, "KEEP_RATIOS", (0.25, 0.5))
    result = pruning.run(toy_data)
    assert [row["kept"] for row in result.rows] == [1.0, 0.25, 0.5]
    assert all(row["epoch_s"] > 0 for row in result.rows)
    assert len(result.goals) == 5


def test_total_speed_ups_follow_from_schedule_and_validation(
    toy_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 epochs at half the windows: a full first, 86 pruned, a full tail of 13."""
    monkeypatch.setattr(pruning, "DATASET", "toy")
    monkeypatch.setattr(pruning, "KEEP_RATIOS", (0.5,))
    dataset = read_canonical(DataLayout(toy_data).processed("toy"))
    data = forecast_data(dataset, history=12, horizon=12)
    engines = {
        1.0: pruning._engine(data, toy_data, "full", 1.0),
        0.5: pruning._engine(data, toy_data, "st_prune", 0.5),
    }
    rows = pruning._total_speed_ups(engines, {1.0: 2.0, 0.5: 1.0}, 0.5)
    assert [row["validate_every"] for row in rows] == ["1", "2", "5", "10"]
    # Training takes 200 s in full and 14 x 2 + 86 x 1 = 114 s pruned; validation 0.5 s each time.
    for row, validating in zip(rows, (50.0, 25.0, 10.0, 5.0), strict=True):
        assert row["kept_0.5"] == pytest.approx((200 + validating) / (114 + validating))
        assert row["ceiling"] == pytest.approx((200 + validating) / validating)
