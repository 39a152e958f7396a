"""The fast backbones give what plain versions of the papers' equations give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference_backbones as reference
import torch
from torch import Tensor

from stprune.backbones.base import BACKBONES, Backbone, ForecastTask

BATCH, PER_DAY = 3, 24
Batch = tuple[Tensor, Tensor, Tensor]


def build(name: str, options: dict[str, Any], **sizes: int) -> tuple[Backbone, Batch]:
    """A float64 backbone with all weights and moments away from their start, and a batch."""
    generator = torch.Generator().manual_seed(7)
    shape = {"nodes": 6, "history": 12, "horizon": 5, "channels": 1} | sizes
    nodes = shape["nodes"]
    adjacency = torch.rand(nodes, nodes, generator=generator, dtype=torch.float64)
    adjacency = adjacency * (adjacency < 0.4)  # directed, with holes
    adjacency[2] = 0.0  # no edge leaves this node
    task = ForecastTask(**shape, target_channel=0, steps_per_day=PER_DAY, adjacency=adjacency)
    backbone_class = BACKBONES.load(name)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = backbone_class(task, backbone_class.Options(**options)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.1 * noise)
        for key, buffer in model.named_buffers():
            if key.endswith(("running_mean", "running_var")):
                noise = torch.rand(buffer.shape, generator=generator, dtype=torch.float64)
                buffer.copy_(0.5 + noise)
    inputs = torch.randn(
        BATCH, shape["history"], nodes, shape["channels"], generator=generator, dtype=torch.float64
    )
    steps = (BATCH, shape["history"])
    slots = torch.randint(PER_DAY, steps, generator=generator)
    weekdays = torch.randint(7, steps, generator=generator)
    return model, (inputs.requires_grad_(), slots, weekdays)


def same_forecast_and_gradient(ours: Tensor, plain: Tensor, inputs: Tensor) -> None:
    """Outputs agree to 1e-9, gradients with respect to the inputs to 1e-8; none is trivial."""
    assert ours.shape == plain.shape
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-9)
    pull = torch.linspace(-1, 1, ours.numel(), dtype=ours.dtype).reshape(ours.shape)
    (our_gradient,) = torch.autograd.grad((ours * pull).sum(), inputs)
    (plain_gradient,) = torch.autograd.grad((plain * pull).sum(), inputs)
    torch.testing.assert_close(our_gradient, plain_gradient, rtol=0, atol=1e-8)
    assert ours.detach().std() > 1e-3
    assert plain_gradient.abs().max() > 1e-4


def features_of(batch: Batch) -> Tensor:
    return reference.with_calendar(*batch, PER_DAY)


def stid_weights(model: Any) -> reference.Weights:
    """Our columns are all values, all times, all weekdays; the plain version goes by step."""
    history, channels = model.task.history, model.task.channels
    weight = model.series_embedding.weight
    values, rest = weight[:, : history * channels], weight[:, history * channels :]
    by_step = torch.cat(
        [
            values.unflatten(1, (history, channels)),
            rest[:, :history, None],
            rest[:, history:, None],
        ],
        dim=2,
    )
    weights = {
        "series.w": by_step.flatten(1),
        "series.b": model.series_embedding.bias,
        "node": model.node_embedding,
        "slot": model.time_of_day_embedding,
        "out.w": model.regression.weight,
        "out.b": model.regression.bias,
    }
    if model.day_of_week_embedding is not None:
        weights["weekday"] = model.day_of_week_embedding
    for i, layer in enumerate(model.encoder):
        weights |= {f"mlp{i}.w1": layer.inner.weight, f"mlp{i}.b1": layer.inner.bias}
        weights |= {f"mlp{i}.w2": layer.outer.weight, f"mlp{i}.b2": layer.outer.bias}
    return weights


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("day_of_week_width", [0, 4])
def test_stid(channels: int, day_of_week_width: int) -> None:
    options = {"series_width": 5, "node_width": 3, "time_of_day_width": 4, "layers": 2}
    options["day_of_week_width"] = day_of_week_width
    model, batch = build("stid", options, channels=channels)
    plain = reference.stid(stid_weights(model), features_of(batch), *batch[1:])
    same_forecast_and_gradient(model.eval()(*batch), plain, batch[0])


def stgcn_weights(model: Any) -> reference.Weights:
    weights = {
        "fc1.w": model.hidden.weight,
        "fc1.b": model.hidden.bias,
        "fc2.w": model.regression.weight,
        "fc2.b": model.regression.bias,
        "out.norm.w": model.norm.weight,
        "out.norm.b": model.norm.bias,
    }
    gated = {"out": model.last}
    for i, block in enumerate(model.blocks):
        gated |= {f"{i}.first": block.before, f"{i}.second": block.after}
        weights |= {
            f"{i}.graph.align.w": block.graph.align.projection.weight,
            f"{i}.graph.align.b": block.graph.align.projection.bias,
            f"{i}.graph.theta": block.graph.weight,
            f"{i}.graph.b": block.graph.bias,
            f"{i}.norm.w": block.norm.weight,
            f"{i}.norm.b": block.norm.bias,
        }
    for name, layer in gated.items():
        weights[f"{name}.kernel"] = layer.convolution.weight.squeeze(3).permute(2, 1, 0)
        weights[f"{name}.bias"] = layer.convolution.bias
        weights[f"{name}.align.w"] = layer.align.projection.weight
        weights[f"{name}.align.b"] = layer.align.projection.bias
    return weights


@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ({}, {}),
        ({"channels": 3}, {"temporal_channels": 4, "graph_channels": 3, "output_channels": 6}),
        ({"history": 9}, {"chebyshev_terms": 4}),
        ({"history": 7}, {"blocks": 1, "chebyshev_terms": 1}),
    ],
    ids=["published", "narrow", "no steps to spare", "one block, no graph"],
)
def test_stgcn(sizes: dict[str, int], options: dict[str, int]) -> None:
    model, batch = build("stgcn", options, **sizes)
    adjacency = model.task.adjacency.numpy()
    blocks = options.get("blocks", 2)
    plain = reference.stgcn(stgcn_weights(model), features_of(batch), adjacency, blocks)
    same_forecast_and_gradient(model.eval()(*batch), plain, batch[0])


def gwnet_weights(model: Any) -> reference.Weights:
    weights = {"e1": model.source_embedding, "e2": model.target_embedding}
    for name, layer in (("start", model.start), ("end", model.end), ("out", model.regression)):
        weights |= {f"{name}.w": layer.weight, f"{name}.b": layer.bias}
    skips = model.skip_weight.chunk(len(model.gates), dim=1)
    for i, gate in enumerate(model.gates):
        convolution = gate.convolution
        width = convolution.in_channels
        for part, rows in (("filter", slice(width)), ("gate", slice(width, None))):
            weights[f"{i}.{part}.early"] = convolution.weight[rows, :, 0, 0]
            weights[f"{i}.{part}.late"] = convolution.weight[rows, :, 1, 0]
            weights[f"{i}.{part}.b"] = convolution.bias[rows]
        mix, norm = model.diffusions[i], model.norms[i]
        weights |= {
            f"{i}.skip.w": skips[i],
            f"{i}.skip.b": model.skip_bias[i],
            f"{i}.mix.w": mix.weight.permute(2, 0, 1).flatten(1),
            f"{i}.mix.b": mix.bias,
            f"{i}.norm.w": norm.weight,
            f"{i}.norm.b": norm.bias,
            f"{i}.norm.mean": norm.running_mean,
            f"{i}.norm.var": norm.running_var,
        }
    return weights


def plain_gwnet(model: Any, batch: Batch, **options: Any) -> Tensor:
    dilations = [gate.convolution.dilation[0] for gate in model.gates]
    adjacency = model.task.adjacency.numpy().copy()
    if model.options.self_loops:
        np.fill_diagonal(adjacency, 1.0)
    return reference.gwnet(
        gwnet_weights(model),
        features_of(batch),
        adjacency,
        dilations,
        order=model.options.diffusion_steps,
        **options,
    )


@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ({}, {}),
        ({}, {"self_loops": False}),
        ({"channels": 2, "history": 5}, {"residual_channels": 4, "diffusion_steps": 1}),
        ({"history": 20}, {"residual_channels": 4, "diffusion_steps": 3, "embedding_rank": 2}),
        ({"history": 6}, {"residual_channels": 3, "blocks": 1, "layers": 3, "skip_channels": 5}),
    ],
    ids=["published", "graph as it is", "padded", "longer than the receptive field", "small"],
)
def test_gwnet(sizes: dict[str, int], options: dict[str, int]) -> None:
    model, batch = build("gwnet", options, **sizes)
    same_forecast_and_gradient(model.eval()(*batch), plain_gwnet(model, batch), batch[0])


def test_gwnet_in_training() -> None:
    """What is left out changes neither batch moments nor any parameter's gradient."""
    model, batch = build("gwnet", {"dropout": 0.0, "residual_channels": 4, "skip_channels": 6})
    ours = model.train()(*batch)
    plain = plain_gwnet(model, batch, batch_statistics=True)
    same_forecast_and_gradient(ours, plain, batch[0])
    used = [p for name, p in model.named_parameters() if name not in model.unused_parameters()]
    ours_gradients = torch.autograd.grad(model(*batch).square().sum(), used)
    plain = plain_gwnet(model, batch, batch_statistics=True)
    plain_gradients = torch.autograd.grad(plain.square().sum(), used)
    for mine, theirs in zip(ours_gradients, plain_gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-8)
