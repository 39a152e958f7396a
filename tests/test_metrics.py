"""Errors: worked by hand, equal to plain numpy, and the same however the data are batched."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import released_rules as released
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from toy import canonical, training_store

from stprune.data.dataset import forecast_data
from stprune.data.windows import WindowStore
from stprune.pruning.base import absolute_errors, window_mae
from stprune.records.run import Scores
from stprune.training import evaluation as metric_rules
from stprune.training.evaluation import ErrorSums, GroupErrors, RuleSums, rule_scores, window_groups

CPU = torch.device("cpu")


def scores_of(
    forecast: Tensor, targets: Tensor, mask: Tensor, floor: float = 1.0, batch: int = 1000
) -> Scores:
    """Scores of all windows, ``batch`` at a time."""
    sums = ErrorSums(forecast.shape[1], floor, CPU)
    for part in zip(forecast.split(batch), targets.split(batch), mask.split(batch), strict=True):
        sums.update(*part)
    return sums.scores()


def random_case(seed: int, windows: int = 20) -> tuple[Tensor, Tensor, Tensor]:
    """Forecast, targets (many of them below 1) and mask of (windows, 4, 3)."""
    generator = torch.Generator().manual_seed(seed)
    targets = 4 * torch.randn(windows, 4, 3, generator=generator)
    forecast = targets + torch.randn(windows, 4, 3, generator=generator)
    return forecast, targets, torch.rand(windows, 4, 3, generator=generator) > 0.3


def test_window_mae_by_hand() -> None:
    targets = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 5.0], [5.0, 5.0]]])
    forecast = torch.tensor([[[2.0, 2.0], [0.0, 9.0]], [[7.0, 1.0], [5.0, 5.0]]])
    mask = torch.tensor([[[True, True], [True, False]], [[False, False], [False, False]]])
    errors = absolute_errors(forecast, targets, mask)
    assert errors.tolist() == [[[1, 0], [3, 0]], [[0, 0], [0, 0]]]
    # (1 + 0 + 3) / 3; the second window has no observed target.
    assert window_mae(errors, mask).tolist() == pytest.approx([4 / 3, 0.0])


def test_scores_by_hand() -> None:
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


def test_mape_counts_targets_at_its_floor_and_negative_ones() -> None:
    targets = torch.tensor([[[1.0, 0.999, 0.0, -2.0]]])
    forecast = targets + 1.0
    scores = scores_of(forecast, targets, torch.ones(1, 1, 4, dtype=torch.bool), floor=1.0)
    assert scores.mape == pytest.approx(100 * (1 / 1 + 1 / 2) / 2)
    assert scores.mae == pytest.approx(1.0)


def test_nothing_observed_has_no_score() -> None:
    forecast, targets, mask = random_case(0)
    mask[:, 1] = False
    scores = scores_of(forecast, targets, mask)
    assert scores.mae_per_horizon[1] is None
    assert scores.mape_per_horizon[1] is None
    assert scores.mae is not None
    nothing = scores_of(forecast, targets, torch.zeros_like(mask))
    assert (nothing.mae, nothing.rmse, nothing.mape) == (None, None, None)
    assert nothing.windows == 20
    assert math.isnan(ErrorSums(4, 1.0, CPU).mae())


@given(batch=st.integers(1, 25), seed=st.integers(0, 5))
def test_scores_do_not_depend_on_batching(batch: int, seed: int) -> None:
    case = random_case(seed)
    one, many = scores_of(*case), scores_of(*case, batch=batch)
    assert many.windows == one.windows
    for name in ("mae", "rmse", "mape", "mae_per_horizon", "rmse_per_horizon"):
        assert getattr(many, name) == pytest.approx(getattr(one, name), rel=1e-12)


@given(seed=st.integers(0, 50))
def test_scores_are_those_of_plain_numpy(seed: int) -> None:
    forecast, targets, mask = random_case(seed)
    scores = scores_of(forecast, targets, mask, floor=0.5)
    f, t, m = forecast.double().numpy(), targets.double().numpy(), mask.numpy()
    difference = np.abs(f - t)[m]
    assert scores.mae == pytest.approx(difference.mean(), rel=1e-5)
    assert scores.rmse == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-5)
    counted = m & (np.abs(t) >= 0.5)
    assert scores.mape == pytest.approx(
        100 * np.mean(np.abs(f - t)[counted] / np.abs(t)[counted]), rel=1e-5
    )
    for step in range(4):
        row = np.abs(f - t)[:, step][m[:, step]]
        assert scores.mae_per_horizon[step] == pytest.approx(row.mean(), rel=1e-5)
    errors = absolute_errors(forecast, targets, mask)
    plain = [np.abs(f - t)[i][m[i]].mean() if m[i].any() else 0.0 for i in range(len(f))]
    np.testing.assert_allclose(window_mae(errors, mask), plain, rtol=1e-5)


NODES = 3


def rule_sums(
    forecast: np.ndarray, labels: np.ndarray, *, batch_size: int, pieces: int = 1
) -> RuleSums:
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


def assert_equal(scores: Scores, errors: released.Errors, rtol: float = 1e-5) -> None:
    found = [np.nan if value is None else value for value in (scores.mae, scores.rmse, scores.mape)]
    np.testing.assert_allclose(found, errors, rtol=rtol)


def test_each_rule_counts_its_own_labels() -> None:
    """One step, one node: labels 0, 0.5, 2 and 4, all forecast as 1."""
    labels = np.array([0, 0.5, 2.0, 4.0]).reshape(4, 1, 1)
    scores = rule_scores([rule_sums(np.ones_like(labels), labels, batch_size=1)])
    # The lowest label, 0, is left out; errors 0.5, 1 and 3.
    assert scores["st_ttc"].mae == pytest.approx(1.5)
    assert scores["st_ttc"].mape == pytest.approx(100 * (1 + 0.5 + 0.75) / 3)
    assert scores["largest"].mae == pytest.approx(1.5)
    assert scores["opencity"].mae == pytest.approx(1.5)
    assert [scores[rule].windows for rule in ("st_ttc", "largest", "opencity")] == [4, 4, 4]


def test_a_fractional_lowest_label_is_masked_and_a_large_one_is_not() -> None:
    fraction = np.array([0.5, 2.0]).reshape(2, 1, 1)
    large = np.array([1.0, 2.0]).reshape(2, 1, 1)
    zeros = np.zeros_like(large)
    assert rule_scores([rule_sums(zeros, fraction, batch_size=1)])["st_ttc"].mae == pytest.approx(
        2.0
    )
    assert rule_scores([rule_sums(zeros, large, batch_size=1)])["st_ttc"].mae == pytest.approx(1.5)


def test_the_last_partial_batch_counts_in_other_rules_only() -> None:
    """Three windows of which batches of two keep two; the lowest label is theirs as well."""
    labels = np.array([5.0, 7.0, 0.5]).reshape(3, 1, 1)
    scores = rule_scores([rule_sums(np.zeros_like(labels), labels, batch_size=2)])
    assert (scores["st_ttc"].mae, scores["st_ttc"].windows) == (pytest.approx(6.0), 2)
    assert (scores["largest"].mae, scores["largest"].windows) == (pytest.approx(12.5 / 3), 3)


def test_the_mean_of_step_errors_is_not_the_pooled_one() -> None:
    labels = np.ones((1, 2, 1))
    forecast = np.array([2.0, 5.0]).reshape(1, 2, 1)
    scores = rule_scores([rule_sums(forecast, labels, batch_size=1)])
    assert scores["st_ttc"].rmse == pytest.approx(2.5)
    assert scores["largest"].rmse == pytest.approx(np.sqrt(8.5))
    assert scores["st_ttc"].rmse_per_horizon == scores["largest"].rmse_per_horizon == [1.0, 4.0]


def test_missing_is_a_label_of_zero() -> None:
    """So it is the lowest one, and a fraction is masked no more."""
    labels = np.array([np.nan, 0.5, 2.0]).reshape(3, 1, 1)
    scores = rule_scores([rule_sums(np.zeros_like(labels), labels, batch_size=1)])
    assert scores["st_ttc"].mae == pytest.approx(1.25)


def test_nothing_to_score_is_none() -> None:
    scores = rule_scores([rule_sums(np.ones((2, 1, 1)), np.zeros((2, 1, 1)), batch_size=1)])
    assert {scores[rule].mae for rule in scores} == {None}


VALUES = st.sampled_from([0.0, 0.0005, 0.25, 0.5, 1.0, 2.0, 7.5, 120.0])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_all_rules_agree_with_plain_numpy(data: st.DataObject) -> None:
    windows, horizon = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 3))
    shape = windows, horizon, NODES
    size = windows * horizon * NODES
    smallest = data.draw(VALUES)
    drawn = data.draw(st.lists(VALUES, min_size=size, max_size=size))
    labels = np.maximum(np.array(drawn), smallest).reshape(shape)
    gaps = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    if data.draw(st.booleans()):
        labels[np.array(gaps).reshape(shape)] = np.nan
    forecast = np.random.default_rng(size).uniform(0, 10, shape)
    batch_size = data.draw(st.integers(1, windows))
    sums = rule_sums(
        forecast, labels, batch_size=batch_size, pieces=data.draw(st.integers(1, windows))
    )
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
        assert sums.st_ttc_mae() == pytest.approx(whole.mae, rel=1e-5)
    if (plain != 0).any():
        assert_equal(scores["largest"], released.largest_test(seen, plain))
    if (plain > 0.001).any():
        assert_equal(scores["opencity"], released.opencity_test(seen, plain))


def test_a_union_pools_its_data_sets_each_with_its_own_lowest_label() -> None:
    first = rule_sums(np.zeros((2, 1, 1)), np.array([0.0, 2.0]).reshape(2, 1, 1), batch_size=1)
    second = rule_sums(np.zeros((2, 1, 1)), np.array([0.5, 4.0]).reshape(2, 1, 1), batch_size=1)
    scores = rule_scores([first, second])
    assert scores["st_ttc"].mae == pytest.approx(3.0)
    assert scores["largest"].mae == pytest.approx(6.5 / 3)


def test_large_batches_are_added_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    labels, forecast = rng.gamma(1, 2, (7, 2, NODES)), rng.gamma(1, 2, (7, 2, NODES))
    at_once = rule_scores([rule_sums(forecast, labels, batch_size=3)])
    monkeypatch.setattr(metric_rules, "BLOCK_VALUES", 2 * 2 * NODES)
    in_pieces = rule_scores([rule_sums(forecast, labels, batch_size=3)])
    for rule, scores in at_once.items():
        pieces = in_pieces[rule]
        assert pieces.rmse_per_horizon == pytest.approx(scores.rmse_per_horizon)
        assert (pieces.mae, pieces.mape) == pytest.approx((scores.mae, scores.mape))


def test_sums_start_empty() -> None:
    assert np.isnan(RuleSums(training_store(4), 2).st_ttc_mae())


def store_of_error_groups(windows: int, nodes: int = 2) -> WindowStore:
    rng = np.random.default_rng(0)
    data = canonical(rng.normal(size=(windows * 5 + 20, nodes, 1)).astype(np.float32))
    return forecast_data(data, history=2, horizon=2).test.split(range(windows))


def test_groups_by_hand() -> None:
    groups = GroupErrors(store_of_error_groups(3))
    errors = torch.tensor([[[1.0, 2.0]], [[3.0, 0.0]], [[5.0, 8.0]]])
    mask = torch.tensor([[[True, True]], [[True, False]], [[True, True]]])
    # In two batches and any order; the masked entry counts nowhere.
    groups.observe(torch.tensor([2, 0]), errors[[2, 0]], mask[[2, 0]])
    groups.observe(torch.tensor([1]), errors[[1]], mask[[1]])
    members = {
        "rare": torch.tensor([False, True, True]),
        "none": torch.tensor([False, False, False]),
    }
    scores = groups.scores(members)
    assert scores["rare"] == pytest.approx((3 + 5 + 8) / 3)
    assert scores["none"] is None
    assert scores["worst_node"] == pytest.approx(10 / 2)


def test_a_node_without_observations_is_not_the_worst() -> None:
    groups = GroupErrors(store_of_error_groups(1))
    groups.observe(torch.tensor([0]), torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[True, False]]]))
    assert groups.scores({})["worst_node"] == 1.0


def test_the_least_stationary_tenth_and_incidents_are_found() -> None:
    series = np.ones((200, 2, 1), np.float32)
    series[:20] = 2.0
    series[170::2] = 9.0  # it jumps to and fro from step 170 on
    events = pd.DataFrame({"first_step": [172], "last_step": [173]})
    store = forecast_data(canonical(series + 1), history=2, horizon=2).test
    groups = window_groups(store, events)
    count = int(groups["least_stationary"].sum())
    assert count == -(-len(store) // 10)
    starts = store.starts[groups["least_stationary"]]
    assert (starts >= 166).all()
    # Target steps start + 2 and start + 3 touch 172 or 173.
    assert store.starts[groups["incident"]].tolist() == [169, 170, 171]


def test_data_without_incidents_have_no_such_group() -> None:
    assert set(window_groups(store_of_error_groups(5), pd.DataFrame())) == {"least_stationary"}
