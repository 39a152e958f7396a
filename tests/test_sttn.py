"""STTN: its equations step by step, published sizes, and which steps and nodes meet."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from stprune.backbones.base import ForecastTask, parameter_count
from stprune.backbones.sttn import Sttn, SttnOptions
from stprune.base.errors import DeclinedError

PER_DAY = 24
SMALL = {"channels": 6, "heads": 3, "end_channels": 5, "expansion": 2, "blocks": 2, "dropout": 0.0}
Batch = tuple[Tensor, Tensor, Tensor]
Weights = dict[str, Tensor]


def graph(nodes: int) -> Tensor:
    """A directed graph with holes; no edge leaves its node 1."""
    generator = torch.Generator().manual_seed(2)
    adjacency = torch.rand(nodes, nodes, generator=generator, dtype=torch.float64)
    adjacency = adjacency * (adjacency < 0.5)
    adjacency[1] = 0.0
    return adjacency


def build(
    nodes: int = 4, history: int = 4, channels: int = 1, **changes: Any
) -> tuple[Any, Batch, Weights]:
    """A small float64 model away from its start, windows for it, and all its weights."""
    generator = torch.Generator().manual_seed(17)
    task = ForecastTask(nodes, history, 3, channels, 0, PER_DAY, graph(nodes))
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = Sttn(task, SttnOptions(**(SMALL | changes))).double()
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


def attention(x: Tensor, w: Weights, name: str, heads: int, causal: bool, twice: bool) -> Tensor:
    """On the (L, C) tokens of one step or one node, one head and one query at a time."""
    q, k, v = (x @ w[f"{name}.{part}.weight"].T for part in ("query", "key", "value"))
    size = x.shape[1] // heads
    rows = []
    for i in range(len(x)):
        seen = i + 1 if causal else len(x)
        parts = []
        for head in range(heads):
            columns = slice(head * size, (head + 1) * size)
            scores = torch.exp(k[:seen, columns] @ q[i, columns] / math.sqrt(size))
            share = torch.cat([scores / scores.sum(), scores.new_zeros(len(x) - seen)])
            if twice:
                share = torch.exp(share) / torch.exp(share).sum()
            parts.append(share @ v[:, columns])
        rows.append(torch.cat(parts))
    return torch.stack(rows) @ w[f"{name}.output.weight"].T + w[f"{name}.output.bias"]


def perceptron(x: Tensor, w: Weights, name: str) -> Tensor:
    """Normalised over channels, then two layers around x Φ(x)."""
    mean = x.mean(dim=-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
    normal = (x - mean) / torch.sqrt(variance + 1e-5)
    normal = normal * w[f"{name}.norm.weight"] + w[f"{name}.norm.bias"]
    inner = normal @ w[f"{name}.inner.weight"].T + w[f"{name}.inner.bias"]
    inner = inner * (1 + torch.erf(inner / math.sqrt(2))) / 2
    return inner @ w[f"{name}.outer.weight"].T + w[f"{name}.outer.bias"]


def convolution(x: Tensor, w: Weights, name: str, adjacency: Tensor, order: int) -> Tensor:
    """On the (N, C) values of one step: walks along the edges, then against them."""
    total = x @ w[f"{name}.weight"][0] + w[f"{name}.bias"]
    term = 1
    for edges in (adjacency, adjacency.T):
        walked = x
        for _ in range(order):
            arrived = []
            for node in range(len(x)):
                weights = [edges[v, node] / edges[v].sum() for v in range(len(x))]
                arrived.append(sum(a * row for a, row in zip(weights, walked, strict=True)))
            walked = torch.stack([torch.as_tensor(row) for row in arrived])
            total = total + walked @ w[f"{name}.weight"][term]
            term += 1
    return total


def plain(w: Weights, batch: Batch, options: SttnOptions, training: bool) -> Tensor:
    """STTN in evaluation or without dropout: (B, H, N)."""
    inputs, slots, weekdays = batch
    batch_size, steps, nodes, _ = inputs.shape
    adjacency = graph(nodes)
    if options.self_loops:
        adjacency = adjacency - torch.diag(adjacency.diagonal()) + torch.eye(nodes)
    size = (batch_size, steps, nodes, 1)
    calendar = [slots[:, :, None, None].double() / PER_DAY, weekdays[:, :, None, None].double() / 7]
    features = torch.cat([inputs, *(part.expand(size) for part in calendar)], dim=-1)
    x = features @ w["start.weight"].T + w["start.bias"]
    for block in range(options.blocks):
        p = f"blocks.{block}"
        windows = []
        for b in range(batch_size):
            spatial = []
            for t in range(steps):
                placed = x[b, t] + w[f"{p}.node_embedding"]
                seen = attention(placed, w, f"{p}.node_attention", options.heads, False, False)
                z = placed + seen
                z = z + perceptron(z, w, f"{p}.node_perceptron")
                mixed = convolution(
                    placed, w, f"{p}.convolution", adjacency, options.diffusion_steps
                )
                spatial.append(z + mixed)
            entered = torch.stack(spatial)
            temporal = []
            for n in range(nodes):
                z = entered[:, n] + w[f"{p}.step_embedding"][:, 0]
                z = z + attention(
                    z,
                    w,
                    f"{p}.step_attention",
                    options.heads,
                    options.causal,
                    options.legacy_softmax,
                )
                temporal.append(z + perceptron(z, w, f"{p}.step_perceptron"))
            windows.append(torch.stack(temporal, dim=1))
        z = torch.stack(windows)
        mean, variance = w[f"{p}.norm.running_mean"], w[f"{p}.norm.running_var"]
        if training:
            mean = z.mean(dim=(0, 1, 2))
            variance = ((z - mean) ** 2).mean(dim=(0, 1, 2))
        normal = (z - mean) / torch.sqrt(variance + 1e-5)
        x = normal * w[f"{p}.norm.weight"] + w[f"{p}.norm.bias"] + x
    end = torch.relu(x[:, -1] @ w["end.weight"].T + w["end.bias"])
    return (end @ w["regression.weight"].T + w["regression.bias"]).transpose(1, 2)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("sizes", "changes"),
    [
        ({}, {}),
        ({"channels": 2}, {"causal": False, "heads": 2, "blocks": 1}),
        ({"nodes": 3, "history": 6}, {"legacy_softmax": True, "diffusion_steps": 1}),
        ({}, {"legacy_softmax": True, "causal": False, "heads": 1, "blocks": 1}),
    ],
    ids=["small", "both ways", "legacy", "legacy both ways"],
)
def test_forecast_and_gradients_are_those_of_the_equations(
    sizes: dict[str, int], changes: dict[str, Any], training: bool
) -> None:
    model, batch, weights = build(**sizes, **changes)
    theirs = plain(weights, batch, model.options, training)
    ours = model.train(training)(*batch)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    assert ours.detach().std() > 1e-2

    pull = torch.linspace(-1, 1, ours.numel(), dtype=ours.dtype).reshape(ours.shape)
    wanted = [batch[0], *model.parameters()]
    our_gradients = torch.autograd.grad((ours * pull).sum(), wanted)
    their_gradients = torch.autograd.grad((theirs * pull).sum(), wanted)
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-8)


def test_gradients_of_inputs_by_differences() -> None:
    model, (inputs, slots, weekdays), _ = build(nodes=2, history=3, blocks=1)
    assert torch.autograd.gradcheck(lambda x: model(x, slots, weekdays), (inputs,))


@pytest.mark.parametrize(
    ("nodes", "published"),
    [(358, 90_828), (307, 87_564), (883, 124_428), (170, 78_796), (275, 85_516)],
    ids=["PEMS03", "PEMS04", "PEMS07", "PEMS08", "UrbanEV"],
)
def test_parameters_as_published(nodes: int, published: int) -> None:
    """The logs of ST-TTC (NeurIPS 2025), 12 steps to 12."""
    ring = torch.eye(nodes).roll(1, dims=1)
    task = ForecastTask(nodes, 12, 12, 1, 0, 288, ring)
    assert parameter_count(Sttn(task, SttnOptions())) == published


@pytest.mark.parametrize(
    ("changes", "reached"),
    [
        ({}, [True, True, False, False]),
        ({"causal": False}, [True] * 4),
        ({"legacy_softmax": True}, [True] * 4),
    ],
    ids=["causal", "both ways", "legacy"],
)
def test_steps_that_a_step_attends_to(changes: dict[str, bool], reached: list[bool]) -> None:
    """Step 1 of a block's output depends on these steps of its input; the legacy leaks."""
    model, _, _ = build(**changes)
    generator = torch.Generator().manual_seed(0)
    entered = torch.randn(1, 4, 4, 6, generator=generator, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(model.eval().blocks[0](entered)[0, 1].sum(), entered)
    assert (gradient.abs().amax(dim=(0, 2, 3)) > 0).tolist() == reached


def test_every_node_reaches_every_other_through_attention_and_edges_through_the_graph() -> None:
    model, _, _ = build()
    block = model.eval().blocks[0]
    generator = torch.Generator().manual_seed(0)
    entered = torch.randn(1, 4, 4, 6, generator=generator, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(block.node_attention(entered)[0, 2, 0].sum(), entered)
    reached = gradient.abs().amax(dim=(0, 3)) > 0
    assert reached.tolist() == [[False] * 4, [False] * 4, [True] * 4, [False] * 4]

    adjacency = graph(4).fill_diagonal_(1.0)
    one_step = (adjacency > 0) | (adjacency.T > 0)
    single, _, _ = build(diffusion_steps=1)
    (gradient,) = torch.autograd.grad(
        single.eval().blocks[0].convolution(entered)[0, 2, 1].sum(), entered
    )
    assert ((gradient[0, 2].abs().amax(dim=1) > 0) == one_step[1]).all()
    assert not one_step[1].all()


def test_heads_that_do_not_divide_the_width_are_declined() -> None:
    with pytest.raises(DeclinedError, match=r"sttn: 4 heads cannot share 6 channels"):
        build(heads=4)
