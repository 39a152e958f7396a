"""DLinear against its equations, node by node and step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_backbone_parity import Batch, build, same_forecast_and_gradient
from torch import Tensor

from stprune.backbones.base import BACKBONES, parameter_count
from stprune.base.errors import ConfigError
from stprune.base.schema import validate

Weights = dict[str, Tensor]


def weights_of(model: Any) -> Weights:
    return {
        "seasonal.w": model.seasonal.weight,
        "seasonal.b": model.seasonal.bias,
        "trend.w": model.trend.weight,
        "trend.b": model.trend.bias,
    }


def plain(weights: Weights, inputs: Tensor, kernel: int) -> Tensor:
    """(B, T, N, C) to (B, H, N): average of ``kernel`` steps, ends repeated; two layers; sum."""
    batch, steps, nodes, channels = inputs.shape
    half = (kernel - 1) // 2
    windows = []
    for b in range(batch):
        columns = []
        for n in range(nodes):
            seasonal, trend = [], []
            for t in range(steps):
                for c in range(channels):
                    around = [
                        inputs[b, min(max(s, 0), steps - 1), n, c]
                        for s in range(t - half, t + half + 1)
                    ]
                    average = torch.stack(around).sum() / kernel
                    trend.append(average)
                    seasonal.append(inputs[b, t, n, c] - average)
            columns.append(
                weights["seasonal.w"] @ torch.stack(seasonal)
                + weights["seasonal.b"]
                + weights["trend.w"] @ torch.stack(trend)
                + weights["trend.b"]
            )
        windows.append(torch.stack(columns, dim=1))
    return torch.stack(windows)


CASES = pytest.mark.parametrize(
    ("sizes", "options", "kernel"),
    [
        ({}, {}, 11),
        ({"history": 9}, {}, 9),
        ({"history": 30}, {}, 25),
        ({"channels": 3}, {"kernel": 5}, 5),
        ({"history": 1}, {}, 1),
        ({"history": 2, "channels": 2}, {"kernel": 3}, 1),
    ],
    ids=["clipped to 11", "odd history", "published", "channels", "one step", "two steps"],
)


@CASES
def test_as_published(sizes: dict[str, int], options: dict[str, int], kernel: int) -> None:
    model, batch = build("dlinear", options, **sizes)
    expected = plain(weights_of(model), batch[0], kernel)
    same_forecast_and_gradient(model(*batch), expected, batch[0])


@CASES
def test_same_gradient_of_the_weights(
    sizes: dict[str, int], options: dict[str, int], kernel: int
) -> None:
    model, batch = build("dlinear", options, **sizes)
    parameters = list(model.parameters())
    mine = torch.autograd.grad(model(*batch).square().sum(), parameters)
    expected = plain(weights_of(model), batch[0], kernel).square().sum()
    for ours, theirs in zip(mine, torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


def test_gradients_are_those_of_the_forecast() -> None:
    model, (inputs, *calendar) = build("dlinear", {"kernel": 3}, nodes=3, history=4, horizon=2)
    names, values = zip(*model.named_parameters(), strict=True)

    def forecast(inputs: Tensor, *parameters: Tensor) -> Tensor:
        state = dict(zip(names, parameters, strict=True))
        result: Tensor = torch.func.functional_call(model, state, (inputs, *calendar))
        return result

    assert torch.autograd.gradcheck(forecast, (inputs, *values))


def test_moving_average_by_hand() -> None:
    """Of 1, 2, 6 over three steps: 4/3, 3 and 14/3; with R = 1 and S = 0 their sum is 9."""
    model, batch = build("dlinear", {"kernel": 3}, nodes=3, history=3, horizon=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if name == "trend.weight" else 0.0)
    inputs = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64).view(1, 3, 1, 1)
    forecast = model(inputs, batch[1][:1], batch[2][:1])
    torch.testing.assert_close(forecast.squeeze(), torch.tensor(9.0, dtype=torch.float64))


def test_two_layers_of_the_history() -> None:
    """2 (12 * 12 + 12), whatever the nodes."""
    for nodes in (3, 50):
        model, _ = build("dlinear", {}, nodes=nodes, horizon=12)
        assert parameter_count(model) == 312


def test_an_even_average_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`kernel`: .*an odd number of steps, got 4"):
        validate(BACKBONES.load("dlinear").Options, {"kernel": 4}, "here")


def nodes_reached(batch: Batch, forecast: Tensor) -> list[bool]:
    (gradient,) = torch.autograd.grad(forecast[:, :, 1].sum(), batch[0])
    return (gradient.abs().amax(dim=(0, 1, 3)) > 0).tolist()


def test_only_a_node_s_own_history_counts() -> None:
    model, (inputs, slots, weekdays) = build("dlinear", {}, nodes=4)
    forecast = model(inputs, slots, weekdays)
    assert torch.equal(forecast, model(inputs, (slots + 5) % 24, (weekdays + 1) % 7))
    assert nodes_reached((inputs, slots, weekdays), forecast) == [False, True, False, False]


def test_forecasts_on_any_graph() -> None:
    model, (inputs, *calendar) = build("dlinear", {}, nodes=4)
    assert model.transferable
    expected = model(inputs, *calendar)
    model.use_graph("another", torch.ones(8, 8))
    torch.testing.assert_close(model(torch.cat([inputs, inputs], 2), *calendar)[:, :, 4:], expected)
