"""What imputation hides: at the stated rates, the same whenever asked, and never a leak."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import canonical

from stprune.data.dataset import ForecastData, forecast_data
from stprune.data.tasks.base import build_task
from stprune.data.tasks.impute import ImputeOptions, hidden_values

STEPS, NODES, HISTORY = 160, 5, 8
ALL = torch.arange(4)


def pattern(**shares: float) -> ImputeOptions:
    return ImputeOptions.model_validate({"points": 0.0} | shares)


def opened(missing: bool = False, **options: object) -> tuple[ForecastData, np.ndarray]:
    """Data of two channels and their (steps, N, 2) series."""
    rng = np.random.default_rng(5)
    series = rng.normal(10, 3, size=(STEPS, NODES, 2)).astype(np.float32)
    mask = rng.random(series.shape) > 0.2 if missing else np.ones(series.shape, bool)
    task = build_task("impute", options)
    data = forecast_data(canonical(series, mask), history=HISTORY, horizon=HISTORY, task=task)
    return data, series


@pytest.mark.parametrize("kind", ["points", "blocks", "sensors"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_each_pattern_hides_the_stated_share(kind: str, share: float) -> None:
    hidden = hidden_values(pattern(**{kind: share}), torch.arange(2000), 0, 12, 40).double()
    # 2,000 x 40 draws at least: five standard deviations.
    assert hidden.mean().item() == pytest.approx(share, abs=5 * 0.5 / np.sqrt(80_000))
    assert hidden.mean((1, 2)).std() > 0
    # No step and no node is hidden more than another.
    assert hidden.mean((0, 2)).sub(share).abs().max() < 0.015
    assert hidden.mean((0, 1)).sub(share).abs().max() < 0.06


def test_sensors_are_hidden_for_the_whole_window_and_blocks_are_runs_of_their_length() -> None:
    hidden = hidden_values(pattern(sensors=0.3), torch.arange(50), 0, 12, 20)
    assert bool((hidden.all(1) == hidden.any(1)).all())
    hidden = hidden_values(pattern(blocks=0.2, block_steps=4), torch.arange(200), 0, 24, 10)
    lengths = []
    for row in hidden.transpose(1, 2).reshape(-1, 24).int().tolist():
        # A run that the window's ends do not cut has a multiple of the block's steps.
        inner = "".join(map(str, row)).split("0")[1:-1]
        lengths += [len(run) for run in inner if run]
    assert lengths
    assert {length % 4 for length in lengths} == {0}


def test_patterns_of_windows_epochs_and_seeds_are_unrelated() -> None:
    """Two draws of a share of 0.25 agree on a sixteenth of the values."""
    starts = torch.arange(500)
    first = hidden_values(pattern(points=0.25), starts, 0, 12, 20)
    others = (
        hidden_values(pattern(points=0.25), starts + 1, 0, 12, 20).roll(1, 1),  # the same value
        hidden_values(pattern(points=0.25), starts, 1, 12, 20),
        hidden_values(pattern(points=0.25, seed=1), starts, 0, 12, 20),
    )
    for other in others:
        assert (first & other).double().mean().item() == pytest.approx(1 / 16, abs=0.004)


@settings(max_examples=30)
@given(
    windows=st.lists(st.integers(0, 80), min_size=1, max_size=12),
    epoch=st.integers(0, 1000),
    points=st.floats(0, 0.9),
    blocks=st.floats(0.01, 0.9),
    sensors=st.floats(0, 0.9),
)
def test_a_window_hides_the_same_in_whatever_batch(
    windows: list[int], epoch: int, points: float, blocks: float, sensors: float
) -> None:
    drawn = pattern(points=points, blocks=blocks, sensors=sensors)
    together = hidden_values(drawn, torch.tensor(windows), epoch, 6, 4)
    alone = [hidden_values(drawn, torch.tensor([window]), epoch, 6, 4) for window in windows]
    assert torch.equal(together, torch.cat(alone))


def test_a_hidden_value_is_fed_as_the_training_mean_and_is_the_target() -> None:
    data, series = opened(points=0.4)
    assert sum(map(len, (data.train, data.validation, data.test))) == STEPS - HISTORY + 1
    batch = data.validation.gather(ALL)
    starts = data.validation.starts[ALL].numpy()
    blocks = np.stack([series[start : start + HISTORY] for start in starts])
    np.testing.assert_array_equal(batch.targets, blocks[..., 0])
    assert 0.2 < batch.mask.double().mean() < 0.6
    assert bool((batch.inputs[..., 0][batch.mask] == 0).all())
    restored = data.validation.scaler.restore(batch.inputs[..., 0])
    np.testing.assert_allclose(restored[~batch.mask], blocks[..., 0][~batch.mask], rtol=1e-5)
    # The other channel stays visible, and the model may be shown what is hidden.
    assert bool((batch.inputs[..., 1] != 0).all())
    shown, _ = opened(points=0.4, show_hidden=True)
    assert shown.channels == shown.train.channels == 3
    batch = shown.test.gather(ALL)
    assert torch.equal(batch.inputs[..., 2], batch.mask.float())


def test_no_hidden_target_changes_any_input() -> None:
    """Other values where they are hidden: the inputs are the same bits."""
    task = build_task("impute", {"points": 0.3, "training": "fixed"})
    rng = np.random.default_rng(1)
    series = rng.normal(10, 3, size=(STEPS, NODES, 1)).astype(np.float32)
    test = forecast_data(canonical(series), history=8, horizon=8, task=task).test
    before = test.gather(ALL[:1])
    start = int(test.starts[0])
    changed = series.copy()
    changed[start : start + 8, :, 0][before.mask[0].numpy()] += 50
    after = forecast_data(canonical(changed), history=8, horizon=8, task=task).test.gather(ALL[:1])
    assert not torch.equal(before.targets, after.targets)
    assert torch.equal(before.inputs, after.inputs)
    # What was not observed is no target though hidden.
    hidden, counted = (opened(m, points=0.5)[0].test.gather(ALL).mask for m in (False, True))
    assert bool((counted <= hidden).all())
    assert 0.7 < counted.sum() / hidden.sum() < 0.9


def test_training_is_redrawn_each_epoch_or_fixed_and_evaluation_always_fixed() -> None:
    for training, redrawn in (("redrawn", True), ("fixed", False)):
        data, _ = opened(points=0.4, training=training)
        masks = []
        for epoch in (0, 1, 0):
            for split in (data.train, data.validation, data.test):
                split.begin_epoch(epoch)
                masks.append(split.gather(ALL).mask)
        assert list(map(torch.equal, masks[:3], masks[3:6])) == [not redrawn, True, True]
        assert list(map(torch.equal, masks[:3], masks[6:])) == [True, True, True]
