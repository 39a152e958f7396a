"""ASTGCN: as the equations written plainly, and in part as PyTorch Geometric Temporal has it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stprune.backbones.base import BACKBONES, ForecastTask, parameter_count
from stprune.backbones.layers.geometric_temporal import import_geometric_temporal
from stprune.base.errors import DataError

PER_DAY = 24
SMALL = {"graph_channels": 4, "temporal_channels": 3}
Batch = tuple[Tensor, Tensor, Tensor]
Weights = dict[str, Tensor]


def a_graph(nodes: int) -> Tensor:
    """Directed, weighted, with loops; the last node has no neighbour where there are more."""
    adjacency = torch.rand(nodes, nodes, generator=torch.Generator().manual_seed(1))
    adjacency = adjacency * (adjacency > 0.6)
    adjacency.fill_diagonal_(1.0)
    if nodes > 2:
        adjacency[-1, :-1] = adjacency[:-1, -1] = 0.0
        adjacency[0, 1] = 0.5
    return adjacency


def build(seed: int = 3, **sizes: Any) -> tuple[Any, Batch]:
    """A float64 model away from its start, and a batch of three windows."""
    shape = {"nodes": 5, "history": 12, "horizon": 4, "channels": 1}
    shape |= {key: sizes.pop(key) for key in list(sizes) if key in shape}
    adjacency = a_graph(shape["nodes"]).double()
    task = ForecastTask(**shape, target_channel=0, steps_per_day=PER_DAY, adjacency=adjacency)
    backbone_class = BACKBONES.load("astgcn")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = backbone_class(task, backbone_class.Options(**sizes)).double()
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
        inputs = torch.randn(3, shape["history"], shape["nodes"], shape["channels"]).double()
        slots = torch.randint(PER_DAY, (3, shape["history"]))
        weekdays = torch.randint(7, (3, shape["history"]))
    return model, (inputs.requires_grad_(), slots, weekdays)


def published_weights(model: Any) -> Weights:
    """Ours under the letters of the paper."""
    weights = {"out.w": model.regression.weight[:, :, 0], "out.b": model.regression.bias}
    for i, block in enumerate(model.blocks):
        temporal, spatial = block.temporal_attention, block.spatial_attention
        weights |= {
            f"{i}.U1": temporal.node_weight,
            f"{i}.U2": temporal.mixing,
            f"{i}.U3": temporal.channel_weight,
            f"{i}.be": temporal.bias[0],
            f"{i}.Ve": temporal.scoring,
            f"{i}.W1": spatial.step_weight,
            f"{i}.W2": spatial.mixing,
            f"{i}.W3": spatial.channel_weight,
            f"{i}.bs": spatial.bias[0],
            f"{i}.Vs": spatial.scoring,
            f"{i}.theta": block.graph.weight,
            f"{i}.time.w": block.temporal.weight[:, :, 0],
            f"{i}.time.b": block.temporal.bias,
            f"{i}.residual.w": block.residual.weight,
            f"{i}.residual.b": block.residual.bias,
            f"{i}.norm.w": block.norm.weight,
            f"{i}.norm.b": block.norm.bias,
        }
    return weights


def plain_polynomials(adjacency: Tensor, terms: int) -> list[Tensor]:
    """Chebyshev polynomials of 2 L / λ - I, L normalised, of the graph without weights."""
    edges = (adjacency.numpy() != 0).astype(float)
    np.fill_diagonal(edges, 0.0)
    edges = np.maximum(edges, edges.T)
    degrees = edges.sum(axis=1)
    laplacian = np.eye(len(edges))
    for i, j in zip(*np.nonzero(edges), strict=True):
        laplacian[i, j] -= 1.0 / np.sqrt(degrees[i] * degrees[j])
    scaled = 2.0 / np.linalg.eigvalsh(laplacian).max() * laplacian - np.eye(len(edges))
    polynomials = [np.eye(len(edges)), scaled]
    for _ in range(terms):
        polynomials.append(2.0 * scaled @ polynomials[-1] - polynomials[-2])
    return [torch.from_numpy(p) for p in polynomials[:terms]]


def plain_block(w: Weights, i: int, x: Tensor, polynomials: list[Tensor]) -> Tensor:
    """One window (N, F, T) through one block, step by step."""

    def columns(scores: Tensor) -> Tensor:
        return torch.stack([column.softmax(0) for column in scores.T], dim=1)

    steps = x.shape[2]
    left = torch.einsum("nft,n->tf", x, w[f"{i}.U1"]) @ w[f"{i}.U2"]
    right = torch.einsum("f,nft->nt", w[f"{i}.U3"], x)
    between = columns(w[f"{i}.Ve"] @ torch.sigmoid(left @ right + w[f"{i}.be"]))
    attended = torch.stack(
        [sum(x[:, :, s] * between[s, t] for s in range(steps)) for t in range(steps)], dim=2
    )
    left = torch.einsum("nft,t->nf", attended, w[f"{i}.W1"]) @ w[f"{i}.W2"]
    right = torch.einsum("f,nft->tn", w[f"{i}.W3"], attended)
    attention = columns(w[f"{i}.Vs"] @ torch.sigmoid(left @ right + w[f"{i}.bs"]))

    mixed = []
    for t in range(steps):
        terms = [
            (polynomial * attention).T @ x[:, :, t] @ theta
            for polynomial, theta in zip(polynomials, w[f"{i}.theta"], strict=True)
        ]
        mixed.append(torch.relu(sum(terms)))
    result = []
    for t in range(steps):
        near = [(tap, t + tap - 1) for tap in range(3) if 0 <= t + tap - 1 < steps]
        convolved = sum(mixed[s] @ w[f"{i}.time.w"][:, :, tap].T for tap, s in near)
        kept = x[:, :, t] @ w[f"{i}.residual.w"].T + w[f"{i}.residual.b"]
        hidden = torch.relu(convolved + w[f"{i}.time.b"] + kept)
        mean = hidden.mean(dim=1, keepdim=True)
        spread = ((hidden - mean).square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
        result.append((hidden - mean) / spread * w[f"{i}.norm.w"] + w[f"{i}.norm.b"])
    return torch.stack(result, dim=2)


def plain_astgcn(model: Any, batch: Batch) -> Tensor:
    """The forecast (B, H, N) by the equations."""
    w, (inputs, slots, weekdays) = published_weights(model), batch
    polynomials = plain_polynomials(model.task.adjacency, model.options.chebyshev_terms)
    forecasts = []
    for values, slot, weekday in zip(inputs, slots, weekdays, strict=True):
        calendar = torch.stack([slot.double() / PER_DAY, weekday.double() / 7], dim=1)
        calendar = calendar[:, None].expand(-1, values.shape[1], -1)
        x = torch.cat([values, calendar], dim=2).permute(1, 2, 0)
        for i in range(model.options.blocks):
            x = plain_block(w, i, x, polynomials)
        forecasts.append(torch.einsum("nft,htf->hn", x, w["out.w"]) + w["out.b"][:, None])
    return torch.stack(forecasts)


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        SMALL | {"channels": 2, "history": 5},
        SMALL | {"blocks": 1, "chebyshev_terms": 1, "horizon": 1},
        SMALL | {"blocks": 3, "chebyshev_terms": 4, "history": 2, "temporal_channels": 8},
        SMALL | {"nodes": 2, "history": 1},
        SMALL | {"nodes": 1},
    ],
    ids=["published", "two channels", "no graph", "deep", "one step", "one node"],
)
def test_forecast_and_gradients_of_the_plain_equations(sizes: dict[str, Any]) -> None:
    model, batch = build(**sizes)
    ours, plain = model(*batch), plain_astgcn(model, batch)
    assert ours.std() > 1e-3
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-9)
    pull = torch.linspace(-1, 1, ours.numel(), dtype=torch.float64).reshape(ours.shape)
    parameters = dict(model.named_parameters())
    used = [batch[0]] + [p for k, p in parameters.items() if k not in model.unused_parameters()]
    our_gradients = torch.autograd.grad((ours * pull).sum(), used)
    plain_gradients = torch.autograd.grad((plain * pull).sum(), used)
    for mine, theirs in zip(our_gradients, plain_gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-8)
    assert plain_gradients[0].abs().max() > 1e-4


@pytest.mark.parametrize(("nodes", "history"), [(5, 1), (1, 12), (1, 1)])
def test_attention_that_has_no_choice_gets_no_gradient(nodes: int, history: int) -> None:
    model, batch = build(nodes=nodes, history=history, **SMALL)
    model(*batch).square().sum().backward()
    without = {k for k, p in model.named_parameters() if not p.grad.abs().max() > 1e-12}
    assert without == model.unused_parameters()
    assert without


def test_gradients_against_finite_differences() -> None:
    model, (inputs, *calendar) = build(nodes=3, history=3, horizon=2, **SMALL)
    assert torch.autograd.gradcheck(lambda values: model(values, *calendar), (inputs,))


def test_parameters_at_170_nodes_by_hand() -> None:
    """Also what the code of LargeST counts."""
    ring = torch.eye(170).roll(1, dims=1)
    backbone_class = BACKBONES.load("astgcn")
    model = backbone_class(ForecastTask(170, 12, 12, 1, 0, 288, ring), backbone_class.Options())
    count = 12 * 12 * 64 + 12  # regression
    for width in (3, 64):
        count += 170 + width * 170 + width + 2 * 12 * 12  # attention of steps
        count += 12 + width * 12 + width + 2 * 170 * 170  # attention of nodes
        count += 3 * width * 64  # Chebyshev
        count += 3 * 64 * 64 + 64 + width * 64 + 64 + 2 * 64  # temporal, residual, norm
    assert parameter_count(model) == count == 180_336


def test_edges_count_and_their_weights_do_not() -> None:
    model, batch = build(**SMALL)
    weightless = model.task.adjacency.clone().sign()
    assert torch.equal(built_on(weightless, model)(*batch), model(*batch))
    weightless[0, 1] = weightless[1, 0] = 0.0
    assert not torch.allclose(built_on(weightless, model)(*batch), model(*batch))


def built_on(adjacency: Tensor, model: Any) -> Any:
    """The same weights on another graph of the same nodes."""
    other = type(model)(ForecastTask(5, 12, 4, 1, 0, PER_DAY, adjacency), model.options).double()
    other.load_state_dict(model.state_dict())
    return other


def test_a_graph_with_negative_weights_is_refused() -> None:
    adjacency = -torch.ones(3, 3)
    backbone_class = BACKBONES.load("astgcn")
    with pytest.raises(DataError, match="weights must be finite and at least 0"):
        backbone_class(ForecastTask(3, 12, 4, 1, 0, PER_DAY, adjacency), backbone_class.Options())


def test_attention_of_all_blocks_starts_where_it_can_learn() -> None:
    """With the published start, that of the second block is saturated and gets no gradient."""
    backbone_class = BACKBONES.load("astgcn")
    task = ForecastTask(30, 12, 12, 1, 0, PER_DAY, a_graph(30))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = backbone_class(task, backbone_class.Options())
        inputs = torch.randn(4, 12, 30, 1)
    steps = torch.arange(48).view(4, 12)
    model(inputs, steps % PER_DAY, steps // PER_DAY).square().mean().backward()
    attention = {k: p.grad for k, p in model.named_parameters() if "attention" in k}
    assert len(attention) == 2 * 10
    assert all(gradient.abs().max() > 0 for gradient in attention.values())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() < 2:
                parameter.uniform_(generator=torch.Generator().manual_seed(0))
    model.zero_grad()
    model(inputs, steps % PER_DAY, steps // PER_DAY).square().mean().backward()
    gradient = model.blocks[1].temporal_attention.mixing.grad
    assert gradient.abs().max() == 0


@pytest.mark.slow
def test_forecast_of_geometric_temporal_without_graph() -> None:
    """The same weights in its ASTGCN with one polynomial, up to which it is the same model."""
    import_geometric_temporal()
    from torch_geometric_temporal.nn.attention.astgcn import ASTGCN

    model, batch = build(chebyshev_terms=1, history=7)
    theirs: nn.Module = ASTGCN(
        nb_block=2,
        in_channels=3,
        K=1,
        nb_chev_filter=64,
        nb_time_filter=64,
        time_strides=1,
        num_for_predict=4,
        len_input=7,
        num_of_vertices=5,
        normalization="sym",
        bias=False,
    ).double()
    assert parameter_count(theirs) == parameter_count(model)
    theirs.load_state_dict(geometric_temporal_state(model))
    values = model.calendar_inputs(*batch).permute(0, 2, 3, 1)
    edges = model.task.adjacency.nonzero().T
    torch.testing.assert_close(
        model(*batch), theirs(values, edges).transpose(1, 2), rtol=0, atol=1e-9
    )


def geometric_temporal_state(model: Any) -> Weights:
    """Our weights by the names of its layers."""
    state = {
        "_final_conv.weight": model.regression.weight,
        "_final_conv.bias": model.regression.bias,
    }
    w = published_weights(model)
    for i, block in enumerate(model.blocks):
        prefix = f"_blocklist.{i}"
        for letter in ("U1", "U2", "U3", "be", "Ve"):
            state[f"{prefix}._temporal_attention._{letter}"] = w[f"{i}.{letter}"]
        for letter in ("W1", "W2", "W3", "bs", "Vs"):
            state[f"{prefix}._spatial_attention._{letter}"] = w[f"{i}.{letter}"]
        for letter, name in (("be", "temporal"), ("bs", "spatial")):
            state[f"{prefix}._{name}_attention._{letter}"] = w[f"{i}.{letter}"][None]
        residual = block.residual.weight[:, :, None, None]
        state |= {
            f"{prefix}._chebconv_attention._weight": block.graph.weight,
            f"{prefix}._time_convolution.weight": block.temporal.weight,
            f"{prefix}._time_convolution.bias": block.temporal.bias,
            f"{prefix}._residual_convolution.weight": residual,
            f"{prefix}._residual_convolution.bias": block.residual.bias,
            f"{prefix}._layer_norm.weight": block.norm.weight,
            f"{prefix}._layer_norm.bias": block.norm.bias,
        }
    return {name: tensor.detach() for name, tensor in state.items()}
