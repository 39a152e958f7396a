"""Errors and the rules of other publications: by hand, and against plain numpy."""

import math
from dataclasses import replace
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import released_rules as released
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from torch import Tensor
from toy import canonical
from toy_runs import key_of

from stprune.base.errors import ConfigError, DataError
from stprune.config.experiment import parse_config
from stprune.config.grid import run_spec
from stprune.data.dataset import ForecastData, alone, forecast_data
from stprune.data.tasks.base import build_task
from stprune.data.windows import LegacyStore, WindowStore
from stprune.pruning.base import absolute_errors, everything, window_mae
from stprune.pruning.batch_order import order_epoch
from stprune.records.run import Scores
from stprune.training import evaluation
from stprune.training.devices import fabric_on
from stprune.training.engine import Engine
from stprune.training.evaluation import (
    ErrorSums,
    GroupErrors,
    RuleSums,
    batch_mae_parts,
    pooled_mae,
    rule_scores,
    window_groups,
)
from stprune.training.run import refuse_splits

CPU = torch.device("cpu")


def scores_of(forecast, targets, mask, floor=1.0, batch=1000):
    """Scores of all windows, ``batch`` at a time."""
    sums = ErrorSums(torch.zeros(5, forecast.shape[1], dtype=torch.float64), floor)
    for part in zip(forecast.split(batch), targets.split(batch), mask.split(batch), strict=True):
        sums.update(*part)
    return sums.scores()


def random_case(seed: int, windows: int = 20) -> tuple[Tensor, Tensor, Tensor]:
    """Forecast, targets (many of them below 1) and mask of (windows, 4, 3)."""
    generator = torch.Generator().manual_seed(seed)
    targets = 4 * torch.randn(windows, 4, 3, generator=generator)
    forecast = targets + torch.randn(windows, 4, 3, generator=generator)
    return forecast, targets, torch.rand(windows, 4, 3, generator=generator) > 0.3


def test_scores_by_hand_and_where_nothing_was_observed():
    # Two windows, two steps, one node; floor 2 leaves the target of 1 out of MAPE only.
    targets = torch.tensor([[[1.0], [4.0]], [[10.0], [8.0]]])
    forecast = torch.tensor([[[2.0], [1.0]], [[12.0], [0.0]]])
    mask = torch.tensor([[[True], [True]], [[True], [False]]])
    scores = scores_of(forecast, targets, mask, floor=2.0)
    assert scores.mae == pytest.approx((1 + 3 + 2) / 3)
    assert scores.rmse == pytest.approx(math.sqrt((1 + 9 + 4) / 3))
    assert scores.mape == pytest.approx(100 * (3 / 4 + 2 / 10) / 2)
    assert scores.mae_per_horizon == pytest.approx([1.5, 3.0])
    assert scores.rmse_per_horizon == pytest.approx([math.sqrt(2.5), 3.0])
    assert scores.mape_per_horizon == pytest.approx([20.0, 75.0])
    assert (scores.windows, scores.mape_floor) == (2, 2.0)

    scores = scores_of(forecast, targets, mask & torch.tensor([[True], [False]]))
    assert (scores.mae_per_horizon[1], scores.mape_per_horizon[1]) == (None, None)
    nothing = scores_of(forecast, targets, torch.zeros_like(mask))
    assert (nothing.mae, nothing.rmse, nothing.mape, nothing.windows) == (None, None, None, 2)
    assert math.isnan(ErrorSums(torch.zeros(5, 4), 1.0).mae())


@given(seed=st.integers(0, 50), batch=st.integers(1, 25))
def test_scores_are_those_of_plain_numpy_however_batched(seed, batch):
    forecast, targets, mask = random_case(seed)
    scores = scores_of(forecast, targets, mask, floor=0.5, batch=batch)
    f, t, m = forecast.double().numpy(), targets.double().numpy(), mask.numpy()
    errors = np.abs(f - t)
    counted = m & (np.abs(t) >= 0.5)
    assert scores.mae == pytest.approx(errors[m].mean(), rel=1e-5)
    assert scores.rmse == pytest.approx(np.sqrt(np.mean(errors[m] ** 2)), rel=1e-5)
    share = errors[counted] / np.abs(t)[counted]
    assert scores.mape == pytest.approx(100 * share.mean(), rel=1e-5)
    by_step = [errors[:, step][m[:, step]].mean() for step in range(4)]
    assert scores.mae_per_horizon == pytest.approx(by_step, rel=1e-5)
    plain = [each[seen].mean() if seen.any() else 0.0 for each, seen in zip(errors, m, strict=True)]
    ours = window_mae(absolute_errors(forecast, targets, mask), mask)
    np.testing.assert_allclose(ours, plain, rtol=1e-5)


NODES = 3


def rule_sums(forecast, labels, *, batch_size, pieces=1):
    """Sums over (n, H, N) arrays, given in ``pieces`` batches; NaN labels were not observed."""
    store = store_of(*labels.shape)
    sums = RuleSums(store, batch_size)
    for part in np.array_split(np.arange(len(labels)), pieces):
        values = torch.from_numpy(labels[part]).float()
        mask = ~values.isnan()
        # What stands in place of a missing target must not matter.
        targets = values.where(mask, 1e6)
        forecasts = torch.from_numpy(forecast[part]).float()
        sums.update(torch.from_numpy(part), forecasts, targets, mask)
    return sums


def store_of(windows: int, horizon: int, nodes: int) -> WindowStore:
    series = np.random.default_rng(0).normal(size=(4 * windows + 20 * horizon, nodes, 1))
    train = forecast_data(canonical(series.astype(np.float32)), history=2, horizon=horizon).train
    return train.split(range(windows))


def assert_equal(scores: Scores, errors: released.Errors) -> None:
    found = [np.nan if value is None else value for value in (scores.mae, scores.rmse, scores.mape)]
    np.testing.assert_allclose(found, errors, rtol=1e-5)


VALUES = st.sampled_from([0.0, 0.0005, 0.25, 0.5, 1.0, 2.0, 7.5, 120.0])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_all_rules_agree_with_plain_numpy(data):
    windows, horizon = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 3))
    shape = windows, horizon, NODES
    labels = np.maximum(data.draw(npst.arrays(float, shape, elements=VALUES)), data.draw(VALUES))
    if data.draw(st.booleans()):
        labels[data.draw(npst.arrays(bool, shape))] = np.nan
    forecast = np.random.default_rng(labels.size).uniform(0, 10, shape)
    batch_size = data.draw(st.integers(1, windows))
    pieces = data.draw(st.integers(1, windows))
    # A large batch is added a few windows at a time.
    with mock.patch.object(evaluation, "BLOCK_VALUES", data.draw(st.sampled_from([1, 12, 2**21]))):
        sums = rule_sums(forecast, labels, batch_size=batch_size, pieces=pieces)
    scores = rule_scores([sums])

    plain = np.nan_to_num(labels).astype(np.float32).astype(np.float64)
    seen = forecast.astype(np.float32).astype(np.float64)
    kept = windows // batch_size * batch_size
    average, steps = released.st_ttc_test(seen[:kept], plain[:kept])
    null = released.st_ttc_null(plain[:kept])
    if (plain[:kept] != null).any(axis=(0, 2)).all():
        assert_equal(scores["st_ttc"], average)
        np.testing.assert_allclose(scores["st_ttc"].rmse_per_horizon, [s.rmse for s in steps], 1e-5)
        whole = released.st_ttc_validation(seen[:kept], plain[:kept])
        assert pooled_mae(sums.st_ttc_sums()) == pytest.approx(whole.mae, rel=1e-5)
    if (plain != 0).any():
        assert_equal(scores["largest"], released.masked(seen, plain, 0.0))
    if (plain > 0.001).any():
        assert_equal(scores["opencity"], released.opencity_test(seen, plain))


def test_a_union_pools_its_data_sets_each_with_its_own_lowest_label():
    first = rule_sums(np.zeros((2, 1, 1)), np.array([0.0, 2.0]).reshape(2, 1, 1), batch_size=1)
    second = rule_sums(np.zeros((2, 1, 1)), np.array([0.5, 4.0]).reshape(2, 1, 1), batch_size=1)
    scores = rule_scores([first, second])
    assert scores["st_ttc"].mae == pytest.approx(3.0)
    assert scores["largest"].mae == pytest.approx(6.5 / 3)


def test_groups_by_hand():
    groups = GroupErrors(store_of(3, 2, 3))
    errors = torch.tensor([[[1.0, 2.0, 0.0]], [[3.0, 0.0, 0.0]], [[5.0, 8.0, 0.0]]])
    # The third node is never observed; what is masked counts nowhere.
    mask = torch.tensor([[[1, 1, 0]], [[1, 0, 0]], [[1, 1, 0]]], dtype=torch.bool)
    groups.observe(torch.tensor([2, 0]), errors[[2, 0]], mask[[2, 0]])
    groups.observe(torch.tensor([1]), errors[[1]], mask[[1]])
    members = {"rare": torch.tensor([False, True, True]), "none": torch.zeros(3, dtype=torch.bool)}
    scores = groups.scores(fabric_on(), members)
    assert scores["rare"] == pytest.approx((3 + 5 + 8) / 3)
    assert scores["none"] is None
    assert scores["worst_node"] == pytest.approx(10 / 2)


def test_the_least_stationary_tenth_and_incidents_are_found():
    series = np.ones((200, 2, 1), np.float32)
    series[:20] = 2.0
    series[170::2] = 9.0  # it jumps to and fro from step 170 on
    # No targets are so early; the last window's are those before the end.
    events = pd.DataFrame({"first_step": [172, 0, 199], "last_step": [173, 100, 210]})
    data = forecast_data(canonical(series + 1), history=2, horizon=2)
    store, groups = data.test, window_groups(replace(data, events=events))
    # Steps of an hour from midnight on; targets begin two steps after a window does.
    by_hour = {name: members for name, members in groups.items() if name.startswith("hour_")}
    assert set(by_hour) == {f"hour_{hour}" for hour in range(24)}
    for name, members in by_hour.items():
        assert members.tolist() == ((store.starts + 2) % 24 == int(name[5:])).tolist()
    count = int(groups["least_stationary"].sum())
    assert count == -(-len(store) // 10)
    starts = store.starts[groups["least_stationary"]]
    assert (starts >= 166).all()
    # Target steps start + 2 and start + 3 touch 172 or 173, or 199.
    assert store.starts[groups["incident"]].tolist() == [169, 170, 171, 196]


STEPS, HISTORY, HORIZON, BATCH = 230, 5, 4, 16


def raw_series() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(STEPS, NODES, 1) counts and fractions with zeros, some of which stand for missing values."""
    rng = np.random.default_rng(0)
    series = rng.gamma(2.0, 4.0, size=(STEPS, NODES, 1)).astype(np.float32)
    series[rng.random(series.shape) < 0.1] = 0.0
    mask = rng.random(series.shape) > 0.05
    series[~mask] = 0.0
    return series, mask


def opened(few_shot: int = 100) -> ForecastData:
    task = None if few_shot == 100 else build_task("few_shot", {"share": few_shot / 100})
    sizes, dataset = {"history": HISTORY, "horizon": HORIZON}, canonical(*raw_series())
    return forecast_data(dataset, **sizes, task=task, protocol="legacy")


def target() -> released.Array:
    return raw_series()[0][:, :, 0].astype(np.float64)


@pytest.mark.parametrize("few_shot", [100, 10, 37])
def test_splits_and_scaler_are_those_released(few_shot):
    data, plain = opened(few_shot), target()
    split = released.st_ttc_split(STEPS, HISTORY, HORIZON, few_shot)
    for store, last_inputs in zip((data.train, data.validation, data.test), split, strict=True):
        np.testing.assert_array_equal(store.starts + HISTORY - 1, last_inputs)
    mean, deviation = released.st_ttc_scaler(plain, split.train, HISTORY)
    assert data.train.scaler.mean.item() == pytest.approx(mean, rel=1e-6)
    assert data.train.scaler.std.item() == pytest.approx(deviation, rel=1e-6)


@pytest.mark.parametrize("lowest", [0.0, 0.25, 0.999, 1.0, 3.0, -2.0])
def test_the_loss_of_a_batch_is_the_released_masked_mae(lowest):
    rng = np.random.default_rng(3)
    labels = np.maximum(rng.normal(3, 4, size=(6, HORIZON, NODES)), lowest).astype(np.float32)
    labels[0, 0] = lowest
    forecast = rng.normal(3, 4, size=labels.shape).astype(np.float32)
    mask = labels != released.st_ttc_null(labels.astype(np.float64))
    errors = torch.from_numpy(np.abs(forecast - labels) * mask)
    losses = batch_mae_parts(errors, torch.from_numpy(mask))
    plain = released.st_ttc_validation(forecast.astype(float), labels.astype(float))
    assert losses.mean().item() == pytest.approx(plain.mae, rel=1e-5)


def test_partial_batches_are_dropped_and_splits_without_a_whole_one_refused():
    order = order_epoch(everything(70), 16, np.random.default_rng(0), CPU, drop_partial=True)
    assert (order.sizes, len(set(order.indices.tolist()))) == ([16] * 4, 64)
    with pytest.raises(ConfigError):
        order_epoch(everything(15), 16, np.random.default_rng(0), CPU, drop_partial=True)
    data = opened()
    refuse_splits(alone(data), len(data.validation))
    with pytest.raises(ConfigError, match="validation"):
        refuse_splits(alone(data), 60)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_without_an_observed_target_is_refused_by_name(split):
    data = opened()
    store = getattr(data, split)
    first = int(store.starts[0]) + store.target_offset
    last = int(store.starts[-1]) + store.length
    mask = torch.ones(store.series.shape[:2], dtype=torch.bool)
    mask[first:last] = False
    refuse_splits(alone(data, "roads"), 1)
    with pytest.raises(DataError, match=f"^roads: .*{split}"):
        refuse_splits(alone(replace(data, **{split: replace(store, target_mask=mask)}), "roads"), 1)
    # One observed target is enough.
    mask[last - 1, -1] = True
    refuse_splits(alone(replace(data, **{split: replace(store, target_mask=mask)}), "roads"), 1)


@pytest.mark.parametrize("pruner", ["full", "random_dynamic"])
def test_a_run_validates_as_released(pruner, toy_values):
    """Forecasts of the trained network, scored in numpy, give the run's own numbers."""
    sizes = {"history": HISTORY, "horizon": HORIZON, "batch_size": BATCH}
    toy_values |= {"protocol": "legacy", "pruners": {"full": None, "random_dynamic": None}}
    toy_values["training"] = sizes | {"epochs": 4, "evaluation_batch_size": 7}
    spec = run_spec(parse_config(toy_values, "c.yaml"), key_of(pruner, 0.5))
    engine = Engine(spec, alone(opened()), fabric_on())
    assert isinstance(engine.members[0][1].train, LegacyStore)
    while not engine.finished:
        last = engine.train_epoch()
    for epoch, record in enumerate(engine.records):
        selected = engine.pruner.epoch_windows(epoch, 4)
        assert record.windows == selected // BATCH * BATCH
        assert record.gradient_steps == selected // BATCH

    plain = target()
    split = released.st_ttc_split(STEPS, HISTORY, HORIZON)
    mean, deviation = released.st_ttc_scaler(plain, split.train, HISTORY)

    def forecasts(last_inputs: NDArray[np.int64]) -> tuple[released.Array, released.Array]:
        """Of whole batches, and the labels."""
        engine.network.eval()
        made, labels = [], []
        for rows in released.whole_batches(last_inputs, BATCH):
            inputs = (released.inputs_of(plain, rows, HISTORY) - mean) / deviation
            times = np.stack([np.arange(row - HISTORY + 1, row + 1) for row in rows])
            with torch.no_grad():
                values = engine.network(
                    torch.from_numpy(inputs[..., None]).float(),
                    torch.from_numpy(times % 24),
                    torch.from_numpy(times // 24 % 7),
                )
            made.append(values.double().numpy() * deviation + mean)
            labels.append(released.labels_of(plain, rows, HORIZON))
        return np.concatenate(made), np.concatenate(labels)

    validation = released.st_ttc_validation(*forecasts(split.validation))
    assert last.validation_mae == pytest.approx(validation.mae, rel=1e-4)
    outcome = engine.test()
    average, _ = released.st_ttc_test(*forecasts(split.test))
    found = outcome.test.mae, outcome.test.rmse, outcome.test.mape
    assert found == pytest.approx(tuple(average), rel=1e-4)
    assert outcome.test == outcome.scores_by_rule["st_ttc"]
    assert outcome.test.windows == len(split.test) // BATCH * BATCH
    assert outcome.scores_by_rule["paper"].windows == len(split.test)
