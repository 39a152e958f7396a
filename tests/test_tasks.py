"""Tasks and protocols as configured: which windows they give, what they hide, what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import NODES, STEPS, canonical, day_times, toy_series
from toy_union import KEY, union_config, union_values, write_union

from stprune.base.errors import ConfigError, StpruneError
from stprune.config.experiment import parse_config
from stprune.data.dataset import ForecastData, forecast_data
from stprune.data.tasks.base import TASKS, build_task
from stprune.data.tasks.impute import ImputeOptions, hidden_values
from stprune.data.windows import cut_splits, window_starts
from stprune.training.run import train

SHARES = (0.6, 0.2, 0.2)


def test_few_shot_counts_as_st_ttc_does_or_the_training_windows():
    """PEMS08: 17,856 steps; 10 % of all its windows are 1,783, of its training windows 1,070."""
    splits = cut_splits("paper", np.arange(17_856 - 23), 24, 17_856, SHARES)
    for options, count in (
        ({"share": 0.1}, 1783),
        ({"share": 0.1, "of": "training_windows"}, 1070),
    ):
        assert build_task("few_shot", options).training_windows(splits) == range(count)
    for share in (0.7, 0.00001):
        with pytest.raises(ConfigError, match="1 to 10700"):
            build_task("few_shot", {"share": share}).training_windows(splits)


def test_few_shot_leaves_validation_and_test_and_scales_by_what_it_trains_on():
    rng = np.random.default_rng(0)
    series = rng.normal(size=(400, 3, 1)).astype(np.float32) + np.arange(400)[:, None, None]
    task = build_task("few_shot", {"share": 0.1})
    few = forecast_data(canonical(series), history=4, horizon=2, task=task)
    full = forecast_data(canonical(series), history=4, horizon=2)
    assert len(few.train) == 40  # of 395 windows
    assert few.test.starts.equal(full.test.starts)
    assert few.validation.starts.equal(full.validation.starts)
    assert few.train.scaler.mean.item() == pytest.approx(series[:43].mean(), rel=1e-5)


def test_strict_cuts_the_series_like_the_large_graphs_of_st_ttc():
    """35,040 steps, 12 to 12: 21,001, 6,985 and 6,985 windows."""
    splits = cut_splits("strict", np.arange(35_040 - 23), 24, 35_040, SHARES)
    sizes = [len(part) for part in (splits.train, splits.validation, splits.test)]
    assert sizes == [21_001, 6_985, 6_985]
    with pytest.raises(ConfigError):
        cut_splits("strict", np.arange(77), 24, 100, SHARES)


@pytest.mark.parametrize("breaks", [False, True])
def test_strict_windows_share_no_step_with_another_split(breaks):
    times = day_times(12) if breaks else None
    steps = len(times) if times is not None else 216
    series = np.random.default_rng(0).normal(size=(steps, 2, 1)).astype(np.float32)
    dataset = canonical(series, timestamps=times)
    strict = forecast_data(dataset, history=5, horizon=3, protocol="strict")
    covered = [
        np.unique(split.starts.numpy()[:, None] + np.arange(split.length))
        for split in (strict.train, strict.validation, strict.test)
    ]
    assert len(np.unique(np.concatenate(covered))) == sum(map(len, covered))
    # And nothing is left out that no cut crosses.
    starts = window_starts(dataset.timestamps, 8, 60)
    cuts = np.array([round(0.6 * steps), round(0.6 * steps) + round(0.2 * steps)])
    crossed = ((starts[:, None] < cuts) & (starts[:, None] + 8 > cuts)).any(1)
    assert sum(map(len, (strict.train, strict.validation, strict.test))) == (~crossed).sum()


@pytest.mark.parametrize(
    ("entry", "values", "says"),
    [
        ({"task": "imput"}, {}, "did you mean"),
        ({"task": "impute", "task_options": {"point": 0.2}}, {}, "did you mean"),
        ({"task": "impute", "task_options": {"points": 0}}, {}, "above 0"),
        ({"task": "impute", "training": {"horizon": 3}}, {}, "`training.horizon`"),
        ({"task": "impute"}, {"backbones": {"last_value": None}}, "`last_value`"),
        ({"task": "transfer"}, {}, "`zero_shot`"),
        ({"task": "transfer", "zero_shot": ["sim_city_2"]}, {}, "transferable"),
        ({"task": "impute"}, {"protocol": "legacy"}, "forecasts"),
        ({}, {"protocol": "legacy", "training": {"budget": "steps"}}, "budget"),
        ({}, {"protocol": "legacy", "compute": {"devices": 2}}, "device"),
        ({}, {"protocol": "lax"}, "protocol"),
        (
            {"dataset": None, "union": ["sim_city_1"], "task": "impute"},
            {"backbones": {"opencity": None}},
            "union",
        ),
    ],
)
def test_what_does_not_fit_is_refused(toy_values, entry, values, says):
    datasets = {"city": {"dataset": "sim_city_1", **entry}}
    with pytest.raises(StpruneError, match=says):
        parse_config(toy_values | {"datasets": datasets} | values, "c.yaml")


STEPS_IN, STEPS_OUT = 8, 8


@pytest.mark.parametrize("name", TASKS.ids())
def test_every_task_gives_batches_that_backbones_and_the_engine_take(name):
    series = toy_series()[:, :, None].astype("float32")
    opened, task = canonical(series, series != 0), build_task(name, {})
    data = forecast_data(opened, history=STEPS_IN, horizon=STEPS_OUT, task=task)
    stores = (data.train, data.validation, data.test)
    for store in stores:
        assert int(store.starts[0]) >= 0
        assert int(store.starts[-1]) + max(store.length, store.history) <= STEPS
        batch = store.gather(torch.tensor([0, len(store) - 1]))
        assert batch.inputs.shape == (2, STEPS_IN, NODES, data.channels)
        assert batch.targets.shape == batch.mask.shape == (2, STEPS_OUT, NODES)
        assert batch.time_of_day.shape == batch.day_of_week.shape == (2, STEPS_IN)
        assert (batch.inputs.dtype, batch.targets.dtype) == (torch.float32, torch.float32)
        assert batch.mask.dtype == torch.bool
        assert bool(batch.inputs.isfinite().all())
        assert bool(batch.mask.any())
    assert int(data.train.starts[-1]) < int(data.validation.starts[0])
    assert int(data.validation.starts[-1]) < int(data.test.starts[0])
    assert len(data.train_times) == len(data.train)
    # Targets are the series' values, and evaluation never changes.
    for store in stores[1:]:
        first = store.gather(torch.arange(3))
        store.begin_epoch(7)
        assert all(map(torch.equal, first, store.gather(torch.arange(3))))
        start = int(store.starts[0]) + store.target_offset
        values = store.series[start : start + STEPS_OUT, :, store.target_channel]
        assert torch.equal(first.targets[0], values)


def test_transfer_is_a_union_of_one_that_is_tested_on_the_other(tmp_path):
    values = union_values(write_union(tmp_path / "data"), tmp_path / "results")
    entry = {"dataset": "toy_small", "task": "transfer", "zero_shot": ["toy_away"]}
    values |= {"datasets": {"cities": entry}, "training": {"epochs": 1, "batch_size": 32}}
    record = train(union_config(values), KEY, [])
    assert set(record.test_groups) == {"toy_away"}
    assert record.test.mae == record.transfer["toy_away"].zero_shot.mae
    assert record.test.windows == record.data["test_windows"]
    assert record.data["target_unit"] == "units of its own"
    assert record.test == record.scores_by_rule["paper"]
    # Validation, which chooses the epoch, stays where the model is trained: a hundredth in size.
    assert record.validation_mae < 0.1 * (record.test.mae or 0)
    values["results_directory"] = str(tmp_path / "others")
    values["datasets"] = {"cities": {"union": ["toy_small"], "zero_shot": ["toy_away"]}}
    union = train(union_config(values), KEY, [])
    assert record.test.mae == union.transfer["toy_away"].zero_shot.mae
    assert record.validation_mae == pytest.approx(union.validation_mae)


# What imputation hides


LENGTH, SENSORS, HISTORY = 160, 5, 8
ALL = torch.arange(4)


def pattern(**shares: float) -> ImputeOptions:
    return ImputeOptions.model_validate({"points": 0.0} | shares)


def opened(missing: bool = False, **options: object) -> tuple[ForecastData, np.ndarray]:
    """Data of two channels and their (steps, N, 2) series."""
    rng = np.random.default_rng(5)
    series = rng.normal(10, 3, size=(LENGTH, SENSORS, 2)).astype(np.float32)
    mask = rng.random(series.shape) > 0.2 if missing else np.ones(series.shape, bool)
    task = build_task("impute", options)
    data = forecast_data(canonical(series, mask), history=HISTORY, horizon=HISTORY, task=task)
    return data, series


@pytest.mark.parametrize("kind", ["points", "blocks", "sensors"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_each_pattern_hides_the_stated_share(kind, share):
    hidden = hidden_values(pattern(**{kind: share}), torch.arange(2000), 0, 12, 40).double()
    # 2,000 x 40 draws at least: five standard deviations.
    assert hidden.mean().item() == pytest.approx(share, abs=5 * 0.5 / np.sqrt(80_000))
    assert hidden.mean((1, 2)).std() > 0
    # No step and no node is hidden more than another.
    assert hidden.mean((0, 2)).sub(share).abs().max() < 0.015
    assert hidden.mean((0, 1)).sub(share).abs().max() < 0.06


def test_sensors_are_hidden_for_the_whole_window_and_blocks_are_runs_of_their_length():
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


def test_patterns_of_windows_epochs_and_seeds_are_unrelated():
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
def test_a_window_hides_the_same_in_whatever_batch(windows, epoch, points, blocks, sensors):
    drawn = pattern(points=points, blocks=blocks, sensors=sensors)
    together = hidden_values(drawn, torch.tensor(windows), epoch, 6, 4)
    alone = [hidden_values(drawn, torch.tensor([window]), epoch, 6, 4) for window in windows]
    assert torch.equal(together, torch.cat(alone))


def test_a_hidden_value_is_fed_as_the_training_mean_and_is_the_target():
    data, series = opened(points=0.4)
    assert sum(map(len, (data.train, data.validation, data.test))) == LENGTH - HISTORY + 1
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


def test_no_hidden_target_changes_any_input():
    """Other values where they are hidden: the inputs are the same bits."""
    task = build_task("impute", {"points": 0.3, "training": "fixed"})
    rng = np.random.default_rng(1)
    series = rng.normal(10, 3, size=(LENGTH, SENSORS, 1)).astype(np.float32)
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


def test_training_is_redrawn_each_epoch_or_fixed_and_evaluation_always_fixed():
    for training, redrawn in (("redrawn", True), ("fixed", False)):
        data, _ = opened(points=0.4, training=training)
        masks = []
        for epoch in (0, 1, 0):
            for split in (data.train, data.validation, data.test):
                split.begin_epoch(epoch)
                masks.append(split.gather(ALL).mask)
        assert list(map(torch.equal, masks[:3], masks[3:6])) == [not redrawn, True, True]
        assert list(map(torch.equal, masks[:3], masks[6:])) == [True, True, True]
