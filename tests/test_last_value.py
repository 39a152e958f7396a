"""The naive forecast: the last step of the target, on any graph."""

from __future__ import annotations

import torch

from stprune.backbones.base import BACKBONES, Backbone, ForecastTask, parameter_count


def build(channels: int = 1, target: int = 0) -> Backbone:
    backbone_class = BACKBONES.load("last_value")
    task = ForecastTask(3, 2, 4, channels, target, 24, torch.eye(3))
    return backbone_class(task, backbone_class.Options())


def test_repeats_the_last_step_of_the_target() -> None:
    inputs = torch.arange(24.0).reshape(2, 2, 3, 2)
    calendar = torch.zeros(2, 2, dtype=torch.int64)
    forecast = build(channels=2, target=1)(inputs, calendar, calendar)
    expected = torch.tensor([[7.0, 9.0, 11.0], [19.0, 21.0, 23.0]])
    assert torch.equal(forecast, expected[:, None].repeat(1, 4, 1))


def test_nothing_is_learnt() -> None:
    model = build()
    assert not model.trains
    assert parameter_count(model) == 0
    assert model.state_dict() == {}


def test_goes_to_a_graph_of_another_size() -> None:
    model = build()
    assert model.transferable
    model.use_graph("other", torch.eye(5))
    inputs = torch.ones(1, 2, 5, 1)
    calendar = torch.zeros(1, 2, dtype=torch.int64)
    assert model(inputs, calendar, calendar).shape == (1, 4, 5)
