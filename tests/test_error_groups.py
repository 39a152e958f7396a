"""Errors of groups of windows, by hand and against a plain computation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from toy import canonical

from stprune.data.dataset import forecast_data
from stprune.data.windows import WindowStore
from stprune.training.evaluation import GroupErrors, window_groups


def store_of(windows: int, nodes: int = 2) -> WindowStore:
    rng = np.random.default_rng(0)
    data = canonical(rng.normal(size=(windows * 5 + 20, nodes, 1)).astype(np.float32))
    return forecast_data(data, history=2, horizon=2).test.split(range(windows))


def test_groups_by_hand() -> None:
    groups = GroupErrors(store_of(3))
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
    groups = GroupErrors(store_of(1))
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
    assert set(window_groups(store_of(5), pd.DataFrame())) == {"least_stationary"}
