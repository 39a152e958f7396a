"""Benchmarks report what they measured, and hold it to their goals when asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stprune.benches import pruning
from stprune.benches.base import BENCHES, BenchResult, Goal, MissedGoalError, check
from stprune.errors import UnknownNameError

RESULT = BenchResult(
    title="Two epochs",
    rows=[{"kept": 0.5, "epoch_s": 1.25}, {"kept": 1.0, "epoch_s": 2.0}],
    goals=[Goal("half an epoch", 0.625, 0.52, "of full"), Goal("overhead", 0.001, 0.01, "s")],
    notes=["A note."],
)


def test_text_shows_every_figure_and_verdict() -> None:
    text = RESULT.text()
    assert "1.25" in text
    assert "A note." in text
    assert "MISSED half an epoch: 0.625 of full (goal: 0.52)" in text
    assert "met    overhead" in text


def test_json_holds_the_same(tmp_path: Path) -> None:
    RESULT.write(tmp_path / "bench.json")
    values = json.loads((tmp_path / "bench.json").read_text())
    assert values["rows"] == list(RESULT.rows)
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
