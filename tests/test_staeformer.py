"""STAEformer: the paper's equations, published sizes, and what the calendar does."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from stprune.backbones.base import ForecastTask, parameter_count
from stprune.backbones.staeformer import Staeformer, StaeformerOptions
from stprune.base.errors import DeclinedError

PER_DAY = 24
SMALL = {
    "input_width": 3,
    "time_of_day_width": 2,
    "day_of_week_width": 3,
    "adaptive_width": 4,
    "feed_forward_width": 7,
    "heads": 3,
    "temporal_layers": 1,
    "spatial_layers": 2,
}
Batch = tuple[Tensor, Tensor, Tensor]


def build(
    nodes: int = 5, history: int = 4, channels: int = 1, batch: int = 2, **changes: Any
) -> tuple[Any, Batch]:
    """A small float64 model away from its start, evaluating, and random windows for it."""
    generator = torch.Generator().manual_seed(11)
    task = ForecastTask(nodes, history, 3, channels, 0, PER_DAY, torch.zeros(nodes, nodes))
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = Staeformer(task, StaeformerOptions(**(SMALL | changes))).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.2 * noise)
    shape = (batch, history, nodes, channels)
    inputs = torch.randn(shape, generator=generator, dtype=torch.float64)
    slots = torch.randint(PER_DAY, (batch, history), generator=generator)
    weekdays = torch.randint(1, 7, (batch, history), generator=generator)
    return model, (inputs.requires_grad_(), slots, weekdays)


def normalised(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Each vector on the last axis minus its mean, over its deviation, scaled and shifted."""
    mean = x.mean(dim=-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias


def attention_layer(x: Tensor, w: dict[str, Tensor], heads: int) -> Tensor:
    """One layer on the (L, C) tokens of one node or of one step, head by head, with all biases."""
    q, k, v = (x @ w[f"{part}.weight"].T + w[f"{part}.bias"] for part in ("query", "key", "value"))
    size = x.shape[1] // heads
    parts = []
    for head in range(heads):
        columns = slice(head * size, (head + 1) * size)
        scores = torch.exp(q[:, columns] @ k[:, columns].T / math.sqrt(size))
        parts.append(scores / scores.sum(dim=1, keepdim=True) @ v[:, columns])
    attended = torch.cat(parts, dim=1) @ w["output.weight"].T + w["output.bias"]
    x = normalised(x + attended, w["attention_norm.weight"], w["attention_norm.bias"])
    inner = torch.relu(x @ w["inner.weight"].T + w["inner.bias"])
    change = inner @ w["outer.weight"].T + w["outer.bias"]
    return normalised(x + change, w["perceptron_norm.weight"], w["perceptron_norm.bias"])


def plain(weights: dict[str, Tensor], batch: Batch, layers: tuple[int, int], heads: int) -> Tensor:
    """STAEformer window by window: (B, H, N)."""
    inputs, slots, weekdays = batch
    windows = []
    for b in range(inputs.shape[0]):
        steps = []
        for t in range(inputs.shape[1]):
            slot, weekday = slots[b, t], weekdays[b, t]
            tokens = []
            for n in range(inputs.shape[2]):
                calendar = torch.stack([slot.double() / PER_DAY, weekday.double() / 7])
                features = torch.cat([inputs[b, t, n], calendar])
                projection = weights["input_projection.weight"] @ features
                token = [projection + weights["input_projection.bias"]]
                for name, row in (("time_of_day", slot), ("day_of_week", weekday)):
                    if f"{name}_embedding.weight" in weights:
                        token.append(weights[f"{name}_embedding.weight"][row])
                if "adaptive_embedding" in weights:
                    token.append(weights["adaptive_embedding"][t, n])
                tokens.append(torch.cat(token))
            steps.append(torch.stack(tokens))
        x = torch.stack(steps)
        for axis, count in zip(("temporal", "spatial"), layers, strict=True):
            for layer in range(count):
                prefix = f"{axis}_layers.{layer}."
                w = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
                dim = 1 if axis == "temporal" else 0
                one_by_one = [attention_layer(part, w, heads) for part in x.unbind(dim)]
                x = torch.stack(one_by_one, dim=dim)
        columns = [
            weights["regression.weight"] @ x[:, n].reshape(-1) + weights["regression.bias"]
            for n in range(x.shape[1])
        ]
        windows.append(torch.stack(columns, dim=1))
    return torch.stack(windows)


@pytest.mark.parametrize(
    ("sizes", "changes"),
    [
        ({}, {}),
        ({"nodes": 3, "history": 6, "channels": 2}, {"heads": 1, "spatial_layers": 1}),
        ({}, {"day_of_week_width": 0, "time_of_day_width": 0, "adaptive_width": 0}),
        ({}, {"temporal_layers": 0}),
        ({"batch": 1, "nodes": 7}, {"heads": 12, "temporal_layers": 2, "spatial_layers": 0}),
    ],
    ids=["small", "two channels", "values only", "nodes only", "time only"],
)
def test_forecast_and_gradients_are_those_of_the_equations(
    sizes: dict[str, int], changes: dict[str, int]
) -> None:
    model, batch = build(**sizes, **changes)
    options = model.options
    parameters = dict(model.named_parameters())
    ours = model(*batch)
    layers = (options.temporal_layers, options.spatial_layers)
    theirs = plain(parameters, batch, layers, options.heads)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    assert ours.detach().std() > 1e-2

    pull = torch.linspace(-1, 1, ours.numel(), dtype=ours.dtype).reshape(ours.shape)
    used = [p for name, p in parameters.items() if name not in model.unused_parameters()]
    wanted = [batch[0], *used]
    our_gradients = torch.autograd.grad((ours * pull).sum(), wanted)
    their_gradients = torch.autograd.grad((theirs * pull).sum(), wanted)
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-8)
        assert other.abs().max() > 1e-6


def test_the_bias_of_the_keys_cannot_change_a_forecast() -> None:
    """What we leave out has no gradient in the equations either."""
    model, batch = build()
    unused = [p for name, p in model.named_parameters() if name in model.unused_parameters()]
    assert len(unused) == 3
    theirs = plain(dict(model.named_parameters()), batch, (1, 2), 3)
    for gradient in torch.autograd.grad(theirs.square().sum(), unused):
        assert gradient.abs().max() < 1e-12


def test_gradients_of_inputs_by_differences() -> None:
    model, (inputs, slots, weekdays) = build(nodes=3, history=2, batch=1)
    assert torch.autograd.gradcheck(lambda x: model(x, slots, weekdays), (inputs,))


@pytest.mark.parametrize(
    ("nodes", "per_day", "published"), [(170, 288, 1_223_460), (275, 24, 1_317_924)]
)
def test_parameters_as_published(nodes: int, per_day: int, published: int) -> None:
    """PEMS08 and UrbanEV in the logs of ST-TTC (NeurIPS 2025)."""
    task = ForecastTask(nodes, 12, 12, 1, 0, per_day, torch.zeros(nodes, nodes))
    assert parameter_count(Staeformer(task, StaeformerOptions())) == published


def test_weekday_counts_unless_the_legacy_is_asked_for() -> None:
    """With `legacy_dow` only the fraction weekday / 7 among the inputs is left."""
    for legacy in (False, True):
        model, (inputs, slots, weekdays) = build(legacy_dow=legacy)
        other = weekdays % 6 + 1
        assert not torch.allclose(model(inputs, slots, other), model(inputs, slots, weekdays))
        with torch.no_grad():
            model.input_projection.weight[:, -1] = 0.0
        same = torch.allclose(model(inputs, slots, other), model(inputs, slots, weekdays))
        assert same == legacy
        monday = torch.zeros_like(weekdays)
        same = torch.allclose(model(inputs, slots, monday), model(inputs, slots, weekdays))
        assert same == legacy


@pytest.mark.parametrize(
    ("temporal", "spatial", "reached"),
    [(0, 0, [(1, 2)]), (1, 0, [(0, 2), (1, 2), (2, 2)]), (0, 1, [(1, 0), (1, 1), (1, 2)])],
)
def test_tokens_meet_along_the_axes_attended(
    temporal: int, spatial: int, reached: list[tuple[int, int]]
) -> None:
    """The output of step 1 and node 2 depends on the inputs of these (step, node)."""
    model, (inputs, slots, weekdays) = build(
        nodes=3, history=3, batch=1, temporal_layers=temporal, spatial_layers=spatial
    )
    with torch.no_grad():
        for t in (0, 2):  # the forecast reads step 1 alone
            model.regression.weight[:, t * 12 : (t + 1) * 12] = 0.0
    forecast = model(inputs, slots, weekdays)[0, :, 2].sum()
    (gradient,) = torch.autograd.grad(forecast, inputs)
    assert [tuple(place) for place in gradient[0, :, :, 0].nonzero().tolist()] == reached


def test_heads_that_do_not_divide_the_width_are_declined() -> None:
    with pytest.raises(DeclinedError, match=r"staeformer: 5 heads cannot share a width of 12"):
        build(heads=5)
