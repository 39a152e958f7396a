"""The ways to make batches that are compared make the same batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import data
from benchmarks.data import COPY, OURS, PER_SAMPLE, missing_reason
from benchmarks.loaders import HISTORY, HORIZON, LOADERS
from benchmarks.made_up import Size, made_up
from stprune.base.errors import DataError
from stprune.data.dataset import forecast_data

SMALL = Size(steps=400, nodes=3, channels=2, step_minutes=60, batch=8, rounds=2, seconds=0.001)
ORDER = [torch.tensor([5, 100, 7]), torch.tensor([3, 0])]


def inputs_and_targets(batch: Any) -> tuple[Any, Any]:
    """Of a batch in whatever form."""
    if isinstance(batch, dict):
        return batch["inputs"], batch["targets"]
    if hasattr(batch, "input"):
        return batch.input.x, batch.target.y
    return batch[0], batch.targets if hasattr(batch, "targets") else batch[-1]


@pytest.mark.parametrize("name", sorted(set(LOADERS) - {COPY}))
def test_every_way_makes_the_same_batches(name: str) -> None:
    reason = missing_reason(name)
    if reason is not None:
        pytest.skip(reason)
    dataset = made_up(SMALL)
    store = forecast_data(dataset, history=HISTORY, horizon=HORIZON).train
    batches = list(LOADERS[name][0](dataset)(ORDER))
    assert len(batches) == len(ORDER)
    for batch, windows in zip(batches, ORDER, strict=True):
        inputs, targets = (torch.as_tensor(part) for part in inputs_and_targets(batch))
        ours = store.gather(windows)
        assert inputs.shape == ours.inputs.shape
        # Others are standardised by the whole series, ours by its training part.
        torch.testing.assert_close(inputs, ours.inputs, atol=0.2, rtol=0.1)
        if targets.dim() == 3:
            torch.testing.assert_close(targets, ours.targets)


def test_a_copy_moves_the_bytes_of_a_batch() -> None:
    dataset = made_up(SMALL)
    ours = next(iter(LOADERS[OURS][0](dataset)(ORDER)))
    copied = next(iter(LOADERS[COPY][0](dataset)(ORDER)))
    wanted = (ours.inputs, ours.time_of_day, ours.day_of_week, ours.targets)
    assert [part.nbytes for part in copied] == [part.nbytes for part in wanted]


def test_the_bench_holds_gather_to_its_goals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "SIZES", (SMALL,))
    monkeypatch.setattr(data, "LARGE", Size(300, 4, 1, 60, batch=8))
    monkeypatch.setattr(data, "in_own_process", lambda function, *values: function(*values))
    monkeypatch.setattr(
        data, "missing_reason", lambda name: None if LOADERS[name][1] == "" else "x"
    )
    result = data.run(tmp_path)
    assert result.rows[0]["batches"] == OURS
    assert result.rows[0]["of_gather"] == 1.0
    assert len(result.goals) == 2 + 4
    assert [row["missing"] for row in result.derived] == ["0%", "2%"]
    assert "BasicTS: not installed (x)." in result.notes
    assert list(tmp_path.iterdir()) == []


def test_goals_compare_speeds_of_the_same_round() -> None:
    rates = {OURS: [100.0, 10.0, 50.0], PER_SAMPLE: [10.0, 4.0, 10.0], COPY: [120.0, 11.0, 50.0]}
    slow, fast = data._speed_goals(SMALL, rates)
    assert (slow.value, slow.met) == (0.2, True)
    assert (fast.value, fast.met) == (pytest.approx(1.1), True)


def test_no_room_for_the_large_series_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(data, "in_own_process", full)
    with pytest.raises(DataError, match="No space left"):
        data._large(tmp_path, 0.0)
    np.testing.assert_equal(list(tmp_path.iterdir()), [])
