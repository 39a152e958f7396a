"""ST-Norm: the paper's normalisations inside a WaveNet, published sizes, and what each can see."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stprune.backbones.base import ForecastTask, parameter_count
from stprune.backbones.stnorm import SpatialNorm, Stnorm, StnormOptions, TemporalNorm

PER_DAY = 24
Batch = tuple[Tensor, Tensor, Tensor]
Weights = dict[str, Tensor]


def build(
    nodes: int = 4, history: int = 7, channels: int = 1, **changes: Any
) -> tuple[Any, Batch, Weights]:
    """A small float64 model away from its start, windows for it, and all its weights."""
    generator = torch.Generator().manual_seed(13)
    task = ForecastTask(nodes, history, 3, channels, 0, PER_DAY, torch.zeros(nodes, nodes))
    options = StnormOptions(**({"channels": 3, "blocks": 2, "layers": 2} | changes))
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = Stnorm(task, options).double()
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.2 * noise)
        for name, buffer in model.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                noise = torch.rand(buffer.shape, generator=generator, dtype=torch.float64)
                buffer.copy_(0.5 + noise)
    shape = (2, history, nodes, channels)
    inputs = torch.randn(shape, generator=generator, dtype=torch.float64)
    slots = torch.randint(PER_DAY, (2, history), generator=generator)
    weekdays = torch.randint(7, (2, history), generator=generator)
    weights = dict(model.named_parameters()) | dict(model.named_buffers())
    return model, (inputs.requires_grad_(), slots, weekdays), weights


def over_time(x: Tensor, w: Weights, name: str, training: bool) -> Tensor:
    """Node by node and channel by channel, over all windows and steps of x, (B, T, N, C)."""
    result = torch.empty_like(x)
    _, _, nodes, channels = x.shape
    for n in range(nodes):
        for c in range(channels):
            place = n * channels + c
            series = x[:, :, n, c]
            mean, variance = w[f"{name}.running_mean"][place], w[f"{name}.running_var"][place]
            if training:
                mean = series.sum() / series.numel()
                variance = ((series - mean) ** 2).sum() / series.numel()
            normal = (series - mean) / torch.sqrt(variance + 1e-5)
            result[:, :, n, c] = normal * w[f"{name}.weight"][place] + w[f"{name}.bias"][place]
    return result


def over_nodes(x: Tensor, w: Weights, name: str) -> Tensor:
    """Step by step and channel by channel, over the N nodes, the variance divided by N - 1."""
    result = torch.empty_like(x)
    batch, steps, nodes, channels = x.shape
    for b in range(batch):
        for t in range(steps):
            for c in range(channels):
                values = x[b, t, :, c]
                mean = values.sum() / nodes
                variance = ((values - mean) ** 2).sum() / (nodes - 1)
                normal = (values - mean) / torch.sqrt(variance + 1e-5)
                result[b, t, :, c] = normal * w[f"{name}.weight"][c] + w[f"{name}.bias"][c]
    return result


def plain(w: Weights, batch: Batch, dilations: list[int], kernel: int, training: bool) -> Tensor:
    """ST-Norm with every layer run in full: (B, H, N)."""
    inputs, slots, weekdays = batch
    size = (*inputs.shape[:3], 1)
    calendar = [
        slots[:, :, None, None].double() / PER_DAY,
        weekdays[:, :, None, None].double() / 7,
    ]
    features = torch.cat([inputs, *(part.expand(size) for part in calendar)], dim=-1)
    field = 1 + (kernel - 1) * sum(dilations)
    missing = field - features.shape[1]
    if missing > 0:
        before = features.new_zeros(features.shape[0], missing, *features.shape[2:])
        features = torch.cat([before, features], dim=1)
    x = features[:, -field:] @ w["start.weight"].T + w["start.bias"]
    skip: Tensor = torch.zeros(())
    for i, dilation in enumerate(dilations):
        views = [x]
        if f"layers.{i}.temporal_norm.norm.weight" in w:
            views.append(over_time(x, w, f"layers.{i}.temporal_norm.norm", training))
        if f"layers.{i}.spatial_norm.weight" in w:
            views.append(over_nodes(x, w, f"layers.{i}.spatial_norm"))
        seen = torch.cat(views, dim=-1)
        taps, bias = w[f"layers.{i}.convolution.weight"], w[f"layers.{i}.convolution.bias"]
        steps = []
        for t in range(seen.shape[1] - (kernel - 1) * dilation):
            both = bias + sum(seen[:, t + k * dilation] @ taps[:, :, k, 0].T for k in range(kernel))
            half = both.shape[-1] // 2
            steps.append(torch.tanh(both[..., :half]) * torch.sigmoid(both[..., half:]))
        z = torch.stack(steps, dim=1)
        contribution = z @ w[f"layers.{i}.skip.weight"].T + w[f"layers.{i}.skip.bias"]
        skip = contribution + (skip[:, -z.shape[1] :] if skip.ndim else skip)
        residual = z @ w[f"residuals.{i}.weight"].T + w[f"residuals.{i}.bias"]
        x = residual + x[:, (kernel - 1) * dilation :]
    end = torch.relu(torch.relu(skip) @ w["end.weight"].T + w["end.bias"])
    return (end @ w["regression.weight"].T + w["regression.bias"])[:, -1].transpose(1, 2)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("sizes", "changes", "dilations"),
    [
        ({}, {}, [1, 2, 1, 2]),
        ({"history": 4, "channels": 2}, {}, [1, 2, 1, 2]),
        ({"history": 9, "nodes": 2}, {"blocks": 1, "kernel": 3}, [1, 2]),
        ({}, {"temporal_norm": False, "layers": 1}, [1, 1]),
        ({}, {"spatial_norm": False, "layers": 1}, [1, 1]),
        ({}, {"spatial_norm": False, "temporal_norm": False, "layers": 3}, [1, 2, 4, 1, 2, 4]),
    ],
    ids=["as it fits", "padded", "cut", "nodes only", "time only", "neither"],
)
def test_forecast_and_gradients_are_those_of_the_equations(
    sizes: dict[str, int], changes: dict[str, Any], dilations: list[int], training: bool
) -> None:
    model, batch, weights = build(**sizes, **changes)
    theirs = plain(weights, batch, dilations, model.options.kernel, training)
    ours = model.train(training)(*batch)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    assert ours.detach().std() > 1e-2

    pull = torch.linspace(-1, 1, ours.numel(), dtype=ours.dtype).reshape(ours.shape)
    unused = model.unused_parameters()
    wanted = [batch[0], *(p for name, p in model.named_parameters() if name not in unused)]
    our_gradients = torch.autograd.grad((ours * pull).sum(), wanted)
    their_gradients = torch.autograd.grad((theirs * pull).sum(), wanted)
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-8)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_inputs_by_differences(training: bool) -> None:
    model, (inputs, slots, weekdays), _ = build(nodes=2, history=3, layers=1)
    model.train(training)
    assert torch.autograd.gradcheck(lambda x: model(x, slots, weekdays), (inputs,))


@pytest.mark.parametrize(
    ("nodes", "published"),
    [(358, 301_100), (307, 274_988), (883, 569_900), (170, 204_844), (275, 258_604)],
    ids=["PEMS03", "PEMS04", "PEMS07", "PEMS08", "UrbanEV"],
)
def test_parameters_as_published(nodes: int, published: int) -> None:
    """The logs of ST-TTC (NeurIPS 2025), 12 steps to 12; 1 056 of them are never used."""
    task = ForecastTask(nodes, 12, 12, 1, 0, 288, torch.zeros(nodes, nodes))
    model = Stnorm(task, StnormOptions())
    assert parameter_count(model) == published
    parameters = dict(model.named_parameters())
    assert sum(parameters[name].numel() for name in model.unused_parameters()) == 1_056


def test_normalised_over_time_has_no_level_of_a_node() -> None:
    """A level and a scale of each node's own are gone; moments are averaged for evaluation."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3, 5, 2, 4, generator=generator, dtype=torch.float64)
    shifted = values * torch.tensor([2.0, 5.0])[:, None] + torch.tensor([100.0, -7.0])[:, None]
    norm = TemporalNorm(2, 4).double()
    torch.testing.assert_close(norm(shifted), norm(values), rtol=0, atol=1e-4)
    fresh = TemporalNorm(2, 4).double()
    fresh(values)
    expected = 0.1 * values.mean(dim=(0, 1)).flatten()
    torch.testing.assert_close(fresh.norm.running_mean, expected)
    expected = 0.9 + 0.1 * values.flatten(0, 1).var(dim=0).flatten()
    torch.testing.assert_close(fresh.norm.running_var, expected)


def test_normalised_over_nodes_has_no_level_of_a_step() -> None:
    """By hand: 1, 2, 3 have mean 2 and deviation 1, whatever is added to all of them."""
    values = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64).view(1, 1, 3, 1)
    norm = SpatialNorm(1).double()
    for level in (0.0, 50.0):
        result = norm(values + level).flatten()
        torch.testing.assert_close(result, (values - 2).flatten(), rtol=0, atol=1e-4)


def test_a_single_node_has_no_spread() -> None:
    norm = SpatialNorm(2)
    torch.nn.init.constant_(norm.bias, 0.25)
    values = torch.randn(2, 3, 1, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(norm(values), torch.full_like(values, 0.25), rtol=0, atol=1e-3)


def test_nodes_meet_in_the_spatial_normalisation_alone() -> None:
    for spatial in (True, False):
        model, (inputs, slots, weekdays), _ = build(spatial_norm=spatial)
        first = model.eval()(inputs, slots, weekdays)[:, :, 0].sum()
        (gradient,) = torch.autograd.grad(first, inputs)
        reached = gradient.abs().amax(dim=(0, 1, 3)) > 0
        assert reached.tolist() == [True, spatial, spatial, spatial]


def test_receptive_field_is_thirteen_steps() -> None:
    """Four blocks with dilations 1 and 2: an older step changes nothing, the thirteenth does."""
    model, (inputs, slots, weekdays), _ = build(history=15, blocks=4)
    (gradient,) = torch.autograd.grad(model.eval()(inputs, slots, weekdays).sum(), inputs)
    reached = gradient.abs().amax(dim=(0, 2, 3)) > 0
    assert reached.tolist() == [False] * 2 + [True] * 13
