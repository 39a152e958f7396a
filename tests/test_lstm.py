"""The LSTM forecaster against the equations of its cell."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from reference_backbones import with_calendar
from test_backbone_parity import PER_DAY, Batch, build, same_forecast_and_gradient
from torch import Tensor

from stprune.backbones.base import parameter_count

Weights = dict[str, Tensor]
SMALL = {"input_width": 3, "hidden_width": 4, "output_width": 5}


def weights_of(model: Any) -> Weights:
    """The four gates of each layer apart: input, forget, candidate, output."""
    weights = {
        "in.w": model.embedding.weight,
        "in.b": model.embedding.bias,
        "hidden.w": model.hidden.weight,
        "hidden.b": model.hidden.bias,
        "out.w": model.regression.weight,
        "out.b": model.regression.bias,
    }
    for layer in range(model.options.layers):
        for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            gates = getattr(model.recurrence, f"{part}_l{layer}").chunk(4)
            for gate, values in zip("ifgo", gates, strict=True):
                weights[f"{layer}.{gate}.{part}"] = values
    return weights


def plain(weights: Weights, inputs: Tensor, slots: Tensor, weekdays: Tensor) -> Tensor:
    """Window by window, node by node, step by step; (B, T, N, C) to (B, H, N)."""
    features = with_calendar(inputs, slots, weekdays, PER_DAY)
    batch, steps, nodes, _ = features.shape
    windows = []
    for b in range(batch):
        columns = []
        for n in range(nodes):
            series = [weights["in.w"] @ features[b, t, n] + weights["in.b"] for t in range(steps)]
            layer = 0
            while f"{layer}.i.weight_ih" in weights:
                width = len(weights[f"{layer}.i.bias_ih"])
                h, c = series[0].new_zeros(width), series[0].new_zeros(width)
                states = []
                for x in series:
                    gate = {}
                    for name in "ifgo":
                        p = f"{layer}.{name}"
                        gate[name] = weights[f"{p}.weight_ih"] @ x + weights[f"{p}.bias_ih"]
                        gate[name] = gate[name] + weights[f"{p}.weight_hh"] @ h
                        gate[name] = gate[name] + weights[f"{p}.bias_hh"]
                    kept = torch.sigmoid(gate["f"]) * c
                    c = kept + torch.sigmoid(gate["i"]) * torch.tanh(gate["g"])
                    h = torch.sigmoid(gate["o"]) * torch.tanh(c)
                    states.append(h)
                series = states
                layer += 1
            hidden = torch.relu(weights["hidden.w"] @ series[-1] + weights["hidden.b"])
            columns.append(weights["out.w"] @ hidden + weights["out.b"])
        windows.append(torch.stack(columns, dim=1))
    return torch.stack(windows)


CASES = pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ({"nodes": 3, "history": 5}, {}),
        ({"channels": 2}, SMALL),
        ({"history": 1}, SMALL | {"layers": 1}),
        ({"nodes": 3, "history": 4}, SMALL | {"hidden_width": 9, "layers": 3}),
    ],
    ids=["published", "channels", "one layer, one step", "three layers"],
)


@CASES
def test_as_the_cell_s_equations(sizes: dict[str, int], options: dict[str, int]) -> None:
    model, batch = build("lstm", options, **sizes)
    expected = plain(weights_of(model), *batch)
    same_forecast_and_gradient(model.eval()(*batch), expected, batch[0])


@CASES
def test_same_gradient_of_the_weights(sizes: dict[str, int], options: dict[str, int]) -> None:
    model, batch = build("lstm", options, **sizes)
    parameters = list(model.eval().parameters())
    mine = torch.autograd.grad(model(*batch).square().sum(), parameters)
    expected = plain(weights_of(model), *batch).square().sum()
    for ours, theirs in zip(mine, torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


def test_gradients_are_those_of_the_forecast() -> None:
    options = {"input_width": 2, "hidden_width": 2, "output_width": 3, "layers": 1}
    model, (inputs, *calendar) = build("lstm", options, nodes=3, history=3, horizon=2)
    names, values = zip(*model.eval().named_parameters(), strict=True)

    def forecast(inputs: Tensor, *parameters: Tensor) -> Tensor:
        state = dict(zip(names, parameters, strict=True))
        result: Tensor = torch.func.functional_call(model, state, (inputs, *calendar))
        return result

    assert torch.autograd.gradcheck(forecast, (inputs, *values))


def test_parameters_as_published() -> None:
    """LargeST prints 98K for each of its data sets.

    (3 * 32 + 32) + 4 * 64 * (32 + 64 + 2) + 4 * 64 * (64 + 64 + 2) + (64 * 512 + 512)
    + (512 * 12 + 12) = 128 + 25 088 + 33 280 + 33 280 + 6 156
    """
    for nodes in (3, 60):
        model, _ = build("lstm", {}, nodes=nodes, horizon=12)
        assert parameter_count(model) == 97_932


def nodes_reached(batch: Batch, forecast: Tensor) -> list[bool]:
    (gradient,) = torch.autograd.grad(forecast[:, :, 1].sum(), batch[0])
    return (gradient.abs().amax(dim=(0, 1, 3)) > 0).tolist()


def test_only_a_node_s_own_history_counts() -> None:
    model, batch = build("lstm", SMALL, nodes=4)
    assert nodes_reached(batch, model.eval()(*batch)) == [False, True, False, False]


def test_every_step_of_the_calendar_counts() -> None:
    model, (inputs, slots, weekdays) = build("lstm", SMALL, nodes=3)
    before = model.eval()(inputs, slots, weekdays)
    for step in range(12):
        for part in (slots, weekdays):
            part[:, step] = (part[:, step] + 1) % 7
            after = model(inputs, slots, weekdays)
            assert not torch.equal(after, before)
            before = after


def test_forecasts_on_any_graph() -> None:
    model, (inputs, *calendar) = build("lstm", SMALL, nodes=4)
    assert model.eval().transferable
    expected = model(inputs, *calendar)
    model.use_graph("another", torch.ones(8, 8))
    torch.testing.assert_close(model(torch.cat([inputs, inputs], 2), *calendar)[:, :, 4:], expected)
