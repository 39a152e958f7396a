"""OpenCity: cities that weights move between, calendars, what is declined, dropped attention."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from oracles import Batch
from test_backbone_oracles import OPENCITY, PER_DAY
from test_backbones import reached
from torch import Tensor

from stprune.backbones import opencity
from stprune.backbones.base import BACKBONES, ForecastTask
from stprune.backbones.opencity import attend, laplacian_eigenvectors, mixing
from stprune.base.errors import DataError, DeclinedError


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


@pytest.mark.parametrize(
    ("steps", "options"),
    [
        ((12, 12, 288), {"head": "next_day"}),  # history and horizon are no day
        ((36, 36, 36), {"head": "next_day"}),  # 24 patches of no equal length
        ((1440, 1440, 1440), {"head": "next_day"}),  # patches of 60 steps
        ((300, 12, 288), {}),  # of 13 steps
        ((12, 12, 288), {"width": 40}),  # for 16 heads
        ((12, 12, 288), {"width": 3, "heads": 1}),  # an odd width
    ],
)
def test_declines_what_it_cannot_do(steps: tuple[int, int, int], options: dict[str, Any]) -> None:
    history, horizon, per_day = steps
    task = ForecastTask(4, history, horizon, 1, 0, per_day, city(4))
    backbone_class = BACKBONES.load("opencity")
    with pytest.raises(DeclinedError, match="opencity"):
        backbone_class(task, backbone_class.Options(**options))


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


def test_forecasts_on_another_graph_as_if_built_for_it() -> None:
    model, other = small(5), small(9, seed=1)
    other.load_state_dict(model.state_dict())
    here, there = model(*a_batch(5)), other(*a_batch(9))
    model.use_graph("there", city(9))
    assert torch.equal(model(*a_batch(9)), there)
    model.use_graph("here", city(5))
    assert torch.equal(model(*a_batch(5)), here)


def test_the_graph_is_no_part_of_the_state() -> None:
    model = small(5)
    before = set(model.state_dict())
    model.use_graph("there", city(9))
    model(*a_batch(9))
    assert set(model.state_dict()) == before == {name for name, _ in model.named_parameters()}


def test_graphs_follow_the_model_and_its_copies() -> None:
    model = small(5)
    expected = model(*a_batch())
    twin = copy.deepcopy(model)
    model.use_graph("there", city(9))
    assert torch.equal(twin(*a_batch()), expected)
    inputs, *calendar = a_batch()
    precise = twin.double()(inputs.double(), *calendar)
    torch.testing.assert_close(precise.float(), expected, rtol=1e-4, atol=1e-5)


def test_encodings_are_computed_once_for_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small(5)
    seen: list[int] = []
    original = opencity.laplacian_eigenvectors

    def counted(adjacency: Tensor, count: int) -> Tensor:
        seen.append(len(adjacency))
        return original(adjacency, count)

    monkeypatch.setattr(opencity, "laplacian_eigenvectors", counted)
    for _ in range(3):
        model.use_graph("nine", city(9))
        model.use_graph("seven", city(7))
    assert seen == [9, 7]


def test_a_name_means_one_graph() -> None:
    model = small(5)
    model.use_graph("city", city(9))
    for other in (city(9, seed=1), city(5)):
        with pytest.raises(DataError, match="city"):
            model.use_graph("city", other)
    model(*a_batch(9))  # a refused graph leaves the one before


def test_inputs_of_another_city_are_refused() -> None:
    with pytest.raises(DataError, match="7 nodes"):
        small(5)(*a_batch(7))


def test_neighbours_count_as_far_as_there_are_layers() -> None:
    """On the path 0 -> 1 -> 2 -> 3 -> 4 two layers of node 0 see as far as node 2."""
    model = small(5)
    model.use_graph("path", torch.diag(torch.ones(4), 1))
    for node, expected in ((0, [0, 1, 2]), (4, [4])):
        batch = a_batch()
        assert reached(model(*batch)[:, :, node], batch[0], 2) == expected


def test_future_calendar_goes_on_over_midnight_and_week() -> None:
    """From Sunday's last slot but one: 23, then Monday's slots; minutes are slot ends."""
    model = small(5, patches=4)
    slots = torch.arange(11, 23)[None]
    seen = []
    model.minute.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].tolist()))
    model.weekday.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].tolist()))
    model(a_batch()[0][:1], slots, torch.full_like(slots, 6))
    past_minutes, past_days, future_minutes, future_days = seen
    assert past_minutes == [[12 * 60, 15 * 60, 18 * 60, 21 * 60]]
    assert past_days == [[7, 7, 7, 7]]
    assert future_minutes == [[24 * 60, 3 * 60, 6 * 60, 9 * 60]]
    assert future_days == [[7, 1, 1, 1]]


def test_level_and_spread_of_a_node_s_window_pass_through() -> None:
    model, (inputs, *calendar) = small(5).double(), a_batch()
    inputs = inputs.double() * 100
    forecast = model(inputs, *calendar)
    scale = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], dtype=torch.float64)
    moved = model(inputs * scale[:, None] + 7 * scale[:, None], *calendar)
    torch.testing.assert_close(moved, forecast * scale + 7 * scale, rtol=1e-5, atol=1e-4)


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


@pytest.mark.parametrize("dropout", [1e-9, 0.3, 0.999999999])
def test_attention_expects_what_nothing_dropped_gives(dropout: float) -> None:
    """Over 400 draws of a mask; however extreme the share, the result is finite."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 1, 1, 5, 4, generator=generator, dtype=torch.float64)
    whole = attend(query, key, value, 0.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        many = (400, 1, 5, 4)
        drawn = attend(query.expand(many), key.expand(many), value.expand(many), dropout)
    assert torch.isfinite(drawn).all()
    if dropout < 0.5:
        torch.testing.assert_close(drawn.mean(dim=0, keepdim=True), whole, rtol=0, atol=0.15)


def test_places_by_hand() -> None:
    """On the path of three the eigenvalues are 0, 1 and 2; a pair and a lone node give 0, 1, 2."""
    path = torch.zeros(3, 3)
    path[0, 1] = path[1, 2] = 1.0
    half = 0.5**0.5
    # The first largest entry of the second is the middle one, and there is no third.
    expected = torch.tensor([[half, -0.5, 0], [0, half, 0], [-half, -0.5, 0]], dtype=torch.float64)
    torch.testing.assert_close(laplacian_eigenvectors(path, 3), expected, rtol=0, atol=1e-12)
    pair = torch.zeros(3, 3)
    pair[0, 2] = 1.0
    expected = torch.tensor([[half, 0], [0, 0], [-half, 0]], dtype=torch.float64)
    torch.testing.assert_close(laplacian_eigenvectors(pair, 2), expected, rtol=0, atol=1e-12)
    assert not laplacian_eigenvectors(torch.zeros(1, 1), 8).any()


def test_mixing_by_hand() -> None:
    """0 -> 1 with weight 1; with loops the degrees are 2 and 1."""
    edge = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    torch.testing.assert_close(mixing(edge, False), torch.eye(2, dtype=torch.float64))
    row = np.array([1 + 1 / 2, 1 / math.sqrt(2)])
    expected = torch.from_numpy(np.stack([row / row.sum(), [0.0, 1.0]]))
    torch.testing.assert_close(mixing(edge, True), expected)
