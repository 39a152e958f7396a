"""OpenCity: cities that weights move between, calendars, what is declined, dropped attention."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from oracles import Batch
from test_backbone_oracles import OPENCITY, PER_DAY
from torch import Tensor

from stprune.backbones.base import BACKBONES, ForecastTask
from stprune.backbones.opencity import attend


def city(nodes: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(nodes, nodes, generator=generator)
    return weights * (weights > 0.5)


def next_day(size: str, per_day: int = 288, nodes: int = 4, **options: Any) -> Any:
    task = ForecastTask(nodes, per_day, per_day, 1, 0, per_day, city(nodes))
    backbone_class: Any = BACKBONES.load("opencity")
    return backbone_class(task, backbone_class.Options(size=size, head="next_day", **options))


@pytest.mark.parametrize(("per_day", "steps"), [(288, 12), (144, 6), (48, 2), (24, 1)])
def test_one_set_of_weights_for_every_step_length(per_day: int, steps: int) -> None:
    """A day is 24 patches at 5, 10, 30 or 60 minutes, and the state always fits."""
    options = {"width": 16, "layers": 1}
    model = next_day("mini", per_day, **options)
    model.load_state_dict(next_day("mini", **options).state_dict())
    assert (model.patches, model.steps) == (24, steps)
    batch = torch.randn(2, per_day, 4, 1), *torch.zeros(2, 2, per_day, dtype=torch.int64)
    assert model(*batch).shape == (2, per_day, 4)


def small(nodes: int = 5, seed: int = 0, **options: Any) -> Any:
    task = ForecastTask(nodes, 12, 12, 1, 0, PER_DAY, city(nodes))
    backbone_class = BACKBONES.load("opencity")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return backbone_class(task, backbone_class.Options(**OPENCITY | options)).eval()


def a_batch(nodes: int = 5) -> Batch:
    generator = torch.Generator().manual_seed(1)
    steps = torch.tensor([[3], [20]]) + torch.arange(12)
    inputs = torch.randn(2, 12, nodes, 1, generator=generator).requires_grad_()
    return inputs, steps % PER_DAY, steps // PER_DAY % 7


def test_graphs_follow_the_model_and_its_copies() -> None:
    model = small(5)
    expected = model(*a_batch())
    twin = copy.deepcopy(model)
    model.use_graph("there", city(9))
    assert torch.equal(twin(*a_batch()), expected)
    inputs, *calendar = a_batch()
    precise = twin.double()(inputs.double(), *calendar)
    torch.testing.assert_close(precise.float(), expected, rtol=1e-4, atol=1e-5)


def test_attention_drops_its_share_and_makes_up_for_it() -> None:
    """Values are unit vectors, so that the result is the attention matrix itself."""
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 40, 2, 16, 16, generator=generator, dtype=torch.float64)
    value = torch.eye(16, dtype=torch.float64).expand_as(query)
    whole = attend(query, key, value, 0.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = attend(query, key, value, 0.25)
        torch.manual_seed(0)
        assert torch.equal(dropped, attend(query, key, value, 0.25))
        assert not torch.equal(dropped, attend(query, key, value, 0.25))
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], whole[kept] / 0.75, rtol=1e-9, atol=0)
    # 20480 draws: the standard deviation of the share is 0.003; of each place's, 0.048.
    assert abs(kept.double().mean() - 0.75) < 0.012
    assert (kept.double().mean(dim=(0, 1)) - 0.75).abs().max() < 0.24
    neighbours = (kept[..., :-1] & kept[..., 1:]).double().mean()
    assert abs(neighbours - 0.75**2) < 0.016
